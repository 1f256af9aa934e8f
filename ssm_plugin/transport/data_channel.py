"""The threads around the protocol core: reader, writer, heartbeat, and one mutex.

::

    producers --send_input_data()--> core --> outgoing --> producer, or writer --> connection
    connection --> reader --> core --> events queue --> the session's thread
                                 '--> acknowledgements --> outgoing
    heartbeat: timers of the core, pings, dead peers

Nothing blocks inside the mutex. What a producer has numbered it also sends, for it may block, and
a key stroke is spared the way through another thread; the writer sends for those that may not: for
the reader above all, as two ends that both only write would wait for each other. One of them sends
at a time, and takes along what the others have queued meanwhile.

Each thread has one way to be woken: the reader and whoever is stuck in sending by ``abort()`` of
the connection, the writer and the heartbeat by an event, producers by a condition.

A connection may be lost and another attached: reader and writer live as long as their connection,
the core and the heartbeat as long as the channel.
"""

import queue
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional

from .. import logs
from ..channel.events import Output
from ..channel.protocol import ChannelProtocol
from ..errors import ConnectionLost, RemoteError, SessionLost, SsmPluginError, StateError
from ..wire import payloads
from ..wire.message import Buffer
from .consumer import Consumer
from .gate import Gate
from .worker import Worker

log = logs.logger("transport")

# Bytes numbered and sealed under the mutex at a time: about a third of a millisecond.
PIECE = 65536

# Output that may wait for its consumer. The agent may end a command while this much is under way,
# and waits two seconds for acknowledgements then, so they must not wait for a slow stdout.
HIGH_WATER = 8 * 1024 * 1024
LOW_WATER = 4 * 1024 * 1024

# Messages that may wait for the writer before the reader pauses, so that acknowledgements to a
# peer that does not read do not pile up.
BACKLOG_HIGH = 20000
BACKLOG_LOW = 5000

# A peer that was silent for so many ping intervals is dead: it answers pings at once.
SILENT_INTERVALS = 3

_PING: List[bytes] = [b"ping"]
_END: List[bytes] = [b"end"]


class Disconnected(NamedTuple):
    """The connection was lost. The session may attach another one."""

    error: SsmPluginError


