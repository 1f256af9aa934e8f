"""A connected server socket that one thread reads while other threads write, plain or TLS.

Errors are ``OSError``; a time limit that passes is ``socket.timeout``. The socket itself has no
time limit: it would be one for the thread that writes, too.
"""

import select
import socket
import ssl
import struct
import time
from typing import Optional, Union, cast

from ..net.connect import send_at_once
from ..net.tls_socket import TlsSocket

_Data = Union[bytes, bytearray, memoryview]

_NO_LINGER = struct.pack("ii", 1, 0)


class Stream:
    """One reader at a time, one writer at a time; ``wake`` may come from anywhere."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._timeout: Optional[float] = None
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)

    def handshake(self, timeout: float) -> None:
        """Agree on TLS within ``timeout`` seconds; a plain connection has nothing to agree on."""
        if isinstance(self._socket, TlsSocket):
            deadline = time.monotonic() + timeout
            self._socket.do_handshake(lambda: max(0.001, deadline - time.monotonic()))
            self._socket.settimeout(None)

    def recv(self, size: int, timeout: Optional[float] = None) -> bytes:
        """At most ``size`` bytes, ``b""`` at the end; waits ``timeout`` seconds, or for ever. Over
        TLS it also waits for the rest of what has begun to come."""
        buffer = memoryview(bytearray(size))
        return bytes(buffer[:self.recv_into(buffer, size, timeout)])

    def recv_into(self, buffer: memoryview, size: int, timeout: Optional[float] = None) -> int:
        """As :meth:`recv`, into a buffer. Returns how many bytes."""
        timeout = self._timeout if timeout is None else timeout
        is_here = isinstance(self._socket, TlsSocket) and self._socket.pending()
        if timeout is not None and not is_here:
            if timeout <= 0 or not self._readable.poll(timeout * 1000):
                raise socket.timeout("timed out")
        return self._socket.recv_into(buffer, size)

    def sendall(self, data: _Data) -> None:
        self._socket.sendall(data)

    def reset_on_close(self) -> None:
        """Make ``close`` cut the connection (RST) in place of ending it in order."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        except OSError:
            pass  # it is closed already

    def wake_reader(self) -> None:
        """Make a blocked reader return. Nothing goes out to the peer."""
        self._shutdown(socket.SHUT_RD)

    def wake_all(self) -> None:
        """Make a blocked reader and a blocked ``sendall`` return; the peer sees the end."""
        self._shutdown(socket.SHUT_RDWR)

    def end_output(self) -> None:
        """Tell the peer that no more is coming; what it sends can still be read."""
        self._shutdown(socket.SHUT_WR)

    # What BufferedSocket uses, besides ``recv_into``, ``sendall`` and ``close``

    def settimeout(self, seconds: Optional[float]) -> None:
        """The time limit for a caller that receives without naming one."""
        self._timeout = seconds

    def gettimeout(self) -> Optional[float]:
        return self._timeout

    def shutdown(self, how: int) -> None:
        self.wake_all()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """To be called when no thread reads or writes: closing a descriptor does not wake
        anybody."""
        self._socket.close()

    def _shutdown(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            pass  # the peer was faster


def open_stream(connection: socket.socket, tls: Optional[ssl.SSLContext]) -> Stream:
    """The stream of an accepted connection. Nothing is read or written before ``handshake``."""
    connection.setblocking(True)
    send_at_once(connection)
    if tls is not None:
        connection = cast(socket.socket, TlsSocket(connection, tls, None))
    return Stream(connection)
