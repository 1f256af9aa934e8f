"""One time limit over several steps. Times are seconds of a monotonic clock."""

import time
from typing import Callable

from ..errors import DeadlineError

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
        limit = f"{round(self._seconds, 1):g} s"
        return DeadlineError(f"{self._what} took longer than {limit} ({step}): {advice}")
