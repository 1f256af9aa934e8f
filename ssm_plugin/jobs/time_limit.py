"""A limit on how long a command may take, from before its session is started."""

import os
import queue
import signal
import threading
from typing import Any, Optional

from ..session.loop import EndRequested
from ..transport.worker import Worker

EXIT_TIME_UP = 124

# Seconds from the first event to the second one: what an interrupted command may take to end.
GRACE = 2.5


# Seconds that may pass until somebody takes the first event: longer, and the thread that should is
# stuck in writing to what nobody reads.
TAKE_LIMIT = 0.5


class TimeUp:
    """The event: the time is over, end the command. ``taken`` is for who takes it to set."""

    def __init__(self) -> None:
        self.taken = threading.Event()


class TimeLimit:
    """``with TimeLimit(30.0, events) as limit:`` puts :class:`TimeUp` after 30 s and, if the block
    lasts on, the end of the session. None for no limit.

    ``passed`` tells that the time is over; ``forced`` that nobody took the event. If ``signals``,
    which is for the main thread of a program of our own, that is then done by a SIGTERM to
    ourselves, which breaks a write off.
    """

    def __init__(
        self, seconds: Optional[float], events: "queue.Queue[Any]", signals: bool = False
    ) -> None:
        self.passed = False
        self.forced = False
        self.seconds = seconds
        self._signals = signals
        self._events = events
        self._over = threading.Event()
        self._worker = Worker("time limit", self._wait, events.put)

    def __enter__(self) -> "TimeLimit":
        if self.seconds is not None:
            self._worker.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._worker.join(1.0)

    def _wait(self) -> None:
        if self._over.wait(self.seconds):
            return
        self.passed = True
        event = TimeUp()
        self._events.put(event)
        if self._signals and not event.taken.wait(TAKE_LIMIT) and not self._over.is_set():
            self.forced = True
            os.kill(os.getpid(), signal.SIGTERM)
        if not self._over.wait(GRACE):
            self._events.put(EndRequested(EXIT_TIME_UP))
