"""The server's side of one WebSocket connection, after the upgrade.

It reads and writes frames with the same two files as the client: ``transport.frames`` and
``transport.websocket``. One thread receives; any may send.
"""

import base64
import binascii
import hashlib
import socket
import struct
import threading
import time
from collections import deque
from functools import partial
from typing import Callable, Deque, List, Optional, Sequence, TypeVar, Union, cast

import websocket
from websocket import ABNF

from ..errors import ConnectionLost, RemoteError
from ..transport.buffered_socket import BufferedSocket
from ..transport.frames import MAXIMUM_MESSAGE
from ..transport.websocket import WebSocketConnection
from ..wire.message import Buffer
from .http import HttpResponse, Request, Upgrade
from .stream import Stream

CLOSE_TIMEOUT = 2.0  # seconds that a client has to answer our close frame

NORMAL = 1000
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008

_SEND_GRACE = 0.1  # seconds in which a send ends, unless the client does not read
_CONTROL_LIMIT = 64  # pongs owed to a client that does not read
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPCODE = 0x0F
_ENDLESS = 1 << 40  # bytes

T = TypeVar("T")


def accept_upgrade(
    request: Request, serve: Callable[[Stream, bytes], None]
) -> Union[HttpResponse, Upgrade]:
    """The answer to an upgrade request: 101, or what is wrong with the request."""
    key = request.headers.get("sec-websocket-key", "")
    wanted = "upgrade" in request.headers.get("connection", "").lower()
    if request.headers.get("upgrade", "").lower() != "websocket" or not wanted:
        return HttpResponse(426, b"this is a WebSocket endpoint\n", (("Upgrade", "websocket"),))
    if request.headers.get("sec-websocket-version") != "13":
        return HttpResponse(426, b"", (("Sec-WebSocket-Version", "13"),))
    if request.method != "GET" or not _is_key(key):
        return HttpResponse(400, b"malformed upgrade request\n")
    accept = base64.b64encode(hashlib.sha1(key.encode("ascii") + _KEY_SUFFIX).digest())
    headers = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept.decode("ascii")),
    )
    return Upgrade(101, headers, serve)


class _Library(websocket.WebSocket):
    """websocket-client, answering as a server does: without masks."""

    def send(self, payload: Union[str, bytes], opcode: int = ABNF.OPCODE_TEXT) -> int:
        sent: int = cast(BufferedSocket, self.sock).send(_frame(payload, opcode))
        return sent


class ServerWebSocket:
    """Raises :class:`ConnectionLost` from ``receive`` and ``send`` once the connection is over."""

    def __init__(self, stream: Stream, received: bytes = b"") -> None:
        self._stream = stream
        self._socket = BufferedSocket(cast(socket.socket, stream))
        self._socket.buffer = received
        library = _Library(skip_utf8_validation=True, fire_cont_frame=True)
        library.sock = cast(socket.socket, self._socket)
        self._connection = WebSocketConnection(self._socket, library, masked=True, peer="client")
        self._connection.answer_through(self._answer)
        self._receiving = threading.Lock()
        self._sending = threading.Lock()
        self._control: Deque[bytes] = deque()
        self._closing = False
        self._cut: Optional[str] = None
        self._quiet_until = 0.0

    def receive(self) -> List[bytes]:
        """All whole binary messages of one read; waits for one."""
        messages: List[Buffer] = []
        while not messages:
            messages = self._read(self._connection.receive)
        return [bytes(message) for message in messages]

    def receive_text(self, timeout: float) -> str:
        """The first message; :class:`ConnectionLost` if it is not text, or is late."""
        self._socket.limit(timeout, MAXIMUM_MESSAGE)
        opcode, message = self._read(self._connection.receive_any)
        if opcode != ABNF.OPCODE_TEXT:
            raise self._violated("its first message is not text")
        self._socket.lift_limit()
        return message.decode("utf-8", "replace")

    def send(self, messages: Sequence[bytes]) -> None:
        """All messages, each a binary frame; waits while the client does not read."""
        with self._sending:
            if self._closing:
                raise ConnectionLost("the client's connection is closing")
            self._write(lambda: self._connection.send(list(messages)))
        self._flush_control()

    def ping(self, payload: bytes = b"") -> None:
        self._queue_control(_frame(payload, ABNF.OPCODE_PING))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake; the thread in ``receive`` sees it through."""
        if self._closing:
            return
        self._closing = True
        self._socket.limit(CLOSE_TIMEOUT, _ENDLESS)
        try:
            payload = struct.pack(">H", code) + reason.encode()[:123]
            self._queue_control(_frame(payload, ABNF.OPCODE_CLOSE))
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

    def _read(self, read: Callable[[], T]) -> T:
        """What ended the connection once ends every later call as well."""
        if self._cut:
            raise ConnectionLost(self._cut)
        try:
            with self._receiving:
                found = read()
        except RemoteError as error:
            raise self._violated(str(error)) from error
        except ConnectionLost as error:
            self._cut = self._cut or str(error)
            raise ConnectionLost(self._cut) from error
        if self._cut:
            raise ConnectionLost(self._cut)
        return found

    def _violated(self, why: str) -> ConnectionLost:
        self.close(PROTOCOL_ERROR, why)
        self._cut = "the client broke the protocol: %s" % why
        return ConnectionLost(self._cut)

    def _answer(self, frame: bytes) -> None:
        """What websocket-client answers to a ping or a close, in the thread that receives."""
        if frame[0] & _OPCODE == ABNF.OPCODE_CLOSE:
            if self._closing:
                return
            self._closing = True
        elif time.monotonic() < self._quiet_until or len(self._control) >= _CONTROL_LIMIT:
            return
        self._queue_control(frame)

    def _queue_control(self, frame: bytes) -> None:
        self._control.append(frame)
        self._flush_control()

    def _flush_control(self) -> None:
        # Whoever holds the lock flushes after releasing it, so that the receiving thread need not
        # wait behind a send that the client does not read.
        while self._control and self._sending.acquire(False):
            try:
                while self._control:
                    self._write(partial(self._connection.send_frame, self._control.popleft()))
            finally:
                self._sending.release()

    def _write(self, write: Callable[[], None]) -> None:
        if self._cut is not None:
            raise ConnectionLost(self._cut)
        try:
            write()
        except ConnectionLost as error:
            self._cut = self._cut or "the client's connection is lost: %s" % error
            raise ConnectionLost(self._cut) from error


def _frame(payload: Union[str, bytes], opcode: int) -> bytes:
    data = payload.encode("utf-8") if isinstance(payload, str) else payload
    return ABNF(1, 0, 0, 0, opcode, 0, data).format()


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.encode("ascii"), validate=True)) == 16
    except (UnicodeEncodeError, binascii.Error):
        return False
