"""The threads around the protocol core: reader, writer, heartbeat, and one mutex.

::

    producers --send_input_data()--> core --> queue --> writer --> connection
    connection --> reader --> core --> events queue --> the session's thread
                                 '--> acknowledgements --> the writer's queue
    heartbeat: timers of the core, pings, dead peers

Nothing blocks inside the mutex. Each thread has one way to be woken: the reader, and a writer that
is stuck in sending, by ``abort()`` of the connection; the writer by its queue, the heartbeat by an
event, producers by a condition.

A connection may be lost and another attached: reader and writer live as long as their connection,
the core and the heartbeat as long as the channel.
"""

import threading
import time
from typing import Any, Callable, List, Optional, Union

from .. import logs
from ..channel.events import Event, Output
from ..channel.protocol import MAXIMUM_PAYLOAD, ChannelProtocol
from ..errors import ConnectionLost, SessionLost, SsmPluginError, StateError
from ..named_tuple import NamedTuple
from ..wire import payloads
from ..wire.message import Buffer
from .backpressure import Backpressure
from .link import NEVER, Link, LinkOwner
from .spill import Spill, Spilled
from .worker import Worker, WorkerFailed

log = logs.logger(__name__)

# Bytes numbered and sealed under the mutex at a time: about a third of a millisecond.
PIECE = 65536

# Bytes of the smallest portion of data.
LEAST_PORTION = 4096

# Output that may wait for its consumer. The agent may end a command while this much is under way,
# and waits four seconds for acknowledgements then, so they must not wait for a slow stdout.
HIGH_WATER = 8 * 1024 * 1024
LOW_WATER = 4 * 1024 * 1024

# Seconds until the next look whether the writer has sent what waits for it. Messages that have not
# left are not sent again: for a peer that does not read they would pile up without end.
BEHIND_INTERVAL = 0.1

# A peer that was silent for so many ping intervals is dead: it answers pings at once.
SILENT_INTERVALS = 3


class Disconnected(NamedTuple):
    """The connection was lost. The session may attach another one."""

    error: SsmPluginError


ChannelEvent = Union[Event, Spilled, Disconnected, WorkerFailed]