class DataChannel:
    """Implements ``IDataChannel``. Events of the core, :class:`Disconnected` and ``WorkerFailed``
    rise in ``events``; whoever takes an ``Output`` from there calls :meth:`delivered` once it has
    passed the data on.

    ``dial`` returns an open connection with the first message sent: an object with ``receive``,
    ``send``, ``ping``, ``farewell``, ``abort`` and ``close``. ``ping_interval`` is in seconds.
    """

    def __init__(
        self,
        protocol: ChannelProtocol,
        events: "queue.Queue[Any]",
        dial: Optional[Callable[[], Any]] = None,
        ping_interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        high_water: int = HIGH_WATER,
    ) -> None:
        self._protocol = protocol
        self._events = events
        self._dial = dial
        self._ping_interval = ping_interval
        self._clock = clock
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._consumer = Consumer(events, high_water, high_water // 2)
        self._link: Optional[_Link] = None
        self._closed = False
        self._beating = False
        self._wake = threading.Event()
        self._wakes_at = float("-inf")
        self._heartbeat = Worker("heartbeat", self._beat, events)

    # IDataChannel

    def open(self) -> bool:
        """Dial and attach. Blocks until connected; raises what ``dial`` raises."""
        if self._dial is None:
            raise StateError("this data channel was made without a way to dial")
        self.attach(self._dial())
        return True

    def send_input_data(self, data: Buffer, payload_type: int = payloads.OUTPUT) -> None:
        """Send ``data``, waiting while the window is full, the session is not open yet, or the
        connection is being resumed. :class:`SessionLost` if the channel ends first."""
        rest = memoryview(data)
        while rest:
            with self._mutex:
                if self._closed or self._protocol.ended:
                    raise SessionLost("the session ended with input unsent")
                now = self._clock()
                taken = self._protocol.send(payload_type, rest[:PIECE], now)
                link = self._link
                if taken:
                    self._hand_out(wake_writer=False)
                else:
                    self._wait_for_room(now)
            if taken and link:
                link.flush()  # here and now: whoever has data for the node may wait, too
            rest = rest[taken:]

    def close(self, seconds: float = 2.0) -> None:
        """Send what is queued, say goodbye, end all threads; at most ``seconds`` s in all."""
        deadline = self._clock() + seconds
        with self._mutex:
            self._closed = True
            self._changed.notify_all()
            link, self._link = self._link, None
        self._wake.set()
        if link:
            link.finish(deadline - self._clock())
        self._heartbeat.join(max(0.0, deadline - self._clock()))

    @property
    def is_open(self) -> bool:
        return self._link is not None and not self._protocol.ended

    # For the session

    def attach(self, connection: Any) -> None:
        """Go on over this connection: the core sends everything unacknowledged again."""
        link = _Link(self, connection, self._clock())
        with self._mutex:
            if self._closed:
                connection.close()
                raise SessionLost("the data channel was closed while it was being opened")
            previous, self._link = self._link, link
            self._protocol.connection_made(self._clock())
            self._hand_out()
        if previous:
            previous.finish(0.0)
        link.start()
        self._wake.set()  # it has this connection to watch from now on
        if not self._beating:
            self._beating = True
            self._heartbeat.start()

    def detach(self) -> None:
        """Drop the connection; what is sent from now on waits for the next one."""
        with self._mutex:
            link, self._link = self._link, None
            self._protocol.connection_lost()
            self._changed.notify_all()
        if link:
            link.drop()
            link.join(1.0)

    def send_control(self, payload_type: int, payload: bytes) -> None:
        """Send one message past the window: a size or a flag."""
        with self._mutex:
            self._protocol.send_control(payload_type, payload, self._clock())
            self._hand_out()

    def provide_key(self, data_key: bytes, ciphertext: str) -> None:
        with self._mutex:
            self._protocol.provide_key(data_key, ciphertext, self._clock())
            self._hand_out()

    def refuse_key(self, reason: str) -> None:
        with self._mutex:
            self._protocol.refuse_key(reason, self._clock())
            self._hand_out()

    def assume_started(self) -> None:
        """Take the silence of the node for a session without a handshake; ``Started`` rises."""
        with self._mutex:
            self._protocol.assume_started(self._clock())
            self._hand_out()
            self._changed.notify_all()

    def delivered(self, size: int) -> None:
        """So many bytes of output were passed on: there is room for more."""
        if self._consumer.remove(size):
            self._wake.set()  # time counts again

    @property
    def progress(self) -> int:
        """Grows with each message that gets through, in either direction."""
        return self._protocol.progress

    def drain(self, seconds: float) -> bool:
        """Wait until everything sent is acknowledged, at most ``seconds`` s; whether it is."""
        deadline = self._clock() + seconds
        with self._mutex:
            while self._protocol.unacknowledged and not self._protocol.ended:
                left = deadline - self._clock()
                if left <= 0 or self._closed or self._link is None:
                    return False
                self._changed.wait(left)
        return True

    # Inside

    def _wait_for_room(self, now: float) -> None:
        """``now`` is when there was none: a little later, what the pace forbade may be allowed,
        and then nobody would say so."""
        until = self._protocol.paced_until(now)
        self._changed.wait(None if until is None else until - now)

    def _hand_out(self, wake_writer: bool = True) -> None:
        """Pass on what the core has to send and to tell. The caller holds the mutex."""
        link = self._link
        messages = self._protocol.data_to_send()
        if messages and link:
            link.put(messages, wake_writer)
        for event in self._protocol.events():
            if type(event) is Output:
                self._consumer.add(len(event.data))
            self._events.put(event)
        timer = self._protocol.next_timer()
        if timer is not None and timer < self._wakes_at:
            self._wake.set()

    def _received(self, frames: List[Buffer]) -> None:
        with self._mutex:
            self._protocol.receive(frames, self._clock())
            self._hand_out()
            self._changed.notify_all()

    def _lost(self, link: "_Link", error: SsmPluginError) -> None:
        """Tell once for each connection, and not at all for one that we dropped ourselves."""
        with self._mutex:
            if self._link is not link or self._protocol.ended:
                return
            self._link = None
            self._protocol.connection_lost()
            self._changed.notify_all()
        link.drop()
        log.info("connection lost: %s", error)
        self._events.put(Disconnected(error))

    def _beat(self) -> None:
        while not self._closed:
            self._wake.clear()
            now = self._clock()
            # First of all: if the machine slept, the connection is dead, and nothing else.
            link = self._link
            watch_at = self._watch(link, now) if link else None
            with self._mutex:
                timer = self._on_time(now)
                times = [time for time in (timer, watch_at) if time is not None]
                # Under the mutex: whoever sends from now on sees whether that is early enough.
                self._wakes_at = min(times, default=float("inf"))
            self._wake.wait(max(0.0, self._wakes_at - now) if times else None)

    def _on_time(self, now: float) -> Optional[float]:
        """Let the core do what is due; returns when to come again. The caller holds the mutex."""
        if self._consumer.is_waited_for:
            self._protocol.not_listening(now)
            return None
        self._protocol.on_timer(now)
        self._hand_out()
        if self._protocol.ended:
            self._changed.notify_all()
        return self._protocol.next_timer()

    def _watch(self, link: "_Link", now: float) -> float:
        """Ping, and give up a peer that is silent; returns when to look again."""
        if self._consumer.is_waited_for:
            link.heard_at = now  # we are the one that does not listen
        if now - link.heard_at >= SILENT_INTERVALS * self._ping_interval:
            silence = ConnectionLost("nothing was heard for %.0f s" % (now - link.heard_at))
            self._lost(link, silence)
        elif now >= link.ping_at:
            link.ping_at = now + self._ping_interval
            link.put(_PING)
        return link.ping_at


class _Link:
    """One connection with its reader and its writer; whichever of the two ends last closes it."""

    def __init__(self, channel: DataChannel, connection: Any, now: float) -> None:
        self.connection = connection
        self.heard_at = now
        self.ping_at = now + channel._ping_interval
        self._dropped = False
        self._channel = channel
        self._outgoing: Deque[List[bytes]] = deque()
        self._sending = threading.Lock()
        self._wanted = threading.Event()  # wakes the writer
        self._finished = False
        self._backlog = Gate(BACKLOG_HIGH, BACKLOG_LOW)
        self._users = 2
        self._reader = Worker("reader", self._read, channel._events)
        self._writer = Worker("writer", self._write, channel._events)

    def start(self) -> None:
        self._writer.start()
        self._reader.start()

    def put(self, messages: List[bytes], wake_writer: bool = True) -> None:
        self._backlog.add(len(messages))
        self._outgoing.append(messages)
        if wake_writer:
            self._wanted.set()

    def flush(self) -> None:
        """Send all that is queued, or leave it to the thread that is sending just now."""
        try:
            while self._outgoing and self._sending.acquire(False):
                try:
                    self._send_batch()
                finally:
                    self._sending.release()
        except ConnectionLost as error:
            self._end_sending()
            self._channel._lost(self, error)

    def finish(self, seconds: float) -> None:
        """Send the rest and leave, or break off when ``seconds`` s have passed."""
        deadline = time.monotonic() + max(0.0, seconds)
        self.put(_END)
        self._writer.join(seconds)
        self.drop()
        self.join(max(0.2, deadline - time.monotonic()))

    def drop(self) -> None:
        """Break off: both threads leave, wherever they wait."""
        self._dropped = True
        self._channel._consumer.wake()
        self.connection.abort()
        self._backlog.force_open()
        self.put(_END)

    def join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for worker in (self._writer, self._reader):
            worker.join(max(0.0, deadline - time.monotonic()))

    def _read(self) -> None:
        channel = self._channel
        consumer, backlog, receive = channel._consumer, self._backlog, self.connection.receive
        try:
            while True:
                consumer.wait(lambda: self._dropped)
                backlog.wait()
                frames = receive()
                self.heard_at = channel._clock()
                if frames:
                    channel._received(frames)
        except (ConnectionLost, RemoteError) as error:
            channel._lost(self, error)
        finally:
            self._leave()

    def _write(self) -> None:
        try:
            while not self._finished:
                self._wanted.wait()
                self._wanted.clear()
                self.flush()
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._channel._mutex:
            self._users -= 1
            last = not self._users
        if last:
            with self._sending:
                self._finished = True
                self.connection.close()

    def _send_batch(self) -> None:
        """Send up to the end of the queue, or a marker. The caller holds the lock for that."""
        messages: List[bytes] = []
        marker = None
        while self._outgoing and marker is None:
            batch = self._outgoing.popleft()
            if batch is _END or batch is _PING:
                marker = batch
            else:
                messages += batch
        self._backlog.remove(len(messages) + (marker is not None))
        if self._finished:
            return
        if messages:
            self.connection.send(messages)
        if marker is _PING:
            self.connection.ping()
        if marker is _END:
            self.connection.farewell()
            self._end_sending()

    def _end_sending(self) -> None:
        """Whatever comes now goes nowhere, and the writer leaves."""
        self._finished = True
        self._wanted.set()
