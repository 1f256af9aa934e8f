"""A connected socket for one reading thread and any number of writing ones.

The socket must allow that: plain ones do, ``ssl.SSLSocket`` does not, ``net.tls_socket`` does
again.

:class:`Stream` also looks enough like a socket for websocket-client, which reads the handshake and
rare frames through it and answers pings: its ``send`` sends everything, so that an answer never
lands in the middle of a frame of another thread.
"""

import socket
import threading
from typing import Optional

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

    def _receive(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except (OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)
