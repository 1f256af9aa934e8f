"""The local ends of a port session: listening sockets, bound before anything else happens.

TCP binds to loopback unless told otherwise, IPv4 and IPv6 on one port where the machine has both.
A unix socket is made with mode 0600; one that a dead program left behind is removed.
"""

import errno
import os
import re
import socket
import stat
from contextlib import suppress
from typing import Any, List, Mapping, Optional, Tuple

from ..errors import LocalError, SessionPropertyError
from ..shortage import explain
from .address import is_loopback

LOOPBACK = ("127.0.0.1", "::1")

# The kernel lowers it to its own limit (net.core.somaxconn).
BACKLOG = 1024

# Attempts to find a port that is free in both address families.
_ATTEMPTS = 20

_NO_SUCH_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


class LocalEnd:
    """Listening, non-blocking ``sockets``. ``port`` for TCP, else ``path``."""

    def __init__(
        self, sockets: List[socket.socket], port: int = 0, path: Optional[str] = None
    ) -> None:
        self.sockets = sockets
        self.port = port
        self.path = path
        self._inode = _inode(path) if path is not None else None
        for sock in sockets:
            sock.setblocking(False)

    def __enter__(self) -> "LocalEnd":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __str__(self) -> str:
        return "port %d" % self.port if self.path is None else "unix socket %s" % self.path

    @property
    def addresses(self) -> List[str]:
        """Where it listens, for TCP."""
        if self.path is not None:
            return []
        return [_number(sock.getsockname()) for sock in self.sockets]

    def close(self) -> None:
        """Stop listening; removes the unix socket, unless somebody else's is there by now."""
        for sock in self.sockets:
            sock.close()
        if self.path is not None and self._inode and _inode(self.path) == self._inode:
            self._inode = None
            with suppress(OSError):  # a stale one is removed by the next who listens there
                os.unlink(self.path)


def names_local_end(parameters: Mapping[str, object]) -> bool:
    """Whether a session with these parameters listens at a place that could be taken."""
    wanted = _text(parameters, "localPortNumber") not in ("", "0")
    return wanted or bool(_text(parameters, "localUnixSocket"))


def exposure_warnings(local_end: LocalEnd) -> List[str]:
    """A line for each address that other machines can reach."""
    return [
        "ssm-plugin: warning: whoever can reach %s port %d of this machine can use the tunnel"
        % (address, local_end.port)
        for address in local_end.addresses
        if not is_loopback(address.partition("%")[0])
    ]


def bind_local_end(parameters: Mapping[str, object], host: Optional[str] = None) -> LocalEnd:
    """What ``localPortNumber`` (missing, empty and 0 mean any port) or ``localConnectionType`` and
    ``localUnixSocket`` ask for. Values are text, or lists of one text as StartSession takes them.
    ``host`` is the address to listen on; None: loopback.

    LocalError names the address, the reason and what to do; SessionPropertyError a wrong value.
    """
    if _text(parameters, "localConnectionType").lower() == "unix":
        path = _text(parameters, "localUnixSocket")
        if not path:
            raise SessionPropertyError("localUnixSocket is missing: a path to listen at")
        return bind_unix(path)
    return bind_tcp(_port_number(_text(parameters, "localPortNumber")), host)


def bind_tcp(port: int = 0, host: Optional[str] = None) -> LocalEnd:
    """``port`` 0 is any that is free; ``host`` None is loopback, else an address or a name."""
    addresses = LOOPBACK if host is None else _addresses(host)
    for _ in range(_ATTEMPTS - 1):
        try:
            return _bind_all(addresses, port)
        except LocalError:
            if port:
                raise
    return _bind_all(addresses, port)


def bind_unix(path: str) -> LocalEnd:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(OSError):  # Linux makes the file with the mode of the socket
            os.fchmod(sock.fileno(), 0o600)
        sock.bind(path)
        if os.lstat(path).st_mode & 0o077:  # other systems do not; nobody can connect yet
            os.chmod(path, 0o600)
        sock.listen(BACKLOG)
    except (OSError, ValueError) as error:
        sock.close()
        raise _socket_error(path, error) from error
    return LocalEnd([sock], path=path)


