"""One connection of a data channel, with its two threads: a reader and a writer.

The writer is the only one that sends, and ``queue.Queue.get`` is all that it waits for. Whoever has
something to send puts it into its queue and goes on: the threads that bring input, the reader with
its acknowledgements and answers to pings, the heartbeat with pings and resends. So no reader ever
waits for a peer that does not read, and two ends that both only write do not wait for each other.

The writer waits no longer than the retransmission timer allows, and calls the heartbeat then. That
is seldom: acknowledgements come first. Were the heartbeat told of the timer whenever something is
sent, it would wake for each key, just when the others want to run.
"""

import enum
import queue
import threading
import time
from typing import Any, Callable, List, Union

from ..errors import ConnectionLost, LocalError, RemoteError, SsmPluginError
from ..named_tuple import NamedTuple
from ..wire.message import Buffer
from .backpressure import Backpressure
from .moderation import Moderator
from .worker import Worker, WorkerFailed

NEVER = float("inf")

# Messages that are enough for the writer: there are more by the time that it has sent them. What
# waits here beyond that only delays whatever comes next, as a key does, and takes memory.
ENOUGH = 32

# Seconds that the answer to a close frame may take to leave.
_LAST_ANSWER_LIMIT = 0.2


class Messages(NamedTuple):
    """``answer_size``: how many bytes of it answer what the peer sent."""

    messages: List[bytes]
    answer_size: int


class Answer(NamedTuple):
    """A frame of websocket-client's own: a pong, or the answer to a close."""

    frame: bytes


class Marker(enum.Enum):
    PING = "ping"
    FAREWELL = "farewell"  # say goodbye, and send nothing more
    END = "end"  # send nothing more


Outgoing = Union[Messages, Answer, Marker]


class LinkOwner:
    """What a link needs of the channel that it belongs to."""

    backpressure: Backpressure
    clock: Callable[[], float]

    def received(self, frames: List[Buffer]) -> None:
        """Take a batch of messages. In the reader."""
        raise NotImplementedError

    def failed(self, event: WorkerFailed) -> None:
        """One of the link's threads broke: a mistake of ours, or a shortage."""
        raise NotImplementedError

    def lost(self, link: "Link", error: SsmPluginError) -> None:
        """The connection is gone. In the thread that noticed first, perhaps in both."""
        raise NotImplementedError

    def messages_taken(self) -> None:
        """The writer has taken what waited in the link, and sends it now. In the writer."""
        raise NotImplementedError

    def keep_timer(self, link: "Link") -> None:
        """Set the link's ``looks_at``: everything that was put into it is sent. In the writer."""
        raise NotImplementedError

    def timer_is_due(self) -> None:
        """``looks_at`` has come. In the writer."""
        raise NotImplementedError


