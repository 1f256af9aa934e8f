"""How far the consumer of output is behind, and the reader that waits for it to catch up."""

import queue
import threading
from typing import Any, Callable

# Events that may wait in the queue before the reader pauses, and how many may be left when it goes
# on: pieces of output can be so small that what they cost is not their bytes.
EVENTS_HIGH = 20000
EVENTS_LOW = 5000


class Consumer:
    """It is behind once ``high`` bytes of output wait for it, or :data:`EVENTS_HIGH` events, and
    has caught up when there are no more than ``low``, and :data:`EVENTS_LOW`."""

    def __init__(self, events: "queue.Queue[Any]", high: int, low: int) -> None:
        self._events = events
        self._high = high
        self._low = low
        self._undelivered = 0
        self._waiting = 0
        self._changed = threading.Condition()

    def limit(self, high: int) -> None:
        """Let so many bytes wait from now on."""
        with self._changed:
            self._high, self._low = high, high // 2
            self._changed.notify_all()

    @property
    def undelivered(self) -> int:
        """Bytes that wait for it."""
        return self._undelivered

    def add(self, size: int) -> None:
        """So many bytes of output are on their way to it."""
        with self._changed:
            self._undelivered += size

    def remove(self, size: int) -> bool:
        """It has taken so many; whether a reader goes on for that."""
        with self._changed:
            self._undelivered -= size
            if not self._waiting or not self._has_caught_up():
                return False
            self._changed.notify_all()
            return True

    def wait(self, given_up: Callable[[], bool]) -> None:
        """If it is behind, wait until it has caught up, or :meth:`wake` finds ``given_up()``."""
        with self._changed:
            if self._undelivered < self._high and self._events.qsize() < EVENTS_HIGH:
                return
            self._waiting += 1
            while not self._has_caught_up() and not given_up():
                self._changed.wait()
            self._waiting -= 1

    def wake(self) -> None:
        """Let a reader that waits look whether it has given up."""
        with self._changed:
            self._changed.notify_all()

    @property
    def is_waited_for(self) -> bool:
        return self._waiting > 0

    def _has_caught_up(self) -> bool:
        return self._undelivered <= self._low and self._events.qsize() <= EVENTS_LOW
