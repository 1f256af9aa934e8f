"""A connected socket with a receive buffer, in the form that websocket-client wants of a socket.

One thread receives and one sends; the socket below must allow that: a plain one does,
``ssl.SSLSocket`` does not, ``net.tls_socket`` does again.

websocket-client makes its own frames (the opening, pings, pongs, closes, text) and sends them by
:meth:`BufferedSocket.send`. It answers pings in the thread that receives. So once the connection is
open, what it sends goes to :attr:`post`, and from there to the one thread that sends.
"""

import socket
import time
from typing import Callable, Optional

from ..errors import ConnectionLost

# Bytes that are received at a time: the fewer batches, the less often threads wake and contend with
# each other. Few connections ever need as much, so the buffer is doubled whenever it was too small.
LEAST_RECEIVE_SIZE = 16384
MOST_RECEIVE_SIZE = 131072


class BufferedSocket:
    """``buffer[start:]`` is what was received and not consumed.

    Attributes:
        post: takes whole frames of websocket-client; without it they are sent at once.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.buffer = b""
        self.start = 0
        self.post: Optional[Callable[[bytes], object]] = None
        self._socket = sock
        self._received = memoryview(bytearray(LEAST_RECEIVE_SIZE))
        self._deadline: Optional[float] = None
        self._allowance = 0

    def limit(self, seconds: float, size: int) -> None:
        """From now on receive at most ``size`` bytes, within ``seconds`` of now over all."""
        self._deadline = time.monotonic() + seconds
        self._allowance = size
        self._socket.settimeout(seconds)

    def lift_limit(self) -> None:
        self._deadline = None
        self._socket.settimeout(None)

    def consume(self, stop: int) -> None:
        """Everything before index ``stop`` of the buffer was used."""
        self.start = stop

    def fill(self) -> None:
        """Wait for more bytes and append them to the buffer. ConnectionLost at the end."""
        received = self._receive()
        if not received:
            raise ConnectionLost("the service closed the connection")
        rest = self.buffer[self.start:]
        self.buffer = rest + received if rest else received
        self.start = 0

    def sendall(self, data: bytes) -> None:
        """Blocks until all of it is sent. ConnectionLost if the connection ends meanwhile."""
        try:
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise _lost("the connection broke while sending", error) from error

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
        if size and self.start >= len(self.buffer):
            self.fill()
        piece = self.buffer[self.start:self.start + size]
        self.start += len(piece)
        return piece

    def send(self, data: bytes) -> int:
        if self.post:
            self.post(data)
        else:
            self.sendall(data)
        return len(data)

    def gettimeout(self) -> Optional[float]:
        return self._socket.gettimeout()

    def settimeout(self, seconds: Optional[float]) -> None:
        """Time limits are ours: see :meth:`limit`."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def shutdown(self, how: int) -> None:
        self.abort()

    def _receive(self) -> bytes:
        try:
            if self._deadline is not None:
                return self._receive_within_limit(self._deadline)
            return self._take(len(self._received))
        except (OSError, ValueError) as error:
            raise _lost("the connection broke", error) from error

    def _receive_within_limit(self, deadline: float) -> bytes:
        if self._allowance <= 0:
            raise ConnectionLost("the answer has no end")
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        received = self._take(min(len(self._received), self._allowance))
        self._allowance -= len(received)
        return received

    def _take(self, most: int) -> bytes:
        size = self._socket.recv_into(self._received, most)
        received = bytes(self._received[:size])
        if size == len(self._received) < MOST_RECEIVE_SIZE:
            self._received = memoryview(bytearray(2 * size))
        return received


def _lost(what: str, error: Exception) -> ConnectionLost:
    return ConnectionLost("%s: %s" % (what, getattr(error, "strerror", None) or error))
