"""The protocol core: numbering, acknowledging, reordering, resending, the handshake.

Sans I/O: messages go in by :meth:`ChannelProtocol.receive` and come out of
:meth:`~ChannelProtocol.data_to_send`; what happened comes out of :meth:`~ChannelProtocol.events`;
time is an argument, in seconds of any monotonic clock. One class plays both ends: the agent's role
exchanges the two data message types and leaves the handshake to its owner.
"""

import time
from itertools import groupby
from operator import itemgetter
from typing import Callable, Collection, List, Optional, Sequence, Set, Tuple

from .. import logs
from ..errors import MessageError, RemoteError, SessionLost, SsmPluginError
from ..wire import message as wire
from ..wire import payloads
from ..wire.message import Role
from .cipher import Cipher
from .congestion import CEILING
from .events import Acknowledged, ChannelClosed, Event, Failed, Output, Started, Terminating
from .handshake import STEPS, ClientHandshake, Phase, Reply
from .inbound import Inbound
from .outbound import STALL_LIMIT, Outbound

log = logs.logger(__name__)

# Payload bytes in one message: what the agent's own buffers are made for.
MAXIMUM_PAYLOAD = 1024

# Bytes. A longer message has to come in its turn: what waits for others is bounded by its number.
LONGEST_EARLY_PAYLOAD = 8192

_ONE_OF_ONE = wire.FLAG_SYN | wire.FLAG_FIN

_SIDES = {
    Role.CLIENT: (wire.INPUT_STREAM_DATA, wire.OUTPUT_STREAM_DATA),
    Role.AGENT: (wire.OUTPUT_STREAM_DATA, wire.INPUT_STREAM_DATA),
}


