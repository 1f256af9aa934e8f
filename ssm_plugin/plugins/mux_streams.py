"""The smux streams of a port session and the connections that belong to them, for either side.

Two threads meet here: one takes what the channel delivers, the other sends what local sockets give.
Each frame is at most one message of the channel, and a piece of frames begins with a message: so
frames from both threads may alternate at any message and the byte stream stays whole. Frames that
only control go past the window; those of a stream that is open come from the thread that sends its
data, and so stay behind it.
"""

import socket
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple

from ..channel.mux import MuxSession, StreamClosed, StreamData, StreamOpened
from ..channel.protocol import MAXIMUM_PAYLOAD
from ..named_tuple import NamedTuple
from ..transport.data_channel import DataChannel
from ..wire import payloads
from ..wire.message import Role
from .local_connection import Connection
from .local_reader import Uplink

_HEADER = 8
_FRAME = MAXIMUM_PAYLOAD - _HEADER

_Frames = List[bytes]


class Received(NamedTuple):
    """What came, by connection. ``opened`` and ``ended`` are new and former connections."""

    opened: List[Connection]
    data: List[Tuple[Connection, bytes]]
    ended: List[Connection]


class MuxStreams(Uplink):
    """``keep_alive`` is for agents that need NOPs."""

    def __init__(
        self,
        channel: DataChannel,
        role: Role,
        keep_alive: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._lock = threading.Lock()
        self._mux = MuxSession(role, keep_alive, clock())
        self._connections: Dict[int, Connection] = {}

    @property
    def piece(self) -> int:
        return self._channel.portion // MAXIMUM_PAYLOAD * _FRAME

    def connections(self) -> List[Connection]:
        with self._lock:
            return list(self._connections.values())

    new_connection: Callable[[socket.socket, int, float], Connection] = Connection

    # The thread that reads local sockets

    def opened(self, sock: socket.socket) -> Connection:
        with self._lock:
            connection = self.new_connection(sock, self._mux.open(), self._clock())
            self._connections[connection.stream_id] = connection
            frames = self._mux.data_to_send()
        self._send_control(frames)
        return connection

    def send(self, connection: Connection, data: bytes) -> None:
        view = memoryview(data)
        with self._lock:
            for start in range(0, len(view), _FRAME):
                if not self._mux.send(connection.stream_id, view[start:start + _FRAME]):
                    break  # the node has ended it: nobody wants the rest
            frames = self._mux.data_to_send()
        if frames:
            self._channel.send_input_data(b"".join(frames))

    def closed(self, connection: Connection) -> None:
        with self._lock:
            self._mux.close(connection.stream_id)
            self._connections.pop(connection.stream_id, None)
            frames = self._mux.data_to_send()
        self._send_control(frames)

    # The thread that takes what the channel delivers

    def receive(self, data: bytes) -> Received:
        """RemoteError if it is no smux."""
        received = Received([], [], [])
        with self._lock:
            for event in self._mux.receive(data, self._clock()):
                if isinstance(event, StreamData):
                    received.data.append((self._connections[event.stream_id], event.data))
                elif isinstance(event, StreamClosed):
                    received.ended.append(self._connections.pop(event.stream_id))
                elif isinstance(event, StreamOpened):
                    connection = Connection(None, event.stream_id, self._clock())
                    self._connections[event.stream_id] = connection
                    received.opened.append(connection)
            frames = self._mux.data_to_send()
        self._send_control(frames)
        return received

    def next_timer(self) -> Optional[float]:
        """Seconds until :meth:`on_timer` wants to be called; None if never."""
        at = self._mux.next_timer()
        return None if at is None else max(0.0, at - self._clock())

    def on_timer(self) -> None:
        """Send a keep-alive. SessionLost if the node has been silent for too long."""
        with self._lock:
            self._mux.on_timer(self._clock())
            frames = self._mux.data_to_send()
        self._send_control(frames)

    def _send_control(self, frames: _Frames) -> None:
        """SYN, FIN and NOP have no payload: so many fit into one message."""
        count = MAXIMUM_PAYLOAD // _HEADER
        for start in range(0, len(frames), count):
            piece = b"".join(frames[start:start + count])
            self._channel.send_control(payloads.OUTPUT, piece)
