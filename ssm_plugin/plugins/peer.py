"""Whether anybody still holds the other end of a local connection.

An end of file does not tell: it comes from a program that has closed its socket, and from one that
has only finished sending and waits for the answer (``shutdown``, ``nc -N``). The kernel knows.
Linux tells of a unix socket by POLLHUP, and of a TCP connection within this machine through
NETLINK_SOCK_DIAG: the other socket's inode is 0 once no process has it open.
"""

import select
import socket
import struct
import sys
from typing import Optional

_SOCK_DIAG = 4  # the netlink protocol
_BY_FAMILY = 20  # request and answer
_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_QUERY = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_PORTS = struct.Struct("!HH")
_INTERFACE_AND_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_INODE = struct.Struct("=I")
_INODE_OFFSET = _HEADER.size + 4 + 48 + 16
_ANSWER_LIMIT = 1.0  # seconds; the kernel answers at once


class PeerLookup:
    """For one thread. Its socket to the kernel is opened once: when descriptors run out, it is
    needed most, to end connections."""

    def __init__(self) -> None:
        self._netlink = _open_netlink()

    def is_gone(self, sock: socket.socket) -> Optional[bool]:
        """Whether the peer's socket is closed. None where that cannot be told: another system, a
        peer on another machine or in a container."""
        if not sys.platform.startswith("linux"):
            return None
        try:
            if sock.family == socket.AF_UNIX:
                return _hung_up(sock)
            query = _query(sock)
        except OSError:
            return None  # no such socket here
        inode = self._ask(query)
        return None if inode is None else inode == 0

    def close(self) -> None:
        netlink, self._netlink = self._netlink, None
        if netlink is not None:
            netlink.close()

    def _ask(self, query: bytes) -> Optional[int]:
        if self._netlink is None:
            self._netlink = _open_netlink()
        if self._netlink is None:
            return None
        try:
            self._netlink.send(query)
            answer = self._netlink.recv(4096)
        except OSError:
            self.close()  # its answer may still come, and would be taken for the next one's
            return None
        return _inode(answer)


def _hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _open_netlink() -> Optional[socket.socket]:
    if not sys.platform.startswith("linux"):
        return None
    try:
        netlink = socket.socket(getattr(socket, "AF_NETLINK", -1), socket.SOCK_RAW, _SOCK_DIAG)
    except OSError:
        return None  # no such service here, or no descriptor left
    netlink.settimeout(_ANSWER_LIMIT)
    return netlink


def _query(sock: socket.socket) -> bytes:
    """The request for the socket at the other end of ``sock``."""
    family = sock.family
    own, peer = sock.getsockname(), sock.getpeername()
    addresses = b"".join(
        socket.inet_pton(family, address).ljust(16, b"\0") for address in (peer[0], own[0])
    )
    identity = _PORTS.pack(peer[1], own[1]) + addresses + _INTERFACE_AND_COOKIE
    query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + identity
    return _HEADER.pack(_HEADER.size + len(query), _BY_FAMILY, _REQUEST, 1, 0) + query


def _inode(answer: bytes) -> Optional[int]:
    """The inode in the answer; None if the kernel knows no such socket."""
    if len(answer) < _INODE_OFFSET + 4 or _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return None
    inode: int = _INODE.unpack_from(answer, _INODE_OFFSET)[0]
    return inode
