"""Judges a way's pace: pure.

A plain download that crawls at the agent's pace is noticed, so that people hear of ``--speed``; and
so is a relay that is no faster than a plain tunnel would be.

A relay tells, once a second, that more waits at the node than its output takes. What came in the
meantime is then what the way down carries at most.
"""

# The agent's pace is 0.6 to 0.9 MB/s; what is faster is not held up by it. Bytes a second.
PACE = 1.2e6

# Bytes that a download brings without a pause before anything is said.
ENOUGH = 20 << 20

# A longer silence, in seconds, is no download that goes on.
_DOWNLOAD_PAUSE = 2.0

# Seconds for which more must have waited without a pause before a relay is judged.
PERIOD = 15.0

# Longer than a relay goes without telling that more waits; seconds.
_RELAY_PAUSE = 4.0

HINT = (
    "ssm-plugin: this download goes at the agent's pace; --speed auto would be faster "
    "(see 'Fast tunnels' in the README)\n"
)


class PaceHint:
    """Watches a plain download. ``now`` is in seconds, of any one clock."""

    def __init__(self) -> None:
        self._since = 0.0
        self._last = float("-inf")
        self._came = 0
        self._was_told = False

    def came(self, size: int, now: float) -> bool:
        """Whether it is to be said now; once at the most."""
        if now - self._last > _DOWNLOAD_PAUSE:
            self._since, self._came = now, 0
        self._last = now
        self._came += size
        if self._was_told or self._came < ENOUGH:
            return False
        self._was_told = self._came <= PACE * (now - self._since)
        self._since, self._came = now, 0
        return self._was_told


class RelayPace:
    """Watches a relay. ``now`` is in seconds, of any one clock."""

    def __init__(self) -> None:
        self._since = self._last = float("-inf")
        self._came = 0

    def came(self, size: int) -> None:
        self._came += size

    def waits(self, now: float) -> bool:
        """More data waits at the node. Returns whether it is certain now that the relay is no
        faster."""
        if now - self._last > _RELAY_PAUSE:
            self._since, self._came = now, 0
        self._last = now
        if now - self._since < PERIOD:
            return False
        is_slow = self._came <= PACE * (now - self._since)
        self._since, self._came = now, 0
        return is_slow