class Link:
    """``connection`` is open. Whichever of the two threads ends last closes it.

    Attributes:
        heard_at: when something last came, of the owner's clock
        ping_at: when the heartbeat is to send the next ping
        looks_at: when the writer looks whether the retransmission timer has run out
    """

    def __init__(self, connection: Any, owner: LinkOwner, now: float, ping_at: float) -> None:
        self.connection = connection
        self.heard_at = now
        self.ping_at = ping_at
        self.looks_at = NEVER
        self._owner = owner
        self._dropped = False
        self._moderator = Moderator()
        self._prompt = threading.Event()
        self._outgoing: "queue.Queue[Outgoing]" = queue.Queue()
        self._leaving = threading.Lock()
        self._put_count = self._taken_count = 0  # messages; each is counted by one thread at a time
        self._users = 2
        self._reader = Worker("reader", self._read, owner.failed)
        self._writer = Worker("writer", self._write, owner.failed)
        connection.answer_through(self._answer)

    def start(self) -> None:
        """LocalError if there are no threads left: the connection is closed then."""
        for left_behind, worker in ((2, self._writer), (1, self._reader)):
            try:
                worker.start()
            except LocalError:
                self.connection.abort()
                for _ in range(left_behind):
                    self._leave()
                raise

    def put(self, messages: List[bytes], is_answer: bool = False) -> None:
        """Have messages sent; never blocks. ``is_answer`` if it was the peer that caused them. The
        caller holds the owner's mutex."""
        self._put_count += len(messages)
        size = sum(map(len, messages)) if is_answer else 0
        if size:
            self._owner.backpressure.answers_queued(size)
        self._outgoing.put(Messages(messages, size))

    def expect_answer(self, size: int, under_way: int) -> None:
        """Data of so many bytes is sent, while so many messages are unacknowledged: what answers
        it may be waited for."""
        if self._moderator.sent(size, under_way, self._owner.clock()):
            self._prompt.set()

    def ping(self) -> None:
        """Have a ping sent, in its turn."""
        self._outgoing.put(Marker.PING)

    @property
    def is_behind(self) -> bool:
        """Whether something waits for the writer: what has not left cannot be lost."""
        return not self._outgoing.empty()

    @property
    def has_enough(self) -> bool:
        """Whether data had better wait until the writer has taken what is here."""
        return self._put_count - self._taken_count >= ENOUGH

    def finish(self, seconds: float) -> None:
        """Send the rest, say goodbye and leave; break off when ``seconds`` s have passed."""
        deadline = time.monotonic() + max(0.0, seconds)
        self._outgoing.put(Marker.FAREWELL)
        self._writer.join(seconds)
        self.drop()
        self.join(max(0.2, deadline - time.monotonic()))

    def drop(self) -> None:
        """Break off: both threads leave, wherever they wait."""
        self._dropped = True
        self.connection.abort()
        self._prompt.set()
        self._outgoing.put(Marker.END)
        self._owner.backpressure.wake()

    def join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for worker in (self._writer, self._reader):
            worker.join(max(0.0, deadline - time.monotonic()))

    # The reader

    def _read(self) -> None:
        owner = self._owner
        backpressure, receive = owner.backpressure, self.connection.receive
        try:
            while True:
                backpressure.wait(self._is_dropped)
                frames = receive()
                self.heard_at = owner.clock()
                if frames:
                    owner.received(frames)
                    self._pause(len(frames))
        except (ConnectionLost, RemoteError) as error:
            self._send_last_answer()
            owner.lost(self, error)
        finally:
            self._leave()

    def _pause(self, count: int) -> None:
        """Let a batch come together, if messages come one by one: see ``moderation``."""
        seconds = self._moderator.pause(count, self.heard_at)
        if seconds:
            self._prompt.wait(seconds)
            self._prompt.clear()

    def _answer(self, frame: bytes) -> None:
        self._owner.backpressure.answers_queued(len(frame))
        self._outgoing.put(Answer(frame))

    def _send_last_answer(self) -> None:
        """The service that closed the connection waits for the answer to that."""
        self._outgoing.put(Marker.END)
        self._writer.join(_LAST_ANSWER_LIMIT)

    def _is_dropped(self) -> bool:
        return self._dropped

    # The writer

    def _write(self) -> None:
        try:
            while self._send_next():
                pass
        except ConnectionLost as error:
            self._owner.lost(self, error)
        finally:
            self._leave()

    def _send_next(self) -> bool:
        """Wait for something and send it, with all messages that are here by then; False at the
        end."""
        messages: List[bytes] = []
        answer_size = 0
        item = self._next()
        try:
            while isinstance(item, Messages):
                messages += item.messages
                answer_size += item.answer_size
                item = self._outgoing.get_nowait()
        except queue.Empty:
            self._send_messages(messages, answer_size)
            return True
        self._send_messages(messages, answer_size)
        return self._send_other(item)

    def _next(self) -> Outgoing:
        try:
            return self._outgoing.get_nowait()
        except queue.Empty:
            self._owner.keep_timer(self)
        try:
            if self.looks_at < NEVER:
                left = self.looks_at - self._owner.clock()
                return self._outgoing.get(timeout=max(0.0, left))
        except queue.Empty:
            self.looks_at = NEVER  # the heartbeat sees to it from here on
            self._owner.timer_is_due()
        return self._outgoing.get()

    def _send_messages(self, messages: List[bytes], answer_size: int) -> None:
        try:
            if messages:
                self._taken_count += len(messages)
                self._owner.messages_taken()
                self.connection.send(messages)
        finally:
            if answer_size:
                self._owner.backpressure.answers_sent(answer_size)

    def _send_other(self, item: Outgoing) -> bool:
        if isinstance(item, Answer):
            try:
                self.connection.send_frame(item.frame)
            finally:
                self._owner.backpressure.answers_sent(len(item.frame))
        elif item is Marker.PING:
            self.connection.ping()
        elif item is Marker.FAREWELL:
            self.connection.farewell()
        return isinstance(item, Answer) or item is Marker.PING

    def _leave(self) -> None:
        """The last of the two threads closes the connection, and forgets what was never sent."""
        with self._leaving:
            self._users -= 1
            if self._users:
                return
        self.connection.close()
        while not self._outgoing.empty():
            item = self._outgoing.get_nowait()
            size = len(item.frame) if isinstance(item, Answer) else 0
            size += item.answer_size if isinstance(item, Messages) else 0
            if size:
                self._owner.backpressure.answers_sent(size)
