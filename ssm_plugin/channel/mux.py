"""A smux session: many streams over the one byte stream of a port session, for either side.

Only the client opens streams: 3 first, then every second number, none of them twice. A FIN ends
both directions, because there is no half-close at the agents in use; whoever gets one for a stream
that still lives answers with its own. A stream leaves the table with the first FIN, sent or
received, so a peer that never answers leaves nothing behind; frames for a stream that is not in the
table (data that was under way when we closed) are dropped.

smux version 1 has no flow control per stream, and this core keeps no data: what a slow consumer has
not taken yet must be kept, and bounded, by the owner.
"""

from typing import List, Optional, Set, Union

from ..errors import LocalError, RemoteError, SessionLost, StateError
from ..named_tuple import NamedTuple
from ..wire.message import Buffer, Role
from ..wire.smux import FIN, MAXIMUM_SENT, NOP, PSH, SYN, FrameSplitter, encode_frame

KEEP_ALIVE_INTERVAL = 10.0  # seconds between two NOPs
KEEP_ALIVE_TIMEOUT = 30.0  # seconds of the peer's silence

# Streams that the peer may have open; one more is answered by FIN. The agent opens none.
_INBOUND_LIMIT = {Role.CLIENT: 0, Role.AGENT: 10000}

_FIRST_ID = 3
_LAST_ID = 0xFFFFFFFF
_SILENT_INTERVALS = KEEP_ALIVE_TIMEOUT / KEEP_ALIVE_INTERVAL


class StreamOpened(NamedTuple):
    """The peer opened a stream."""

    stream_id: int


class StreamData(NamedTuple):
    stream_id: int
    data: bytes

    def __repr__(self) -> str:
        return "StreamData(%d, %d bytes)" % (self.stream_id, len(self.data))


class StreamClosed(NamedTuple):
    """The peer ended a stream, in both directions. A stream that we closed has no such event."""

    stream_id: int


StreamEvent = Union[StreamOpened, StreamData, StreamClosed]


class MuxSession:
    """``now`` is in seconds, of any one clock. ``keep_alive`` is for agents up to 3.1.1511.0, which
    end a session without NOPs.
    """

    def __init__(self, role: Role, keep_alive: bool, now: float) -> None:
        self._role = role
        self._splitter = FrameSplitter()
        self._streams: Set[int] = set()
        self._next_id = _FIRST_ID
        self._outgoing: List[bytes] = []
        self._next_nop = now + KEEP_ALIVE_INTERVAL if keep_alive else None
        self._heard = False  # since the last NOP
        self._silent_intervals = 0

    def open(self) -> int:
        """A new stream's id. Raises LocalError once all 2,147,483,647 are used up."""
        if self._role is not Role.CLIENT:
            raise StateError("only the client opens smux streams")
        if self._next_id > _LAST_ID:
            raise LocalError(
                "this port session has used up its stream numbers; start a new session"
            )
        stream_id = self._next_id
        self._next_id += 2
        self._streams.add(stream_id)
        self._outgoing.append(encode_frame(SYN, stream_id))
        return stream_id

    def send(self, stream_id: int, data: Buffer) -> bool:
        """Queue ``data``. False if the stream has ended, perhaps just now: the data is then
        dropped."""
        if stream_id not in self._streams:
            return False
        view = memoryview(data)
        for start in range(0, len(view), MAXIMUM_SENT):
            frame = encode_frame(PSH, stream_id, view[start : start + MAXIMUM_SENT])
            self._outgoing.append(frame)
        return True

    def close(self, stream_id: int) -> None:
        """End a stream after what was queued for it; nothing if it has ended already."""
        if stream_id in self._streams:
            self._streams.remove(stream_id)
            self._outgoing.append(encode_frame(FIN, stream_id))

    def receive(self, data: Buffer, now: float) -> List[StreamEvent]:
        """What happened, in order; neighbouring data of one stream is joined.

        Raises RemoteError if the peer broke the protocol: the session is of no more use then.
        """
        self._heard = True
        events: List[StreamEvent] = []
        pieces: List[memoryview] = []  # of the stream ``current``
        current = -1
        for command, stream_id, payload in self._splitter.feed(data):
            if command == PSH and stream_id == current:
                pieces.append(payload)
                continue
            if pieces:
                events.append(StreamData(current, b"".join(pieces)))
                pieces = []
            current = -1
            if command == PSH and stream_id in self._streams:
                current = stream_id
                pieces.append(payload)
            elif command == SYN:
                events.extend(self._opened(stream_id))
            elif command == FIN:
                events.extend(self._closed(stream_id))
        if pieces:
            events.append(StreamData(current, b"".join(pieces)))
        return events

    def data_to_send(self) -> List[bytes]:
        """Everything queued since the last call: whole frames, to be sent in this order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_timer(self) -> Optional[float]:
        """When to call :meth:`on_timer`; None if never."""
        return self._next_nop

    def on_timer(self, now: float) -> None:
        """Queue a NOP if it is time. Raises SessionLost after 30 s of the peer's silence.

        Silence is counted in whole intervals, not by the clock: a machine that slept, or an owner
        that did not call while it was reconnecting, has missed one interval and not all of them.
        """
        if self._next_nop is None or now < self._next_nop:
            return
        self._silent_intervals = 0 if self._heard else self._silent_intervals + 1
        self._heard = False
        if self._silent_intervals >= _SILENT_INTERVALS:
            raise SessionLost(
                "the node has been silent on the port session for %d s, its keep-alives included; "
                "start the session again" % KEEP_ALIVE_TIMEOUT
            )
        self._next_nop = now + KEEP_ALIVE_INTERVAL
        self._outgoing.append(encode_frame(NOP, 0))

    def _opened(self, stream_id: int) -> List[StreamEvent]:
        if stream_id in self._streams:
            raise RemoteError(
                "the peer opened stream %d of the port session twice; start the session again"
                % stream_id
            )
        if len(self._streams) >= _INBOUND_LIMIT[self._role]:
            self._outgoing.append(encode_frame(FIN, stream_id))
            return []
        self._streams.add(stream_id)
        return [StreamOpened(stream_id)]

    def _closed(self, stream_id: int) -> List[StreamEvent]:
        if stream_id not in self._streams:
            return []
        self.close(stream_id)
        return [StreamClosed(stream_id)]
