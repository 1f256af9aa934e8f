"""Notices downloads that crawl at the agent's pace, so that people hear of ``--speed``: pure."""

# Bytes that come without a pause before anything is said.
ENOUGH = 20 << 20

# The agent's pace is 0.6 to 0.9 MB/s; what is faster is not held up by it. Bytes a second.
PACE = 1.2e6

# A longer silence, in seconds, is no download that goes on.
_PAUSE = 2.0

HINT = (
    "ssm-plugin: this download goes at the agent's pace; --speed auto would be faster "
    "(see 'Fast tunnels' in the README)\n"
)


class PaceHint:
    """``now`` is in seconds, of any one clock."""

    def __init__(self) -> None:
        self._since = 0.0
        self._last = float("-inf")
        self._came = 0
        self._was_told = False

    def came(self, size: int, now: float) -> bool:
        """Whether it is to be said now; once at the most."""
        if now - self._last > _PAUSE:
            self._since, self._came = now, 0
        self._last = now
        self._came += size
        if self._was_told or self._came < ENOUGH:
            return False
        self._was_told = self._came <= PACE * (now - self._since)
        self._since, self._came = now, 0
        return self._was_told
