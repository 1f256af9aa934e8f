"""The WebSocket of a data channel: the only place that knows websocket-client.

Binary frames, nearly all of the traffic, are cut straight out of the receive buffer, and many
messages are sent with one call. websocket-client reads what is rare: text, fragments, pings,
closes. It is loaded when the first of these comes, as it takes long.
"""

import socket
import struct
from typing import Any, List, Mapping, Optional, Tuple

from ..errors import ConnectionLost
from .framing import (
    CLOSE,
    PING,
    TEXT,
    binary_frames,
    cut_binary_frames,
    missing_bytes,
    other_frame,
)
from .stream import Stream
from .upgrade import upgrade

# Bytes joined into one send. Enough to spread the cost of a call over a hundred messages, and
# little enough that an acknowledgement does not wait long behind data.
SEND_SIZE = 131072


class WebSocketConnection:
    """One connection, opened. One thread receives; any thread sends, aborts, closes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reader: Any = None  # websocket-client's

    def receive(self) -> List[memoryview]:
        """Wait for binary messages and return all that are here: at least one, or none if other
        frames came. :class:`ConnectionLost` at the end."""
        stream = self._stream
        while True:
            frames, stop = cut_binary_frames(stream.buffered, stream.start)
            stream.consume(stop)
            if frames:
                return frames
            if missing_bytes(stream.buffered, stop) is None:
                return self._receive_rare()
            stream.fill()

    def send(self, messages: List[bytes]) -> None:
        """Send each message as one binary frame, many with one call."""
        start = size = 0
        for index, message in enumerate(messages):
            size += len(message)
            if size >= SEND_SIZE:
                self._stream.sendall(binary_frames(messages[start:index + 1]))
                start, size = index + 1, 0
        if start < len(messages):
            self._stream.sendall(binary_frames(messages[start:]))

    def send_text(self, text: str) -> None:
        self._stream.sendall(other_frame(TEXT, text.encode("utf-8")))

    def ping(self) -> None:
        self._stream.sendall(other_frame(PING, b""))

    def farewell(self) -> None:
        """Tell the service that we leave, without waiting for its answer."""
        self._stream.sendall(other_frame(CLOSE, struct.pack("!H", 1000)))

    def abort(self) -> None:
        """Wake a blocked :meth:`receive` or :meth:`send`, which then fail."""
        self._stream.abort()

    def close(self) -> None:
        """Free the descriptor. Only once no thread is in :meth:`receive` any more."""
        self._stream.close()

    def _receive_rare(self) -> List[memoryview]:
        import websocket
        from websocket import ABNF

        if self._reader is None:
            # A lock of its own would be held while it waits for a frame.
            self._reader = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
            self._reader.sock = self._stream
        try:
            opcode, frame = self._reader.recv_data_frame(control_frame=True)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error
        if opcode == ABNF.OPCODE_CLOSE:
            raise ConnectionLost("the service closed the connection%s" % _closing(frame.data))
        if opcode == ABNF.OPCODE_BINARY:
            return [memoryview(frame.data)]
        return []


def open_websocket(
    url: str, headers: Mapping[str, str], sock: socket.socket, timeout: float
) -> WebSocketConnection:
    """Upgrade a connected socket. ``headers`` are added to the request; ``timeout`` is in s.

    Raises what :func:`~ssm_plugin.transport.upgrade.upgrade` raises, with the socket closed.
    """
    stream = Stream(sock)
    try:
        upgrade(stream, url, headers, timeout)
    except BaseException:  # a safety net: whatever it is, the socket must not stay open
        stream.close()
        raise
    stream.settimeout(None)
    return WebSocketConnection(stream)


def _closing(data: bytes) -> str:
    code, reason = _close_parts(data)
    if code is None:
        return ""
    return " (%d%s)" % (code, " " + reason if reason else "")


def _close_parts(data: Any) -> Tuple[Optional[int], str]:
    if len(data) < 2:
        return None, ""
    return int.from_bytes(data[:2], "big"), bytes(data[2:]).decode("utf-8", "replace")
