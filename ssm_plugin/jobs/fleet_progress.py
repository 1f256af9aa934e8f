"""The line that a person sees while a fleet works: how many targets wait, run, and have ended."""

import os
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Set, Tuple

from ..session.streams import OutputGone, write_all
from ..terminal.status_line import INTERVAL, StatusLine

# Seconds that the rate is taken over.
RATE_WINDOW = 10.0

# Seconds that the end may wait for a thread that is stuck in writing its output.
_CLOSE_LIMIT = 0.2

_HINT = "; Ctrl-C ends it"


class FleetProgress:
    """Draws on the terminal behind ``descriptor``; where there is none, if ``quiet``, and of one
    target alone: nothing.

    Whoever writes other lines does so ``with progress:``. It keeps the writers apart, and wipes the
    line first. Any thread may call. ``total`` is the number of targets; ``clock`` gives seconds.
    """

    def __init__(
        self,
        total: int,
        descriptor: int = 2,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._descriptor = descriptor
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = Rate()
        self._unconnected: Set[str] = set()
        self._next: Optional[float] = None
        self._line: Optional[StatusLine] = None
        if not quiet and total != 1 and os.isatty(descriptor):
            self._line = StatusLine(descriptor, self._write)

    @property
    def is_drawn(self) -> bool:
        """Whether anybody sees it: then ``show`` is to be called even if nothing happens."""
        return self._line is not None

    def show(self, waiting: int, running: int, done: int, failed: int) -> None:
        """Show the counts, at most so many times a second. Never waits: neither for another writer
        nor for a stopped terminal. What is not shown now is shown by the next call."""
        if self._line is None or not self._is_due():
            return
        if not self._lock.acquire(False):
            return
        try:
            line = self._line
            if line is not None and not line.is_stopped:
                rate = self._rate.over(self._clock(), done + failed)
                text = progress_text(self._total, waiting, running, done, failed, rate)
                if self._unconnected:
                    text += ", %d not connected yet" % len(self._unconnected)
                line.show(text, _HINT)
        finally:
            self._lock.release()

    def waits_for(self, target: str, pause: float, left: float) -> None:
        """A node that runs here is not connected yet. The next ``show`` counts it, too."""
        self._unconnected.add(target)

    def over(self, target: str) -> None:
        """Nobody waits for that node any more."""
        self._unconnected.discard(target)

    def close(self) -> None:
        """Wipes it, for good. More calls do nothing."""
        if not self._lock.acquire(timeout=_CLOSE_LIMIT):
            return
        try:
            line, self._line = self._line, None
            if line is not None and not line.is_stopped:
                line.wipe()
        finally:
            self._lock.release()

    def __enter__(self) -> "FleetProgress":
        self._lock.acquire()
        if self._line is not None:
            self._line.wipe()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def _is_due(self) -> bool:
        now = self._clock()
        if self._next is not None and now < self._next:
            return False
        self._next = now + INTERVAL
        return True

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._descriptor, data)
        except OutputGone:
            self._line = None


class Rate:
    """How many end each second, over the last :data:`RATE_WINDOW` seconds. Pure."""

    def __init__(self) -> None:
        self._seen: Deque[Tuple[float, int]] = deque()

    def over(self, now: float, ended: int) -> Optional[float]:
        """``ended`` counts from the beginning. None as long as nothing can be said."""
        seen = self._seen
        seen.append((now, ended))
        while len(seen) > 2 and now - seen[1][0] >= RATE_WINDOW:
            seen.popleft()
        since, before = seen[0]
        return (ended - before) / (now - since) if now > since else None


def progress_text(
    total: int, waiting: int, running: int, done: int, failed: int, rate: Optional[float]
) -> str:
    text = "ssm-plugin: %d waiting, %d running, %d done, %d failed of %d" % (
        waiting, running, done, failed, total
    )
    if rate is None:
        return text
    return text + (", %.1f/s" if rate < 10 else ", %.0f/s") % rate
