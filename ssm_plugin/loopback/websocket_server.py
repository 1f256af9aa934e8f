"""The server's side of one WebSocket connection (RFC 6455), after the upgrade.

Made for many small binary messages: all complete frames of one read are cut out of the buffer in
one loop, and all messages of one ``send`` leave in one write. One thread receives; any may send.
"""

import base64
import binascii
import hashlib
import socket
import struct
import threading
import time
from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import ConnectionLost
from .http import Request, Response, Upgrade
from .stream import Stream

MESSAGE_LIMIT = 1024 * 1024
FRAGMENTS_LIMIT = 4096
CLOSE_TIMEOUT = 2.0  # seconds that a client has to answer our close frame

NORMAL = 1000
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
POLICY_VIOLATION = 1008
TOO_BIG = 1009

_SEND_GRACE = 0.1  # seconds in which a send ends, unless the client does not read
_CONTROL_LIMIT = 64  # pongs owed to a client that does not read
_READ_SIZE = 256 * 1024
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL = 0x80
_FINAL_BINARY = _FINAL | _BINARY
_MASKED = 0x80


class _Frame(NamedTuple):
    """``end`` is where the next frame begins in the buffer."""

    final: bool
    opcode: int
    payload: bytes
    end: int


class _Violation(Exception):
    """The client broke the protocol; ``code`` is the close code that says how."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def accept_upgrade(
    request: Request, serve: Callable[[Stream, bytes], None]
) -> Union[Response, Upgrade]:
    """The answer to an upgrade request: 101, or what is wrong with the request."""
    key = request.headers.get("sec-websocket-key", "")
    wanted = "upgrade" in request.headers.get("connection", "").lower()
    if request.headers.get("upgrade", "").lower() != "websocket" or not wanted:
        return Response(426, b"this is a WebSocket endpoint\n", (("Upgrade", "websocket"),))
    if request.headers.get("sec-websocket-version") != "13":
        return Response(426, b"", (("Sec-WebSocket-Version", "13"),))
    if request.method != "GET" or not _is_key(key):
        return Response(400, b"malformed upgrade request\n")
    accept = base64.b64encode(hashlib.sha1(key.encode("ascii") + _KEY_SUFFIX).digest())
    headers = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept.decode("ascii")),
    )
    return Upgrade(101, headers, serve)


class ServerWebSocket:
    """Raises :class:`ConnectionLost` from ``receive`` and ``send`` once the connection is over."""

    def __init__(self, stream: Stream, received: bytes = b"") -> None:
        self._stream = stream
        self._buffer = received
        self._fragments: List[bytes] = []
        self._fragments_size = 0
        self._receiving = threading.Lock()
        self._ended: Optional[ConnectionLost] = None  # what the reader met after its last message
        self._sending = threading.Lock()
        self._control: Deque[bytes] = deque()
        self._closing = False
        self._cut: Optional[str] = None
        self._quiet_until = 0.0

    def receive(self) -> List[bytes]:
        """All whole binary messages of one read; waits for one."""
        while True:
            messages = self._collect(_BINARY)
            if messages:
                return messages
            self._read_more(CLOSE_TIMEOUT if self._closing else None)

    def receive_text(self, timeout: float) -> str:
        """The first message; :class:`ConnectionLost` if it is not text, or is late."""
        deadline = time.monotonic() + timeout
        while True:
            messages = self._collect(_TEXT, most=1)
            if messages:
                return messages[0].decode("utf-8", "replace")
            self._read_more(max(0.0, deadline - time.monotonic()))

    def send(self, messages: Sequence[bytes]) -> None:
        """All messages in one write, each a binary frame; waits while the client does not read."""
        parts: List[bytes] = []
        for message in messages:
            parts.append(_frame_header(_BINARY, len(message)))
            parts.append(message)
        with self._sending:
            if self._closing:
                raise ConnectionLost("the client's connection is closing")
            self._write(b"".join(parts))
        self._flush_control()

    def ping(self, payload: bytes = b"") -> None:
        self._queue_control(_frame(_PING, payload))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin or answer the closing handshake; the thread in ``receive`` sees it through."""
        if self._closing:
            return
        self._closing = True
        try:
            self._queue_control(_frame(_CLOSE, struct.pack(">H", code) + reason.encode()[:123]))
        except ConnectionLost:
            pass  # it is as closed as it can be

    def abort(self) -> None:
        """Cut the connection; wakes a thread in ``receive`` and one in ``send``."""
        self._cut = self._cut or "the connection was cut"
        self._closing = True
        self._stream.reset_on_close()
        if not self._sending.acquire(timeout=_SEND_GRACE):
            self._stream.wake_all()  # a send that the client does not read: no reset, but an end
            return
        # The reset goes out when the socket is closed, which must not be while a thread reads.
        self._stream.wake_reader()
        if self._receiving.acquire(False):
            self._stream.close()
            self._receiving.release()
        self._sending.release()

    def stay_quiet(self, until: float) -> None:
        """Leave pings unanswered up to that moment of ``time.monotonic``."""
        self._quiet_until = until

    def _collect(self, opcode: int, most: int = 0) -> List[bytes]:
        """Whole messages of that kind in the buffer; control frames are dealt with on the way."""
        if self._ended is not None:
            raise self._ended
        messages: List[bytes] = []
        try:
            self._cut_messages(opcode, most, messages)
        except _Violation as violation:
            self.close(violation.code, str(violation))
            self._ended = ConnectionLost("the client broke the protocol: %s" % violation)
        except ConnectionLost as lost:
            self._ended = lost
        if self._ended is not None and not messages:
            raise self._ended
        return messages

    def _cut_messages(self, opcode: int, most: int, messages: List[bytes]) -> None:
        position = 0
        while not most or len(messages) < most:
            if opcode == _BINARY and not self._fragments:
                position = _cut_binary(self._buffer, position, messages)
            frame = _parse_frame(self._buffer, position)
            if frame is None:
                break
            position = frame.end
            message = self._take_frame(frame, opcode)
            if message is not None:
                messages.append(message)
        self._buffer = self._buffer[position:]

    def _take_frame(self, frame: _Frame, wanted: int) -> Optional[bytes]:
        if frame.opcode >= _CLOSE:
            self._take_control(frame)
            return None
        if (frame.opcode == _CONTINUATION) != bool(self._fragments):
            raise _Violation(PROTOCOL_ERROR, "fragments out of order")
        if frame.opcode not in (_CONTINUATION, wanted):
            raise _Violation(UNSUPPORTED_DATA, "unexpected kind of message")
        self._fragments.append(frame.payload)
        self._fragments_size += len(frame.payload)
        if self._fragments_size > MESSAGE_LIMIT or len(self._fragments) > FRAGMENTS_LIMIT:
            raise _Violation(TOO_BIG, "message too big")
        if not frame.final:
            return None
        message = b"".join(self._fragments)
        self._fragments, self._fragments_size = [], 0
        return message

    def _take_control(self, frame: _Frame) -> None:
        if not frame.final or len(frame.payload) > 125:
            raise _Violation(PROTOCOL_ERROR, "malformed control frame")
        if frame.opcode == _PING:
            self._answer_ping(frame.payload)
        elif frame.opcode == _CLOSE:
            code, reason = _close_reason(frame.payload)
            self.close(code)
            raise ConnectionLost("the client closed the connection: %d %s" % (code, reason))
        elif frame.opcode != _PONG:
            raise _Violation(PROTOCOL_ERROR, "unknown opcode")

    def _answer_ping(self, payload: bytes) -> None:
        quiet = self._closing or time.monotonic() < self._quiet_until
        if not quiet and len(self._control) < _CONTROL_LIMIT:
            self._queue_control(_frame(_PONG, payload))

    def _read_more(self, timeout: Optional[float]) -> None:
        try:
            with self._receiving:
                more = self._stream.recv(_READ_SIZE, timeout)
        except socket.timeout as error:
            raise ConnectionLost("the client did not answer in time") from error
        except OSError as error:
            raise ConnectionLost(
                self._cut or "the client's connection is lost: %s" % error
            ) from error
        if self._cut or not more:
            raise ConnectionLost(self._cut or "the client has gone")
        self._buffer += more

    def _queue_control(self, frame: bytes) -> None:
        self._control.append(frame)
        self._flush_control()

    def _flush_control(self) -> None:
        # Whoever holds the lock flushes after releasing it, so that the receiving thread need not
        # wait behind a send that the client does not read.
        while self._control and self._sending.acquire(False):
            try:
                while self._control:
                    self._write(self._control.popleft())
            finally:
                self._sending.release()

    def _write(self, data: bytes) -> None:
        if self._cut is not None:
            raise ConnectionLost(self._cut)
        try:
            self._stream.sendall(data)
        except OSError as error:
            self._cut = self._cut or "the client's connection is lost: %s" % error
            raise ConnectionLost(self._cut) from error


