"""The streams of one port session to a relay, joined with what the relay brings down for them.

Three threads meet here: the one that reads local sockets, the one that writes to them, which tells
of room, and that of the relay's session, which brings what comes down.
"""

import socket
from functools import partial
from typing import Callable, List, Optional, Tuple

from ..errors import RemoteError
from ..plugins.local_connection import Connection
from ..plugins.local_writer import LocalWriter
from ..plugins.mux_streams import MuxStreams, Received
from ..terminal.wake import Inbox
from ..transport.data_channel import PIECE, DataChannel
from ..wire import payloads
from ..wire.message import Role
from . import messages
from .relay import Relay, Sink

# Bytes of a frame: what one message of the channel holds beside the header of smux.
_FRAME = 1016


class RelayConnection(Connection):
    """``number`` is that of the relay's stream. It is ``opened`` once the relay has connected the
    target, and ``broken`` if the relay could not, or the target has gone without an end."""

    __slots__ = ("number", "opened", "broken", "credit", "told_room", "_taken")

    def __init__(self, sock: Optional[socket.socket], stream_id: int, now: float) -> None:
        super().__init__(sock, stream_id, now)
        self.number = 0
        self.opened = False
        self.broken = False
        self.credit = messages.Credit()
        self.told_room: Callable[[RelayConnection, int], None] = lambda connection, size: None
        self._taken = messages.Taken()

    def remove(self, size: int) -> None:
        super().remove(size)
        room = self._taken.add(size)
        if room:
            self.told_room(self, room)


class RelayStreams(MuxStreams):
    """``target``, a host and a port, is where all of its streams lead to, but for ``control``:
    that one leads nowhere, and is for questions. ``told`` gets what the relay says of it, and why
    it refused others."""

    piece = PIECE // 1024 * (_FRAME - messages.HEADER.size)
    new_connection = RelayConnection

    def __init__(
        self,
        channel: DataChannel,
        keep_alive: bool,
        relay: Relay,
        target: Tuple[str, int],
        told: Sink,
    ) -> None:
        super().__init__(channel, Role.CLIENT, keep_alive)
        self._relay = relay
        self._target = target
        self._told = told
        self._reserved: Optional[Tuple[int, bytes]] = None
        self.control: Optional[RelayConnection] = None
        self._inbox: Optional[Inbox[Optional[Connection]]] = None
        self._writer: Optional[LocalWriter] = None

    def join(self, inbox: "Inbox[Optional[Connection]]", writer: LocalWriter) -> None:
        """Where what comes down is to go."""
        self._inbox = inbox
        self._writer = writer

    def open_control(self) -> None:
        """If there is a secret for it."""
        if self.reserve():
            self.control = self._open(None, ("", 0))

    def send_control_frame(self, frame: bytes) -> None:
        """In the stream for it, which is open."""
        assert self.control is not None
        self._send_frame(self.control, frame)

    # The thread that reads local sockets

    def reserve(self) -> bool:
        """Whether there is a secret for one more connection. It is kept for that."""
        self._reserved = self._reserved or self._relay.take_secret()
        return self._reserved is not None

    def opened(self, sock: socket.socket) -> Connection:
        return self._open(sock, self._target)

    def send(self, connection: Connection, data: bytes) -> None:
        assert isinstance(connection, RelayConnection)
        connection.credit.spend(len(data))
        super().send(connection, messages.data_frames(data, _FRAME))

    def finish(self, connection: Connection) -> None:
        """Nothing more goes up; data still comes down."""
        super().send(connection, messages.frame(messages.FIN))

    def break_off(self, connection: Connection) -> None:
        """The local peer is gone without an end."""
        super().send(connection, messages.frame(messages.RESET))

    def closed(self, connection: Connection) -> None:
        assert isinstance(connection, RelayConnection)
        self._forget(connection)
        super().closed(connection)

    def forget_all(self) -> None:
        """Nobody takes any more what comes down for them."""
        for connection in self.connections():
            assert isinstance(connection, RelayConnection)
            self._relay.forget(connection.number)

    def stop(self) -> None:
        """No more connections will come."""
        self.forget_all()
        if self._reserved:
            self._relay.give_back(*self._reserved)
            self._reserved = None

    # The thread of the port session

    def receive(self, data: bytes) -> Received:
        """The relay sends nothing this way: only ends are of interest."""
        received = super().receive(data)
        for connection in received.ended:
            assert isinstance(connection, RelayConnection)
            self._forget(connection)
        return received

    # Inside

    def _forget(self, connection: RelayConnection) -> None:
        """It has ended. One of which the relay has said nothing may have ended before its secret
        got there: the relay hangs up on whoever brings none in time. It replaces only secrets that
        it was shown, so we ask for another one."""
        self._relay.forget(connection.number)
        was_shown = connection.opened or connection.broken
        if not was_shown and self.control is not None and self._relay.has_few_secrets:
            self._send_frame(self.control, messages.frame(messages.MORE))

    def _open(
        self, sock: Optional[socket.socket], target: Tuple[str, int]
    ) -> RelayConnection:
        assert self._reserved is not None, "a secret was reserved"
        (number, secret), self._reserved = self._reserved, None
        # A stream without a local socket is ours alone.
        connection = super().opened(sock)  # type: ignore[arg-type]
        assert isinstance(connection, RelayConnection)
        connection.number = number
        connection.told_room = self._send_room
        self._relay.listen_to(number, partial(self._down, connection) if sock else self._told)
        host, port = target
        self._send_frame(connection, messages.hello(number, secret, port, host))
        return connection

    def _down(self, connection: RelayConnection, kind: bytes, data: bytes) -> None:
        writer, inbox = self._writer, self._inbox
        assert writer is not None and inbox is not None
        if kind == messages.OUTPUT:
            writer.put(connection, data)
            if connection.held > messages.WINDOW:
                raise RemoteError("the relay at the node sends more than there is room for")
        elif kind == messages.ROOM:
            connection.credit.grant(int(data))
            inbox.put(connection)
        elif kind == messages.OPENED:
            connection.opened = True
            inbox.put(connection)
        elif kind == messages.ENDED:
            writer.end(connection)
        elif kind == messages.REFUSED:
            self._told(kind, data)
            self._break(connection, writer, inbox)
        elif kind == messages.BROKEN:
            self._break(connection, writer, inbox)

    @staticmethod
    def _break(
        connection: RelayConnection, writer: LocalWriter, inbox: "Inbox[Optional[Connection]]"
    ) -> None:
        """What has arrived is still written; the reader then resets the connection."""
        connection.broken = True
        writer.cut(connection)
        # A writer that has told the end before does not look at it again.
        inbox.put(connection)

    def _send_room(self, connection: Connection, size: int) -> None:
        self._send_frame(connection, messages.credit(size))

    def _send_frame(self, connection: Connection, frame: bytes) -> None:
        """Past the window: it is one message, and may stand between any two."""
        with self._lock:
            self._mux.send(connection.stream_id, frame)
            pieces: List[bytes] = self._mux.data_to_send()
        for piece in pieces:
            self._channel.send_control(payloads.OUTPUT, piece)
