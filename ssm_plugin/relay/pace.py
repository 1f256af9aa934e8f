"""Notices that a relay is no faster than a plain tunnel would be: pure.

The relay tells, once a second, that more waits at the node than its output takes. What came in the
meantime is then what the way down carries at most.
"""

from .hint import PACE

# Seconds for which more must have waited without a pause before anything is judged.
PERIOD = 15.0

# Longer than the relay goes without telling that more waits; seconds.
_PAUSE = 4.0


class RelayPace:
    """``now`` is in seconds, of any one clock."""

    def __init__(self, period: float = PERIOD) -> None:
        self._period = period
        self._since = self._last = float("-inf")
        self._came = 0

    def came(self, size: int) -> None:
        self._came += size

    def waits(self, now: float) -> bool:
        """More waits at the node. Whether it is certain now that this way is no faster."""
        if now - self._last > _PAUSE:
            self._since, self._came = now, 0
        self._last = now
        if now - self._since < self._period:
            return False
        is_slow = self._came <= PACE * (now - self._since)
        self._since, self._came = now, 0
        return is_slow
