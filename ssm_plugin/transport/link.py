"""One connection of a data channel, with its two threads: a reader and a writer.

Whoever may block sends what it has queued itself, which spares a keystroke the way through another
thread. The writer sends for those that may not block: for the reader above all, as two ends that
both only write would wait for each other. One of them sends at a time, and takes along what the
others have queued meanwhile.
"""

import queue
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, List

from ..errors import ConnectionLost, LocalError, RemoteError, SsmPluginError
from ..wire.message import Buffer
from .consumer import Consumer
from .gate import Gate
from .worker import Worker

# Messages that may wait for the writer before the reader pauses, so that acknowledgements to a
# peer that does not read do not pile up.
BACKLOG_HIGH = 20000
BACKLOG_LOW = 5000

_PING: List[bytes] = [b"ping"]
_END: List[bytes] = [b"end"]


class LinkOwner:
    """What a link needs of the channel that it belongs to."""

    events: "queue.Queue[Any]"
    consumer: Consumer
    clock: Callable[[], float]

    def received(self, frames: List[Buffer]) -> None:
        """Take a batch of messages. In the reader."""
        raise NotImplementedError

    def lost(self, link: "Link", error: SsmPluginError) -> None:
        """The connection is gone. In the thread that noticed first, perhaps in both."""
        raise NotImplementedError


class Link:
    """One connection with its reader and its writer; whichever of the two ends last closes it."""

    def __init__(self, connection: Any, owner: LinkOwner, now: float, ping_at: float) -> None:
        self.connection = connection
        self.heard_at = now
        self.ping_at = ping_at
        self._dropped = False
        self._owner = owner
        self._outgoing: Deque[List[bytes]] = deque()
        self._sending = threading.Lock()
        self._wanted = threading.Event()  # wakes the writer
        self._finished = False
        self._backlog = Gate(BACKLOG_HIGH, BACKLOG_LOW)
        self._users = 2
        self._leaving = threading.Lock()
        self._reader = Worker("reader", self._read, owner.events)
        self._writer = Worker("writer", self._write, owner.events)

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

    def put(self, messages: List[bytes]) -> None:
        """Queue messages; :meth:`flush` or :meth:`wake_writer` is to follow."""
        self._backlog.add(len(messages))
        self._outgoing.append(messages)

    def wake_writer(self) -> None:
        if self._outgoing:
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
            self._owner.lost(self, error)

    def ask_for_life(self) -> None:
        """Have a ping sent, in its turn."""
        self.put(_PING)
        self.wake_writer()

    def finish(self, seconds: float) -> None:
        """Send the rest and leave, or break off when ``seconds`` s have passed."""
        deadline = time.monotonic() + max(0.0, seconds)
        self.put(_END)
        self.wake_writer()
        self._writer.join(seconds)
        self.drop()
        self.join(max(0.2, deadline - time.monotonic()))

    def drop(self) -> None:
        """Break off: both threads leave, wherever they wait."""
        self._dropped = True
        self._owner.consumer.wake()
        self.connection.abort()
        self._backlog.force_open()
        self.put(_END)
        self.wake_writer()

    def join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for worker in (self._writer, self._reader):
            worker.join(max(0.0, deadline - time.monotonic()))

    def _read(self) -> None:
        owner = self._owner
        consumer, backlog, receive = owner.consumer, self._backlog, self.connection.receive
        try:
            while True:
                consumer.wait(lambda: self._dropped)
                backlog.wait()
                frames = receive()
                self.heard_at = owner.clock()
                if frames:
                    owner.received(frames)
        except (ConnectionLost, RemoteError) as error:
            owner.lost(self, error)
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
        with self._leaving:
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