class DataChannel(LinkOwner):
    """Implements ``IDataChannel``. ``tell`` gets the events of the core and of the connection, from
    any thread; whoever takes an ``Output`` from them calls :meth:`delivered` once it has passed the
    data on. ``waiting`` tells how many events were told and not taken yet.

    ``dial`` returns an open connection with the first message sent: an object with the methods of
    ``WebSocketConnection``. ``ping_interval`` is in seconds.
    """

    def __init__(
        self,
        protocol: ChannelProtocol,
        tell: Callable[[ChannelEvent], object],
        waiting: Callable[[], int],
        dial: Optional[Callable[[], Any]] = None,
        ping_interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        high_water: int = HIGH_WATER,
    ) -> None:
        self._protocol = protocol
        self._tell = tell
        self._dial = dial
        self._ping_interval = ping_interval
        self.clock = clock
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self.backpressure = Backpressure(waiting, high_water)
        self._in_memory = high_water
        self._spill: Optional[Spill] = None
        self._link: Optional[Link] = None
        self._closed = False
        self._waits_for_writer = False  # some producer, for the writer of the present link
        self._beating = False
        self._wake = threading.Event()
        self._wakes_at = float("-inf")
        self._heartbeat = Worker("heartbeat", self._beat, tell)

    # IDataChannel

    def open(self) -> bool:
        """Dial and attach. Blocks until connected; raises what ``dial`` raises."""
        if self._dial is None:
            raise StateError("this data channel was made without a way to dial")
        self.attach(self._dial())
        return True

    def send_input_data(self, data: Buffer, payload_type: int = payloads.OUTPUT) -> None:
        """Send ``data``, waiting while the window is full, the session is not open yet, or the
        connection is being resumed; what is more than one message, as a key is not, also waits
        while the writer has enough to do. :class:`SessionLost` if the channel ends first."""
        rest = memoryview(data)
        while rest:
            with self._mutex:
                if self._closed or self._protocol.ended:
                    raise SessionLost("the session ended with input unsent")
                if len(rest) > MAXIMUM_PAYLOAD and self._writer_has_enough():
                    self._changed.wait()
                    continue
                now = self.clock()
                taken = self._protocol.send(payload_type, rest[:PIECE], now)
                if taken:
                    if self._link:
                        self._link.expect_answer(taken, self._protocol.unacknowledged)
                    self._pass_on()
                else:
                    self._wait_for_room(now)
            rest = rest[taken:]

    def close(self, seconds: float = 2.0) -> None:
        """Send what is queued, say goodbye, end all threads; at most ``seconds`` s in all."""
        deadline = self.clock() + seconds
        with self._mutex:
            self._closed = True
            self._changed.notify_all()
            link, self._link = self._link, None
            if self._spill:
                self._spill.close()
        self._wake.set()
        if link:
            link.finish(deadline - self.clock())
        self._heartbeat.join(max(0.0, deadline - self.clock()))

    @property
    def is_open(self) -> bool:
        return self._link is not None and not self._protocol.ended

    # For the session

    def attach(self, connection: Any) -> None:
        """Go on over this connection: the core sends everything unacknowledged again."""
        link = self._new_link(connection)
        with self._mutex:
            if self._closed:
                connection.close()
                raise SessionLost("the data channel was closed while it was being opened")
            previous, self._link = self._link, link
            self._protocol.connection_made(self.clock())
            self._pass_on()
            self._stop_waiting_for_writer()  # that of the previous connection takes nothing more
        if previous:
            previous.finish(0.0)
        link.start()
        self._wake.set()  # it has this connection to watch from now on
        with self._mutex:  # another thread may attach the next one by now
            is_first, self._beating = not self._beating, True
        if is_first:
            self._heartbeat.start()

    def send_control(self, payload_type: int, payload: bytes, tell: bool = False) -> int:
        """Send one message past the window: a size or a flag. With ``tell``, ``Acknowledged``
        rises, after the output that came before the acknowledgement; it carries the sequence
        number that this returns."""
        with self._mutex:
            sequence = self._protocol.send_control(payload_type, payload, self.clock(), tell)
            self._pass_on()
            return sequence

    def provide_key(self, data_key: bytes, ciphertext: str) -> None:
        with self._mutex:
            self._protocol.provide_key(data_key, ciphertext, self.clock())
            self._pass_on()

    def refuse_key(self, reason: str) -> None:
        with self._mutex:
            self._protocol.refuse_key(reason, self.clock())
            self._pass_on()

    def assume_started(self) -> bool:
        """Count as started without a handshake; ``Started`` rises. False if one has begun."""
        with self._mutex:
            is_started = self._protocol.assume_started(self.clock())
            self._pass_on()
            self._changed.notify_all()
            return is_started

    def spill_output(self, limit: int) -> None:
        """From now on, output beyond the high water waits in a file, as ``Spilled`` events, so that
        the reader pauses, and acknowledgements with it, only once ``limit`` bytes wait in all."""
        with self._mutex:
            self._spill = Spill()
            self.backpressure.limit_output(limit)

    def ping_within(self, seconds: float) -> None:
        """Send a ping at least so often from now on."""
        if seconds < self._ping_interval:
            self._ping_interval = seconds
            link = self._link
            if link:
                link.ping_at = min(link.ping_at, self.clock() + seconds)
            self._wake.set()

    def delivered(self, size: int) -> None:
        """So many bytes of output were passed on: there is room for more."""
        if self.backpressure.output_left(size):
            self._wake.set()  # time counts again

    @property
    def portion(self) -> int:
        """Bytes to give to :meth:`send_input_data` at a time. Where little gets through it is
        little, so that others who wait for the same room have their turn soon."""
        quarter = self._protocol.window * MAXIMUM_PAYLOAD // 4
        return max(LEAST_PORTION, min(PIECE, quarter))

    @property
    def progress(self) -> int:
        """Grows with each message that gets through, in either direction."""
        return self._protocol.progress

    @property
    def arrivals(self) -> int:
        """As :attr:`progress`, and with each message that comes once more: the node is at work."""
        return self._protocol.arrivals

    @property
    def is_incomplete(self) -> bool:
        """Whether output is missing, and known to be: its numbers have a gap."""
        return self._protocol.is_incomplete

    def drain(self, seconds: float) -> bool:
        """Wait until everything sent is acknowledged, at most ``seconds`` s; whether it is."""
        deadline = self.clock() + seconds
        with self._mutex:
            while self._protocol.unacknowledged and not self._protocol.ended:
                left = deadline - self.clock()
                if left <= 0 or self._closed or self._link is None:
                    return False
                self._changed.wait(left)
        return True

    # Inside

    def _writer_has_enough(self) -> bool:
        """Whether a producer is to wait for :meth:`messages_taken`. The caller holds the mutex."""
        link = self._link
        if link is None or not link.has_enough:
            return False
        # The writer takes first and looks here then, without the mutex: so this looks once more.
        self._waits_for_writer = True
        if link.has_enough:
            return True
        self._stop_waiting_for_writer()
        return False

    def _stop_waiting_for_writer(self) -> None:
        self._waits_for_writer = False
        self._changed.notify_all()

    def _wait_for_room(self, now: float) -> None:
        """Wait for room. ``now`` is the time at which there was none: the pace may allow more a
        moment later, and no event would tell."""
        until = self._protocol.paced_until(now)
        self._changed.wait(None if until is None else until - now)

    def _pass_on(self, is_answer: bool = False) -> None:
        """Hand on what the core has to tell and to send. The caller holds the mutex."""
        for event in self._protocol.events():
            told: Optional[ChannelEvent] = event
            if isinstance(event, Output):
                self.backpressure.output_came(len(event.data))
                told = self._spilled(event) if self._spill else event
            if told is not None:
                self._tell(told)
        messages = self._protocol.data_to_send()
        link = self._link
        if link and messages:
            link.put(messages, is_answer)
            return  # its writer looks at the timer
        timer = self._protocol.next_timer()
        if timer is not None and timer < min(self._wakes_at, link.looks_at if link else NEVER):
            self._wake.set()  # the heartbeat is to come earlier than it would

    def _spilled(self, event: Output) -> Union[Output, Spilled, None]:
        """What to queue in its place, if anything. Writing to a file goes into the page cache: it
        does not block for long under the mutex."""
        assert self._spill is not None
        if self.backpressure.output <= self._in_memory:
            self._spill.other()
            return event
        kept = self._spill.keep(event)
        if kept is event:
            self.backpressure.limit_output(self._in_memory)
        return kept

    def _new_link(self, connection: Any) -> Link:
        now = self.clock()
        return Link(connection, self, now, now + self._ping_interval)

    def received(self, frames: List[Buffer]) -> None:
        with self._mutex:
            self._protocol.receive(frames, self.clock())
            self._pass_on(is_answer=True)
            # Who waits for the writer is woken by it, and has no use for room before.
            if not self._waits_for_writer or self._protocol.ended:
                self._changed.notify_all()

    def messages_taken(self) -> None:
        if self._waits_for_writer:
            with self._mutex:
                self._stop_waiting_for_writer()

    def failed(self, event: WorkerFailed) -> None:
        self._tell(event)

    def keep_timer(self, link: Link) -> None:
        if not self._protocol.unacknowledged:
            # Seen without the mutex, which the reader has most of the time while much comes:
            # whoever sends from now on puts something into the link.
            link.looks_at = NEVER
            return
        with self._mutex:
            timer = self._protocol.next_timer()
            link.looks_at = NEVER
            if timer is not None and timer < self._wakes_at:
                link.looks_at = timer

    def timer_is_due(self) -> None:
        self._wake.set()

    def lost(self, link: Link, error: SsmPluginError) -> None:
        """Tell once for each connection; not at all after the end, or for one that was replaced."""
        with self._mutex:
            if self._link is not link:
                return
            self._link = None
            is_needed = not self._protocol.ended
            self._protocol.connection_lost()
            self._changed.notify_all()
        link.drop()
        if is_needed:
            log.info("connection lost: %s", error)
            self._tell(Disconnected(error))

    def _beat(self) -> None:
        while True:
            self._wake.clear()
            if self._closed:  # seen only after clear(), which would else undo what close() set
                return
            now = self.clock()
            # First of all: if the machine slept, the connection is dead, and nothing else.
            link = self._link
            watch_at = self._watch(link, now) if link else None
            with self._mutex:
                self._wakes_at = float("-inf")  # we are awake
                timer = self._on_time(now)
                times = [time for time in (timer, watch_at) if time is not None]
                # Under the mutex: whoever sends from now on sees whether that is early enough.
                self._wakes_at = min(times, default=NEVER)
            self._wake.wait(max(0.0, self._wakes_at - now) if times else None)

    def _on_time(self, now: float) -> Optional[float]:
        """Let the core do what is due; returns when to come again. The caller holds the mutex."""
        if self.backpressure.waits_for_consumer:
            self._protocol.not_listening(now)
            return None
        behind = self._link is not None and self._link.is_behind
        self._protocol.on_timer(now, may_resend=not behind)
        self._pass_on()
        if self._protocol.ended:
            self._changed.notify_all()
        timer = self._protocol.next_timer()
        return timer if timer is None or not behind else max(timer, now + BEHIND_INTERVAL)

    def _watch(self, link: Link, now: float) -> float:
        """Ping, and give up a peer that is silent; returns when to look again."""
        if self.backpressure.waits_for_consumer:
            link.heard_at = now  # it is our end that does not read
        if now - link.heard_at >= SILENT_INTERVALS * self._ping_interval:
            silence = ConnectionLost("nothing was heard for %.0f s" % (now - link.heard_at))
            self.lost(link, silence)
        elif now >= link.ping_at:
            link.ping_at = now + self._ping_interval
            link.ping()
        return link.ping_at