def _cut_binary(buffer: bytes, position: int, messages: List[bytes]) -> int:
    """Append every complete, final, masked binary frame; returns where something else begins."""
    size = len(buffer)
    from_bytes = int.from_bytes
    while position + 6 <= size:
        first, length = buffer[position], buffer[position + 1]
        start = position + 6
        if first != _FINAL_BINARY or length < _MASKED:
            break
        length -= _MASKED
        if length == 126:
            length = buffer[position + 2] << 8 | buffer[position + 3]
            start += 2
        elif length == 127:
            break
        end = start + length
        if end > size:
            break
        key = (buffer[start - 4:start] * ((length + 3) >> 2))[:length]
        plain = from_bytes(buffer[start:end], "little") ^ from_bytes(key, "little")
        messages.append(plain.to_bytes(length, "little"))
        position = end
    return position


def _parse_frame(buffer: bytes, position: int) -> Optional[_Frame]:
    """Any one frame, or None when it is not complete yet."""
    if len(buffer) < position + 2:
        return None
    first, second = buffer[position], buffer[position + 1]
    if first & 0x70 or not second & _MASKED:
        raise _Violation(PROTOCOL_ERROR, "reserved bits set, or a frame without a mask")
    length, start = second & 0x7F, position + 2
    if length >= 126:
        extended = 2 if length == 126 else 8
        length = int.from_bytes(buffer[start:start + extended], "big")
        start += extended
    start += 4
    if start <= len(buffer) and length > MESSAGE_LIMIT:
        raise _Violation(TOO_BIG, "message too big")
    if start + length > len(buffer):
        return None
    payload = _unmask(buffer[start:start + length], buffer[start - 4:start])
    return _Frame(bool(first & _FINAL), first & 0x0F, payload, start + length)


def _unmask(data: bytes, mask: bytes) -> bytes:
    key = (mask * (len(data) // 4 + 1))[:len(data)]
    plain = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return plain.to_bytes(len(data), "little")


def _frame_header(opcode: int, length: int) -> bytes:
    if length < 126:
        return struct.pack(">BB", _FINAL | opcode, length)
    if length < 65536:
        return struct.pack(">BBH", _FINAL | opcode, 126, length)
    return struct.pack(">BBQ", _FINAL | opcode, 127, length)


def _frame(opcode: int, payload: bytes) -> bytes:
    return _frame_header(opcode, len(payload)) + payload


def _close_reason(payload: bytes) -> Tuple[int, str]:
    if len(payload) < 2:
        return NORMAL, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.encode("ascii"), validate=True)) == 16
    except (UnicodeEncodeError, binascii.Error):
        return False
