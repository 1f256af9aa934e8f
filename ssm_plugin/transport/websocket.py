"""The WebSocket of a data channel: the only place that knows websocket-client.

websocket-client does the opening handshake and reads what is rare: text, fragments, pings, closes.
Binary frames, nearly all of the traffic, are cut straight out of the receive buffer, and many
messages are sent with one call.
"""

import socket
import struct
from typing import Any, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from ..errors import ConnectError, ConnectionLost, DeadlineError, UpgradeError
from .framing import binary_frames, cut_binary_frames, missing_bytes
from .stream import Stream

# Bytes joined into one send. Enough to spread the cost of a call over a hundred messages, and
# little enough that an acknowledgement does not wait long behind data.
SEND_SIZE = 131072


class WebSocketConnection:
    """One connection, opened. One thread receives; any thread sends, aborts, closes."""

    def __init__(self, client: "websocket.WebSocket", stream: Stream) -> None:
        self._client = client
        self._stream = stream

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
        self._send_rare(text.encode("utf-8"), ABNF.OPCODE_TEXT)

    def ping(self) -> None:
        self._send_rare(b"", ABNF.OPCODE_PING)

    def farewell(self) -> None:
        """Tell the service that we leave, without waiting for its answer."""
        self._send_rare(struct.pack("!H", 1000), ABNF.OPCODE_CLOSE)

    def abort(self) -> None:
        """Wake a blocked :meth:`receive` or :meth:`send`, which then fail."""
        self._stream.abort()

    def close(self) -> None:
        """Free the descriptor. Only once no thread is in :meth:`receive` any more."""
        self._stream.close()

    def _receive_rare(self) -> List[memoryview]:
        try:
            opcode, frame = self._client.recv_data_frame(control_frame=True)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error
        if opcode == ABNF.OPCODE_CLOSE:
            raise ConnectionLost("the service closed the connection%s" % _closing(frame.data))
        if opcode == ABNF.OPCODE_BINARY:
            return [memoryview(frame.data)]
        return []

    def _send_rare(self, data: bytes, opcode: int) -> None:
        try:
            self._client.send(data, opcode)
        except (websocket.WebSocketException, OSError, ValueError, AttributeError) as error:
            # AttributeError: websocket-client drops its socket when it fails in another thread.
            raise ConnectionLost("the connection broke while sending: %s" % error) from error


def open_websocket(
    url: str, headers: Mapping[str, str], sock: socket.socket, timeout: float
) -> WebSocketConnection:
    """Upgrade a connected socket. ``headers`` are added to the request; ``timeout`` is in s.

    :class:`UpgradeError` when the service answers with anything but 101.
    """
    stream = Stream(sock)
    stream.settimeout(timeout)
    # The lock of websocket-client's own would be held while it waits for a frame.
    client = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
    try:
        client.connect(
            url,
            socket=stream,
            header=["%s: %s" % pair for pair in headers.items() if pair[0].lower() != "host"],
            suppress_origin=True,
            timeout=timeout,
            redirect_limit=0,
        )
    except (
        websocket.WebSocketException,
        ConnectionLost,
        OSError,
        ValueError,
        IndexError,  # a first line without a status
    ) as error:
        stream.close()
        raise _refusal(url, error, timeout) from error
    status = client.getstatus()
    if status != 101:  # websocket-client takes a redirection that it may not follow for success
        stream.close()
        raise UpgradeError(_refused_upgrade(urlsplit(url).netloc, status), status)
    stream.settimeout(None)
    return WebSocketConnection(client, stream)


def _refusal(url: str, error: Exception, timeout: float) -> Exception:
    host = urlsplit(url).netloc
    if isinstance(error, websocket.WebSocketBadStatusException):
        return UpgradeError(_refused_upgrade(host, error.status_code), error.status_code)
    cause = error.__cause__ if isinstance(error, ConnectionLost) else error
    if isinstance(cause, (socket.timeout, websocket.WebSocketTimeoutException)):
        return DeadlineError(
            "%s did not answer the WebSocket request within %g s" % (host, timeout)
        )
    return ConnectError("%s did not open a WebSocket: %s" % (host, error))


def _refused_upgrade(host: str, status: int) -> str:
    advice = {
        403: "the credentials need ssmmessages:OpenDataChannel, and a clock that is right",
        401: "the request was not signed, or the credentials are not valid",
        410: "the session is over; start a new one",
    }.get(status, "check the stream URL and the proxy")
    return "%s refused the data channel with HTTP status %d: %s" % (host, status, advice)


def _closing(data: bytes) -> str:
    code, reason = _close_parts(data)
    if code is None:
        return ""
    return " (%d%s)" % (code, " " + reason if reason else "")


def _close_parts(data: Any) -> Tuple[Optional[int], str]:
    if len(data) < 2:
        return None, ""
    return int.from_bytes(data[:2], "big"), bytes(data[2:]).decode("utf-8", "replace")
