"""The WebSocket of a data channel: websocket-client, and the accelerator beneath it.

websocket-client opens the connection, and is the connection: it reads every frame but whole binary
ones, and makes pings, pongs, closes and text. Whole binary frames, nearly all of the traffic, are
cut straight out of the receive buffer, and many messages are sent with one call (``frames``).

Loading websocket-client takes 20 to 40 ms: this module is imported in the thread that dials, while
the network is waited for.
"""

import socket
from typing import Callable, List, Mapping, Optional, Tuple, Union, cast
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from ..errors import (
    ConnectError,
    ConnectionLost,
    DeadlineError,
    RemoteError,
    SsmPluginError,
    UpgradeError,
)
from ..wire.message import Buffer
from .buffered_socket import BufferedSocket
from .frames import MAXIMUM_MESSAGE, cut_messages, extent_of, is_unfinished, join_messages

# Bytes joined into one send. Enough to spread the cost of a call over a hundred messages, and
# little enough that an acknowledgement does not wait long behind data.
SEND_SIZE = 131072

# What a fragment costs besides its bytes, so that empty ones are bounded as well.
_FRAGMENT_COST = 64

_LONGEST_ANSWER = 65536  # bytes
_NORMAL_CLOSURE = b"\x03\xe8"  # 1000
_SWITCHING_PROTOCOLS = 101
_ADVICE = {
    403: "the credentials need ssmmessages:OpenDataChannel, and a clock that is right",
    401: "the request was not signed, or the credentials are not valid",
    410: "the session is over; start a new one",
}


class WebSocketConnection:
    """One open connection. One thread receives and one sends; any may abort.

    ``library`` is an open ``websocket.WebSocket`` on ``sock``. ``masked`` is whether what comes in
    is masked, which is so at a server; ``peer`` is what errors call the other side.
    """

    def __init__(
        self,
        sock: BufferedSocket,
        library: websocket.WebSocket,
        masked: bool = False,
        peer: str = "service",
    ) -> None:
        self._peer = peer
        self.socket = sock
        self._library = library
        self._masked = masked
        self._fragments: List[bytes] = []
        self._fragments_size = 0
        self._kind = 0  # the opcode of what the fragments belong to

    def receive(self) -> List[Buffer]:
        """Wait for messages and return all binary ones that are here; none if only other frames
        came. ConnectionLost at the end; RemoteError for what breaks the protocol."""
        sock = self.socket
        while True:
            # Between fragments no other message may come: that is for websocket-client to see.
            if not self._fragments:
                messages, stop = cut_messages(sock.buffer, sock.start, self._masked)
                sock.consume(stop)
                if messages:
                    return messages
            if not is_unfinished(sock.buffer, sock.start, self._masked, bool(self._fragments)):
                opcode, message = self.receive_other()
                return [message] if opcode == ABNF.OPCODE_BINARY else []
            sock.fill()

    def receive_other(self) -> Tuple[int, bytes]:
        """Let websocket-client read one frame: the opcode and content of the message that it
        completes, or 0 and nothing."""
        try:
            opcode, frame = self._library.recv_data_frame(control_frame=True)
        except websocket.WebSocketProtocolException as error:
            raise RemoteError("the %s broke the protocol: %s" % (self._peer, error)) from error
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise ConnectionLost("the connection broke: %s" % error) from error
        if opcode == ABNF.OPCODE_CLOSE:
            raise ConnectionLost(
                "the %s closed the connection%s" % (self._peer, _closing(frame.data))
            )
        if opcode in (ABNF.OPCODE_PING, ABNF.OPCODE_PONG):
            return 0, b""
        return self._assemble(opcode, frame)

    def receive_any(self) -> Tuple[int, bytes]:
        """Wait for one message of any kind: its opcode and content."""
        sock, opcode, message = self.socket, 0, b""
        while not opcode:
            while extent_of(sock.buffer, sock.start, self._masked) is None:
                sock.fill()
            opcode, message = self.receive_other()
        return opcode, message

    def send(self, messages: List[bytes]) -> None:
        """Send each message as one binary frame, many with one call. Blocks."""
        start = size = 0
        for index, message in enumerate(messages):
            size += len(message)
            if size >= SEND_SIZE:
                self._send_joined(messages[start:index + 1])
                start, size = index + 1, 0
        if start < len(messages):
            self._send_joined(messages[start:])

    def send_frame(self, frame: bytes) -> None:
        """Send a frame that websocket-client made. Blocks."""
        self.socket.sendall(frame)

    def send_text(self, text: str) -> None:
        self._send_made(text, ABNF.OPCODE_TEXT)

    def ping(self) -> None:
        self._send_made(b"", ABNF.OPCODE_PING)

    def farewell(self) -> None:
        """Tell the service that we leave, without waiting for its answer."""
        self._send_made(_NORMAL_CLOSURE, ABNF.OPCODE_CLOSE)

    def answer_through(self, post: Callable[[bytes], object]) -> None:
        """Hand answers to pings and closes, which websocket-client gives while it receives, to
        ``post`` in place of sending them. They come back by :meth:`send_frame`."""
        self.socket.post = post

    def abort(self) -> None:
        """Wake a blocked :meth:`receive` or :meth:`send`, which then fail."""
        self.socket.abort()

    def close(self) -> None:
        """Free the descriptor. Only once no thread is in :meth:`receive` any more."""
        self.socket.close()
        # Its buffer has a method of websocket-client's connection, and ours one of our owner's: two
        # circles, which only the collector of garbage would free, late, and our buffers with them.
        self._library.frame_buffer = None  # type: ignore[assignment]
        self._library.sock = None
        self.socket.post = None

    def _send_made(self, payload: Union[str, bytes], opcode: int) -> None:
        self.socket.sendall(ABNF.create_frame(payload, opcode).format())

    def _send_joined(self, messages: List[bytes]) -> None:
        self.socket.sendall(join_messages(messages, masked=not self._masked))

    def _assemble(self, opcode: int, frame: ABNF) -> Tuple[int, bytes]:
        """Join fragments. websocket-client could, but it copies what it has with each of them, and
        knows no limit. That they come in order it has checked."""
        if opcode != ABNF.OPCODE_CONT:
            self._kind = opcode
        data = cast(bytes, frame.data)
        if frame.fin and not self._fragments:
            return self._kind, data
        self._fragments.append(data)
        self._fragments_size += len(data) + _FRAGMENT_COST
        if self._fragments_size > MAXIMUM_MESSAGE:
            raise RemoteError("the %s sent a message of more than 1 MiB" % self._peer)
        if not frame.fin:
            return 0, b""
        message = b"".join(self._fragments)
        self._fragments, self._fragments_size = [], 0
        return self._kind, message


