"""A connected server socket that one thread reads while other threads write, plain or TLS.

An OpenSSL connection must not be entered by two threads at once, and a blocking read would hold it
for ever: a TLS stream therefore keeps its socket non-blocking, takes a lock for each call into TLS
and waits outside the lock. Errors are ``OSError``; a time limit that passes is ``socket.timeout``.
"""

import select
import socket
import ssl
import struct
import threading
import time
from typing import Optional, Union

_Data = Union[bytes, bytearray, memoryview]

_TLS_RECORD = 16384
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

    def recv(self, size: int, timeout: Optional[float] = None) -> bytes:
        """At most ``size`` bytes, ``b""`` at the end; waits ``timeout`` seconds, or for ever."""
        buffer = memoryview(bytearray(size))
        return bytes(buffer[:self.recv_into(buffer, size, timeout)])

    def recv_into(self, buffer: memoryview, size: int, timeout: Optional[float] = None) -> int:
        """As :meth:`recv`, into a buffer. Returns how many bytes."""
        timeout = self._timeout if timeout is None else timeout
        if timeout is not None:
            _wait(self._readable, timeout)
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
            # Not SSLSocket's own: that would turn the connection back into a plain one.
            socket.socket.shutdown(self._socket, how)
        except OSError:
            pass  # the peer was faster


class TlsStream(Stream):
    def __init__(self, connection: ssl.SSLSocket) -> None:
        super().__init__(connection)
        connection.setblocking(False)
        self._connection = connection
        self._entered = threading.Lock()
        self._writable = select.poll()
        self._writable.register(connection, select.POLLOUT)

    def handshake(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._connection.do_handshake()
            except ssl.SSLWantReadError:
                _wait(self._readable, deadline - time.monotonic())
            except ssl.SSLWantWriteError:
                _wait(self._writable, deadline - time.monotonic())

    def recv_into(self, buffer: memoryview, size: int, timeout: Optional[float] = None) -> int:
        timeout = self._timeout if timeout is None else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._entered:
                try:
                    return self._connection.recv_into(buffer, size)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            _wait(self._readable, None if deadline is None else deadline - time.monotonic())

    def sendall(self, data: _Data) -> None:
        left = memoryview(data)
        while left:
            try:
                with self._entered:
                    left = left[self._connection.send(left[:_TLS_RECORD]):]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                _wait(self._writable, None)


def open_stream(connection: socket.socket, tls: Optional[ssl.SSLContext]) -> Stream:
    """The stream of an accepted connection. Nothing is read or written before ``handshake``."""
    connection.setblocking(True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return Stream(connection)
    return TlsStream(
        tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    )


def _wait(poll: "select.poll", timeout: Optional[float]) -> None:
    if timeout is not None and timeout <= 0:
        raise socket.timeout("timed out")
    if not poll.poll(None if timeout is None else timeout * 1000):
        raise socket.timeout("timed out")
