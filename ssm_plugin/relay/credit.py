"""How much one direction of one stream may have under way: pure, and the same on both sides.

A stream that nobody reads stops at its own window, and holds up no other. The relay's sources keep
the same account.
"""

from .messages import WINDOW

# What has been taken is told in portions: each costs a message.
PORTION = WINDOW // 4


class Credit:
    """Of what we send: ``left`` bytes may go."""

    def __init__(self) -> None:
        self.left = WINDOW

    def spend(self, size: int) -> None:
        self.left -= size

    def grant(self, size: int) -> None:
        self.left += size


class Taken:
    """Of what we receive: counts what has left for good, until there is enough to tell."""

    def __init__(self) -> None:
        self._untold = 0

    def add(self, size: int) -> int:
        """How much is to be told now; 0 for nothing."""
        self._untold += size
        if self._untold < PORTION:
            return 0
        told, self._untold = self._untold, 0
        return told