def _bind_all(addresses: Tuple[str, ...], port: int) -> LocalEnd:
    """One socket for each address that the machine has, all on one port. ``localhost`` is often
    ``::1`` too where there is no IPv6."""
    sockets: List[socket.socket] = []
    failed: Optional[OSError] = None
    try:
        for address in addresses:
            try:
                sockets.append(_listen(address, port))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise _port_error(address, port, error) from error
                failed = error
            else:
                port = sockets[0].getsockname()[1]
        if not sockets:
            assert failed is not None
            raise _port_error(addresses[0], port, failed) from failed
    except LocalError:
        for sock in sockets:
            sock.close()
        raise
    return LocalEnd(sockets, port)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier session may still be winding down on the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        where: Tuple[Any, ...] = (address, port)
        if "%" in address:  # ``bind`` itself would not look at the zone
            where = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4]
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _addresses(host: str) -> Tuple[str, ...]:
    bare = re.sub(r"\A\[([^\[\]]*:[^\[\]]*)\]\Z", r"\1", host)
    try:
        found = socket.getaddrinfo(bare, None, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise LocalError(
            "cannot listen on %s: it is not an address of this machine; use 127.0.0.1, or 0.0.0.0 "
            "for all addresses" % host
        ) from error
    addresses: List[str] = []
    for family, _, _, _, address in found:
        if family in (socket.AF_INET, socket.AF_INET6) and _number(address) not in addresses:
            addresses.append(_number(address))
    return tuple(addresses)


def _number(address: Tuple[Any, ...]) -> str:
    """The address alone, with the zone that one of a single link has (``fe80::1%eth0``)."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]


def _port_error(address: str, port: int, error: OSError) -> LocalError:
    where = "%s port %d" % (address, port)
    if error.errno == errno.EADDRINUSE:
        hint = "it is in use; end the program that uses it, or choose another local port (0 is any)"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = "no permission, which ports below 1024 need; choose another local port"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = "this machine does not have that address; use 127.0.0.1"
    else:
        other = "%s; choose another local port or address" % os.strerror(error.errno or 0)
        hint = str(explain(error) or other)
    return LocalError("cannot listen on %s: %s" % (where, hint))


def _remove_stale(path: str) -> None:
    """Remove the socket at ``path`` if nobody answers there; LocalError if it cannot go."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _socket_error(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise LocalError(
            "cannot listen on unix socket %s: a file that is not a socket is there; move it away, "
            "or choose another path" % path
        )
    try:
        if _answers(path):
            raise LocalError(
                "cannot listen on unix socket %s: it is in use; end the program that uses it, or "
                "choose another path" % path
            )
        os.unlink(path)
    except FileNotFoundError:
        pass  # its owner has just removed it
    except OSError as error:
        raise _socket_error(path, error) from error


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            pass  # its backlog is full: somebody listens
        return True


def _socket_error(path: str, error: Exception) -> LocalError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "no permission; choose a path in a directory of your own"
    elif number in (errno.ENOENT, errno.ENOTDIR):
        hint = "the directory does not exist; create it, or choose another path"
    else:
        other = "%s; choose another path" % (os.strerror(number) if number else error)
        hint = str(explain(error) or other)
    return LocalError("cannot listen on unix socket %s: %s" % (path, hint))


def _inode(path: str) -> Optional[Tuple[int, int]]:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _port_number(text: str) -> int:
    if not text:
        return 0
    if not re.match(r"[0-9]{1,5}\Z", text) or int(text) > 65535:
        raise SessionPropertyError(
            "localPortNumber %r is not a port: it must be a number from 0 to 65535" % text[:50]
        )
    return int(text)


def _text(parameters: Mapping[str, object], name: str) -> str:
    value = parameters.get(name)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip()
