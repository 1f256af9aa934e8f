"""One time limit over several steps, the delays between attempts, and how long something took.
Times are seconds of a monotonic clock."""

import time
from typing import TYPE_CHECKING, Callable, Iterator, Optional

from ..errors import DeadlineError

if TYPE_CHECKING:
    import random

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

_ADVICE = "check the network, the firewall and the proxy settings"


class Deadline:
    """``seconds`` from now on, for ``what`` ("connecting to h:443"), as an error calls it."""

    def __init__(
        self, seconds: float, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self, step: str) -> float:
        """Seconds left, more than 0; DeadlineError, which names ``step``, once they are over."""
        left = self.left
        if left <= 0:
            raise self.error(step)
        return left

    @property
    def left(self) -> float:
        """Seconds left; 0 or less once they are over."""
        return self._end - self._clock()

    def error(self, step: str, advice: str = _ADVICE) -> DeadlineError:
        limit = "%g s" % round(self._seconds, 1)
        return DeadlineError("%s took longer than %s (%s): %s" % (self._what, limit, step, advice))


class Stopwatch:
    """Times of day from ``began`` on, in seconds since the epoch. They pass as a monotonic clock
    does, whatever the other one is set to meanwhile."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self.began = wall_clock()
        self._since = time.monotonic()

    @property
    def now(self) -> float:
        return self.began + time.monotonic() - self._since


def delays(source: "Optional[random.Random]" = None) -> Iterator[float]:
    """Seconds before each attempt to reconnect, without end: 0 before the first one, then
    :data:`FIRST_DELAY`, doubled up to :data:`LONGEST_DELAY`. Each is a random part of that, a half
    to the whole: the clients that one gateway dropped at the same moment come back one by one."""
    import random  # takes long to load; most connections are never lost

    generator = source or random.Random()
    yield 0.0
    longest = FIRST_DELAY
    while True:
        yield longest * generator.uniform(0.5, 1.0)
        longest = min(2 * longest, LONGEST_DELAY)