def open_websocket(
    url: str, headers: Mapping[str, str], sock: socket.socket, timeout: float
) -> WebSocketConnection:
    """Upgrade a connected socket. ``headers`` are added to the request; ``timeout`` is in s.

    :raises UpgradeError: the service answers with another status than 101
    :raises ConnectError: its answer is no WebSocket's
    :raises DeadlineError: no answer comes. The socket is closed then, as after any error
    """
    buffered = BufferedSocket(sock)
    buffered.limit(timeout, _LONGEST_ANSWER)
    library = websocket.WebSocket(
        enable_multithread=False, skip_utf8_validation=True, fire_cont_frame=True
    )
    try:
        _connect(library, url, headers, buffered, timeout)
    except BaseException:  # a safety net: whatever it is, the socket must not stay open
        buffered.close()
        raise
    buffered.lift_limit()
    return WebSocketConnection(buffered, library)


def _connect(
    library: websocket.WebSocket,
    url: str,
    headers: Mapping[str, str],
    buffered: BufferedSocket,
    timeout: float,
) -> None:
    host = urlsplit(url).netloc
    fields = ["%s: %s" % field for field in headers.items() if field[0].lower() != "host"]
    try:
        # Left alone it sends an Origin, and follows redirections with our headers to anywhere.
        library.connect(
            url,
            socket=buffered,
            host=host,
            header=fields,
            suppress_origin=True,
            redirect_limit=0,
        )
    except websocket.WebSocketBadStatusException as error:
        raise _refusal(host, error.status_code) from error
    except ConnectionLost as error:
        raise _no_answer(host, error, timeout) from error
    # A safety net: what it raises for an answer that is not HTTP depends on what is wrong with it.
    except Exception as error:
        _check_status(host, library.getstatus())
        raise ConnectError("%s did not open a WebSocket: %s" % (host, error)) from error
    _check_status(host, library.getstatus())


def _check_status(host: str, status: Optional[int]) -> None:
    """Raise for another status. For a redirection some versions of websocket-client raise nothing,
    and others an error without the status."""
    if status not in (None, _SWITCHING_PROTOCOLS):
        raise _refusal(host, status)


def _refusal(host: str, status: Optional[int]) -> UpgradeError:
    number = status or 0
    advice = _ADVICE.get(number, "check the stream URL and the proxy")
    text = "%s refused the data channel with HTTP status %d: %s" % (host, number, advice)
    return UpgradeError(text, number)


def _no_answer(host: str, error: ConnectionLost, timeout: float) -> SsmPluginError:
    if isinstance(error.__cause__, socket.timeout):
        return DeadlineError(
            "%s did not answer the WebSocket request within %g s" % (host, timeout)
        )
    return ConnectError("%s did not open a WebSocket: %s" % (host, error))


def _closing(data: bytes) -> str:
    """The code and the reason of a close frame, in words; empty if it has none."""
    if len(data) < 2:
        return ""
    code = int.from_bytes(data[:2], "big")
    reason = bytes(data[2:]).decode("utf-8", "replace")
    return " (%d%s)" % (code, " " + reason if reason else "")
