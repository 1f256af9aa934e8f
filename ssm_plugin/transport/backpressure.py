"""What the reader of a data channel waits for, besides its socket.

It counts what was received and is not passed on yet, and the answers (acknowledgements, pongs) that
are not sent yet. Data that waits to be sent does not count: its window bounds it, and a reader that
waited for it would not see the acknowledgements that it needs.
"""

import threading
from typing import Callable

# Events that may wait in the queue before the reader pauses, and how many may be left when it goes
# on: pieces of output can be so small that what they cost is not their bytes.
EVENTS_HIGH = 20000
EVENTS_LOW = 5000

# Bytes of answers that may wait for a peer that does not read.
ANSWERS_HIGH = 4 * 1024 * 1024
ANSWERS_LOW = 1024 * 1024


class Backpressure:
    """The reader pauses once ``high`` bytes of output wait for their consumer, or too many events,
    or too many bytes of answers for the peer; it goes on when they have come down to about half."""

    def __init__(self, waiting: Callable[[], int], high: int) -> None:
        """``waiting`` tells how many events wait for the consumer."""
        self._events_waiting = waiting
        self._high, self._low = high, high // 2
        self.output = 0  # bytes that wait for their consumer
        self._answers = 0  # bytes that wait for the writer
        # Readers that wait for room: the reader of a lost connection may be one of them.
        self._waiting_for_output = 0
        self._changed = threading.Condition()

    # Output

    def limit_output(self, high: int) -> None:
        """Let so many bytes wait from now on."""
        with self._changed:
            self._high, self._low = high, high // 2
            self._changed.notify_all()

    def output_came(self, size: int) -> None:
        with self._changed:
            self.output += size

    def output_left(self, size: int) -> bool:
        """Whether a reader that waited for this goes on."""
        with self._changed:
            self.output -= size
            if not self._waiting_for_output or not self._consumer_has_caught_up():
                return False
            self._changed.notify_all()
            return True

    @property
    def waits_for_consumer(self) -> bool:
        """Whether our end has stopped reading: then the peer's silence does not count."""
        return self._waiting_for_output > 0

    # Answers

    def answers_queued(self, size: int) -> None:
        with self._changed:
            self._answers += size

    def answers_sent(self, size: int) -> None:
        with self._changed:
            self._answers -= size
            if self._answers <= ANSWERS_LOW:
                self._changed.notify_all()

    # The reader

    def wait(self, given_up: Callable[[], bool]) -> None:
        """Wait while too much has piled up, or until :meth:`wake` finds ``given_up()``."""
        with self._changed:
            if self.output >= self._high or self._events_waiting() >= EVENTS_HIGH:
                self._waiting_for_output += 1
                while not self._consumer_has_caught_up() and not given_up():
                    self._changed.wait()
                self._waiting_for_output -= 1
            if self._answers >= ANSWERS_HIGH:
                while self._answers > ANSWERS_LOW and not given_up():
                    self._changed.wait()

    def wake(self) -> None:
        """Let a reader that waits look whether it has given up."""
        with self._changed:
            self._changed.notify_all()

    def _consumer_has_caught_up(self) -> bool:
        return self.output <= self._low and self._events_waiting() <= EVENTS_LOW
