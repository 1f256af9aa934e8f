"""A connected socket for one reading thread and any number of writing ones.

Plain sockets allow that by themselves. A TLS connection does not: OpenSSL forbids two threads in
one connection at once, and a lock held across a blocking read would stop all writing. So the TLS
socket is non-blocking, each call into it is short and holds a lock, and waiting is done outside.

:class:`Stream` also looks enough like a socket for websocket-client, which reads the handshake and
rare frames through it and answers pings: its ``send`` sends everything, so that an answer never
lands in the middle of a frame of another thread.
"""

import select
import socket
import ssl
import threading
from typing import Any, Optional

from ..errors import ConnectionLost

RECEIVE_SIZE = 65536


class Stream:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._writing = threading.Lock()
        self._buffer = b""
        self._start = 0

    @property
    def buffered(self) -> bytes:
        """What was received and not consumed: ``buffered[start:]``."""
        return self._buffer

    @property
    def start(self) -> int:
        return self._start

    def consume(self, stop: int) -> None:
        """Everything before index ``stop`` of the buffer was used."""
        self._start = stop

    def fill(self) -> None:
        """Wait for more bytes and append them to what is buffered."""
        received = self._receive(RECEIVE_SIZE)
        if not received:
            raise ConnectionLost("the service closed the connection")
        rest = self._buffer[self._start:]
        self._buffer = rest + received if rest else received
        self._start = 0

    def sendall(self, data: bytes) -> None:
        try:
            with self._writing:
                self._send(data)
        except (OSError, ValueError) as error:
            raise ConnectionLost("the connection broke while sending: %s" % error) from error

    def abort(self) -> None:
        """End both directions at once; a blocked read or write fails. The descriptor stays."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already gone: that is what was wanted

    def close(self) -> None:
        self.abort()
        self._socket.close()

    # What websocket-client uses

    def recv(self, size: int) -> bytes:
        if self._start >= len(self._buffer):
            self.fill()
        piece = self._buffer[self._start:self._start + size]
        self._start += len(piece)
        return piece

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def gettimeout(self) -> Optional[float]:
        return self._socket.gettimeout()

    def settimeout(self, seconds: Optional[float]) -> None:
        self._socket.settimeout(seconds)

    def fileno(self) -> int:
        return self._socket.fileno()

    def shutdown(self, how: int) -> None:
        self.abort()

    # The two ways of doing it

    def _receive(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except (OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)


class TlsStream(Stream):
    """``settimeout`` sets the limit of each wait, as on a socket; None waits for ever."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._timeout = sock.gettimeout()
        self._calling = threading.Lock()
        sock.setblocking(False)

    def gettimeout(self) -> Optional[float]:
        return self._timeout

    def settimeout(self, seconds: Optional[float]) -> None:
        self._timeout = seconds

    def _receive(self, size: int) -> bytes:
        try:
            while True:
                try:
                    with self._calling:
                        return self._socket.recv(size)
                except ssl.SSLWantReadError:
                    self._wait(select.POLLIN)
                except ssl.SSLWantWriteError:
                    self._wait(select.POLLOUT)
        except (OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                with self._calling:
                    sent = self._socket.send(rest)
                rest = rest[sent:]
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket.fileno(), event)
        milliseconds = None if self._timeout is None else self._timeout * 1000
        if not poll.poll(milliseconds):
            raise socket.timeout("timed out")


def stream_over(sock: Any) -> Stream:
    return TlsStream(sock) if isinstance(sock, ssl.SSLSocket) else Stream(sock)
