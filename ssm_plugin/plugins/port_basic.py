"""Port forwarding with one connection at a time (agents up to 3.0.196.0).

The stream of the session is the stream of the one connection. The node connects to its port when
the session starts. It is told of the connection's end by DisconnectToPort, and connects again only
when data comes for the next one: so a local peer that waits for its server to speak first would
wait for ever, if the node did not get a message without data in its place. The node never tells of
an end at its own side.
"""

import socket
import threading
import time
from typing import Optional

from ..channel.events import Acknowledged, Started
from ..session import notices
from ..session.protocols import IRunnerSession
from ..transport.data_channel import DataChannel
from ..wire import payloads
from .local_connection import Connection
from .local_reader import Uplink
from .local_writer import LocalWriter
from .port_runner import ListeningRunner

# Seconds that the node has to acknowledge DisconnectToPort, on one and the same connection to it.
# What it sent before belongs to the connection that ended, and must not reach the next one.
_DISCONNECT_LIMIT = 5.0

# Seconds. Most local peers speak first, and at once.
_SILENCE = 0.5


class _OneConnection(Uplink):
    """``current`` takes the node's data. It exists before a local client connects: at the start the
    node connects to its port, and that side may speak first. It is None while the node may still
    send data of a connection that has ended. ``limit`` (s) is for the acknowledgement of
    DisconnectToPort."""

    def __init__(
        self, channel: DataChannel, writer: LocalWriter, limit: float = _DISCONNECT_LIMIT
    ) -> None:
        self.current: Optional[Connection] = _to_come()
        self._channel = channel
        self._writer = writer
        self._limit = limit
        self._lock = threading.Lock()
        self._awaited: Optional[int] = None  # the sequence number of the latest DisconnectToPort
        self._told = threading.Event()
        self._stopped = False
        self._is_mute = False  # a local peer is there and has sent nothing

    def opened(self, sock: socket.socket) -> Connection:
        assert self.current is not None
        self._is_mute = True
        self._writer.connected(self.current, sock)
        return self.current

    def send(self, connection: Connection, data: bytes) -> None:
        self._is_mute = False
        self._channel.send_input_data(data)

    def make_node_connect(self) -> None:
        """If nothing from the local peer has. From any thread; once too often does no harm."""
        if self._is_mute:
            self._channel.send_control(payloads.OUTPUT, b"")

    def closed(self, connection: Connection) -> None:
        self._is_mute = False
        self.current = None
        self._told.clear()
        flag = payloads.build_flag(payloads.DISCONNECT_TO_PORT)
        with self._lock:  # the acknowledgement may come before we know its number
            awaited = self._awaited = self._channel.send_control(payloads.FLAG, flag, tell=True)
        if not self._stopped and not self._wait():
            self.acknowledged(awaited)

    def acknowledged(self, sequence: int) -> None:
        """From here on, the node's data is for the next connection. In the session's thread, which
        takes output and acknowledgement in their order: a target that speaks first is quick.

        An acknowledgement that comes after its limit belongs to an earlier connection: it changes
        nothing for the one that is current by then."""
        with self._lock:
            if sequence != self._awaited:
                return
            self._awaited = None
            self.current = _to_come()
        self._told.set()

    def stop(self) -> None:
        """There will be no next connection, so its data need not be told apart from earlier
        data."""
        self._stopped = True
        self._told.set()

    def _wait(self) -> bool:
        """Whether the node has acknowledged. It cannot while the connection to it is lost, so such
        time does not count. What it sends again afterwards belongs to the local connection that
        ended."""
        was_open = self._channel.is_open
        while not self._told.wait(self._limit):
            is_open = self._channel.is_open
            if was_open and is_open:
                return False
            was_open = is_open
        return True


def _to_come() -> Connection:
    return Connection(None, 0, time.monotonic())


class BasicRunner(ListeningRunner):
    limit = 1
    # The next connection waits meanwhile.
    blind_grace = 2.0

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._connection: Optional[_OneConnection] = None
        self._silence = session.new_timer(self._end_silence)

    def uplink(self) -> Uplink:
        self._connection = _OneConnection(self.session.channel, self.writer)
        return self._connection

    def stop(self) -> None:
        if self._connection:
            self._connection.stop()
        super().stop()

    def accepted(self, number: int) -> None:
        if number == 1:
            self.session.notices.show(notices.CONNECTION_ACCEPTED_BASIC)
        else:
            self._silence.set(_SILENCE)

    def _end_silence(self) -> None:
        if self._connection:
            self._connection.make_node_connect()

    def acknowledged(self, event: Acknowledged) -> None:
        if self._connection:
            self._connection.acknowledged(event.sequence)

    def output(self, payload_type: int, data: bytes) -> None:
        kept = 0
        connection = self._connection.current if self._connection else None
        if payload_type == payloads.OUTPUT and connection is not None:
            kept = self.writer.put(connection, data)
        elif payload_type == payloads.FLAG:
            self.flagged(data)
        self.holdings.came(len(data), kept)
