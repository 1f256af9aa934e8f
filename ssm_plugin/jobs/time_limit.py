"""A limit on how long a command may take, from before its session is started."""

import queue
import threading
from types import TracebackType
from typing import Any, Optional, Type

from ..session.loop import EndRequested
from ..transport.worker import Worker

EXIT_TIME_UP = 124

# Seconds from the first event to the second one: what an interrupted command may take to end.
GRACE = 2.5


class TimeUp:
    """The event: the time is over, end the command."""


class TimeLimit:
    """``with TimeLimit(30.0, events) as limit:`` puts :class:`TimeUp` after 30 s and, if the block
    lasts on, the end of the session. None for no limit. ``limit.passed`` tells which it was."""

    def __init__(self, seconds: Optional[float], events: "queue.Queue[Any]") -> None:
        self.passed = False
        self.seconds = seconds
        self._events = events
        self._over = threading.Event()
        self._worker = Worker("time limit", self._wait, events)

    def __enter__(self) -> "TimeLimit":
        if self.seconds is not None:
            self._worker.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._over.set()
        self._worker.join(1.0)

    def _wait(self) -> None:
        if self._over.wait(self.seconds):
            return
        self.passed = True
        self._events.put(TimeUp())
        if not self._over.wait(GRACE):
            self._events.put(EndRequested(EXIT_TIME_UP))