class ChannelProtocol:
    """``wall_clock`` gives seconds since the epoch for the messages' creation dates."""

    def __init__(
        self,
        role: Role,
        supported: Collection[str] = (),
        window: int = CEILING,
        pace: Optional[float] = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.role = role
        self.cipher: Optional[Cipher] = None
        self._sends, self._receives = _SIDES[role]
        self._handshake = ClientHandshake(supported) if role is Role.CLIENT else None
        self._inbound = Inbound()
        self._outbound = Outbound(window, pace, patient=role is Role.AGENT)
        self._wall_clock = wall_clock
        self._connected = False
        self._ended = False
        self._control: List[bytes] = []
        self._data: List[bytes] = []
        self._events: List[Event] = []
        self._ids = _MessageIds()
        self._awaited: Set[int] = set()

    # What comes in

    def receive(self, frames: List[wire.Buffer], now: float) -> None:
        """Take a batch of messages. One that cannot be read is logged and dropped."""
        created = int(self._wall_clock() * 1000)
        parse, outbound, awaited = wire.parse, self._outbound, self._awaited
        retired = 0
        for frame in frames:
            try:
                message = parse(frame)
                message_type = message.message_type
                if message_type == self._receives:
                    self._accept(message, created)
                elif message_type == wire.ACKNOWLEDGE:
                    sequence = payloads.acknowledged_sequence(message.payload)
                    retired += outbound.acknowledge(sequence, now)
                    if sequence in awaited:
                        self._tell_acknowledged(sequence, now)
                else:
                    self._take_notice(message, now)
            except MessageError as error:
                log.warning("dropped a message: %s", error)
        if retired:
            self._data.extend(self._outbound.lost(now))
            self._data.extend(self._outbound.released(now))
        self._deliver(now)

    def events(self) -> List[Event]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # What goes out

    def room(self, now: float) -> int:
        """How many data messages :meth:`send` would take now; none before the session is open."""
        if self._ended or (self._handshake and self._handshake.phase is not Phase.OPEN):
            return 0
        return self._outbound.room(now)

    def send(self, payload_type: int, data: wire.Buffer, now: float) -> int:
        """Number and keep as much of ``data`` as there is room for; returns the bytes taken."""
        view = memoryview(data)[: self.room(now) * MAXIMUM_PAYLOAD]
        starts = range(0, len(view), MAXIMUM_PAYLOAD)
        pieces = [view[start:start + MAXIMUM_PAYLOAD] for start in starts]
        self._number(payload_type, pieces, now)
        return len(view)

    def send_control(
        self, payload_type: int, payload: bytes, now: float, tell: bool = False
    ) -> int:
        """Send one message past the window: sizes, flags, the handshake. With ``tell``, its
        acknowledgement is an event, in order with the output before and after it. Returns the
        sequence number; after the end nothing is sent and no event follows."""
        sequence = self._outbound.next_sequence
        if not self._ended:
            if tell:
                self._awaited.add(sequence)
            self._number(payload_type, [payload], now)
            if self._outbound.is_overfull:
                self._fail(RemoteError("the node wants answers and acknowledges none of them"))
        return sequence

    def provide_key(self, data_key: bytes, ciphertext: str, now: float) -> None:
        """Answer :class:`KeyRequested`: 64 bytes of key, and the sealed form as base64."""
        assert self._handshake is not None
        self._obey(self._handshake.provide_key(data_key, ciphertext), now)

    def refuse_key(self, reason: str, now: float) -> None:
        """Answer :class:`KeyRequested` with Failed."""
        assert self._handshake is not None
        self._obey(self._handshake.refuse_key(reason), now)

    def data_to_send(self) -> List[bytes]:
        """Whole messages in the order to send them, acknowledgements first."""
        if not self._connected:
            return []
        messages = self._control + self._data
        self._control, self._data = [], []
        return messages

    # Time and connections

    def next_timer(self) -> Optional[float]:
        """When :meth:`on_timer` wants to be called, if nothing happens before."""
        if not self._connected or self._ended:
            return None
        times = (self._outbound.due_at(), self._outbound.stalled_at())
        return min((time for time in times if time is not None), default=None)

    def on_timer(self, now: float, may_resend: bool = True) -> None:
        """Do what is due. Without ``may_resend`` nothing is sent again for now."""
        if not self._connected or self._ended:
            return
        stalled_at = self._outbound.stalled_at()
        if stalled_at is not None and now >= stalled_at:
            self._fail(
                SessionLost(
                    "the node has acknowledged nothing for %d minutes; the session was given up"
                    % (STALL_LIMIT / 60)
                )
            )
            return
        if may_resend:
            self._data.extend(self._outbound.overdue(now))

    @property
    def window(self) -> int:
        """How many messages may be on their way at once, as things are."""
        return int(self._outbound.window.size)

    def paced_until(self, now: float) -> Optional[float]:
        """When a producer that found no room may try again without an acknowledgement."""
        return self._outbound.paced_until(now)

    def connection_made(self, now: float) -> None:
        """A connection is open and its first message sent: what is kept goes out again."""
        self._connected = True
        self._control = []
        self._data = self._outbound.replay(now)

    def connection_lost(self) -> None:
        self._connected = False
        self._control, self._data = [], []

    def not_listening(self, now: float) -> None:
        """Our end does not read at present, so the absence of acknowledgements does not count."""
        self._outbound.excuse(now)

    def assume_started(self, now: float) -> bool:
        """Stop waiting for a handshake: the session counts as one without. False if one has begun
        and goes on."""
        if self._handshake and self._handshake.phase is Phase.WAITING:
            self._obey(self._handshake.step(payloads.OUTPUT, b""), now)
        return self._handshake is None or self._handshake.phase is Phase.OPEN

    @property
    def progress(self) -> int:
        """Grows with each message that gets through, in either direction."""
        return self._inbound.expected + self._outbound.next_sequence - len(self._outbound)

    @property
    def arrivals(self) -> int:
        """Grows with each message in either direction, and with those that come once more: after a
        loss an agent may repeat for a minute what we have, before anything new comes."""
        return self.progress + self._inbound.repeated

    @property
    def unacknowledged(self) -> int:
        """How many of our messages wait for their acknowledgement."""
        return len(self._outbound)

    @property
    def is_incomplete(self) -> bool:
        """Whether something of what the other end has sent is missing, and known to be."""
        return self._inbound.is_incomplete

    @property
    def ended(self) -> bool:
        return self._ended

    # Inside

    def _accept(self, message: wire.Message, created: int) -> None:
        inbound = self._inbound
        message_type, sequence, _, id_high, id_low, payload_type, payload, _ = message
        if len(payload) > LONGEST_EARLY_PAYLOAD and sequence > inbound.expected:
            log.warning("%s is too long to wait for its turn here", message)
            inbound.note(sequence)
            return
        if not inbound.accept(sequence, payload_type, payload):
            log.warning("no room for %s ahead of its turn", message)
            return
        content = payloads.build_acknowledgement(message_type, id_high, id_low, sequence)
        high, low = self._ids.next()
        self._control.append(
            wire.build(wire.ACKNOWLEDGE, 0, _ONE_OF_ONE, high, low, 0, content, created)
        )

    def _take_notice(self, message: wire.Message, now: float) -> None:
        if message.message_type == wire.CHANNEL_CLOSED:
            self._deliver(now)
            if not self._ended:
                self._ended = True
                self._events.append(ChannelClosed(_closing_reason(message.payload)))
        elif message.message_type == wire.PAUSE_PUBLICATION:
            self._outbound.pause(now)
        elif message.message_type == wire.START_PUBLICATION:
            self._outbound.end_pause()
        elif message.message_type == wire.AGENT_SESSION_STATE:
            if payloads.parse_session_state(message.payload) == payloads.TERMINATING:
                self._deliver(now)
                self._events.append(Terminating())
        else:
            log.debug("ignored %s", message)

    def _deliver(self, now: float) -> None:
        """Turn what is in order into events; neighbours of one type are handed over as one.
        After the end nobody is told any more."""
        for payload_type, group in groupby(self._inbound.take(), key=itemgetter(0)):
            run = [payload for _, payload in group]
            try:
                if self._ended:
                    break
                if payload_type in payloads.SEALED:
                    self._hand_over(payload_type, run, now)
                else:
                    for payload in run:
                        self._handle(payload_type, payload, now)
            except RemoteError as error:
                self._fail(error)

    def _hand_over(self, payload_type: int, run: List[wire.Buffer], now: float) -> None:
        handshake = self._handshake
        if handshake and handshake.phase is not Phase.OPEN:
            self._obey(handshake.step(payload_type, b""), now)
        if self.cipher:
            run = [self.cipher.open(payload) for payload in run]
        self._events.append(Output(payload_type, b"".join(run)))

    def _handle(self, payload_type: int, payload: wire.Buffer, now: float) -> None:
        if not self._handshake or payload_type not in STEPS:
            self._events.append(Output(payload_type, bytes(payload)))
            return
        try:
            self._obey(self._handshake.step(payload_type, payload), now)
        except MessageError as error:
            log.warning("dropped the content of a message: %s", error)

    def _obey(self, reply: Reply, now: float) -> None:
        assert self._handshake is not None
        for payload_type, payload in reply.messages:
            self.send_control(payload_type, payload, now)
        self._events.extend(reply.events)
        self.cipher = self._handshake.cipher
        if any(type(event) is Started for event in reply.events):
            # The agent answers a handshake by itself; data it passes on before it acknowledges.
            self._outbound.forget_round_trips()

    def _tell_acknowledged(self, sequence: int, now: float) -> None:
        self._awaited.discard(sequence)
        self._deliver(now)
        self._events.append(Acknowledged(sequence))

    def _fail(self, error: SsmPluginError) -> None:
        if not self._ended:
            self._ended = True
            self._events.append(Failed(error))

    def _number(self, payload_type: int, pieces: Sequence[wire.Buffer], now: float) -> None:
        """Seal, number, keep, and only then send: a message for each of them."""
        outbound, sends, next_id = self._outbound, self._sends, self._ids.next
        cipher = self.cipher if payload_type in payloads.SEALED else None
        created = int(self._wall_clock() * 1000)
        for piece in pieces:
            payload = cipher.seal(piece) if cipher else piece
            sequence = outbound.next_sequence
            flags = wire.FLAG_SYN if sequence == 0 and self.role is Role.AGENT else 0
            high, low = next_id()
            frame = wire.build(sends, sequence, flags, high, low, payload_type, payload, created)
            outbound.keep(frame, now)
            self._data.append(frame)


def _closing_reason(payload: wire.Buffer) -> str:
    """The session is over, whether its reason can be read or not."""
    try:
        return payloads.parse_channel_closed(payload)
    except MessageError:
        return ""


class _MessageIds:
    """Version 4 UUIDs as pairs of integers: random once, then counted, which costs less."""

    def __init__(self) -> None:
        self._high, self._low = wire.random_uuid()

    def next(self) -> Tuple[int, int]:
        self._low = (self._low + 1) & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
        return self._high, self._low
