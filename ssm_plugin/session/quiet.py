"""When a session is so quiet that the service is to be asked whether it is over.

The message that ends a session may be lost while the connection lives on: then nothing ever comes.
Asking is cheap, one call of ssm:DescribeSessions, and changes nothing, as a resumption would.
"""

from typing import Callable, Optional

from ..errors import CredentialsError
from .errands import may_heal
from .timers import Timers

# Seconds between two looks, until input that nobody acknowledges makes us ask, until silence alone
# does (twice as long each time), and the longest time between two questions.
INTERVAL = 5.0
UNACKNOWLEDGED_LIMIT = 10.0
IDLE_LIMIT = 60.0
LONGEST_WAIT = 600.0


class Quiet:
    """``look`` is called at each interval from :meth:`begin` on."""

    def __init__(self, timers: Timers, look: Callable[[], None]) -> None:
        self._look = look
        self._timer = timers.new(self._due)
        self._progress = -1
        self._since = 0.0
        self._wait = IDLE_LIMIT
        self._is_denied = False

    def begin(self, now: float) -> None:
        """The session is open."""
        self._since = now
        self._timer.set(INTERVAL)

    def told(self, error: Optional[BaseException]) -> None:
        """The answer, or why there is none. Where we may not ask we never do so again."""
        if error is not None and (isinstance(error, CredentialsError) or not may_heal(error)):
            self._is_denied = True

    def asks(self, now: float, progress: int, waiting: bool) -> bool:
        """Whether to ask now. ``progress`` is the channel's; ``waiting``: there is input that was
        not acknowledged."""
        if progress != self._progress:
            if self._progress >= 0:
                self._since, self._wait = now, IDLE_LIMIT
            self._progress = progress
        limit = UNACKNOWLEDGED_LIMIT if waiting else self._wait
        if self._is_denied or now - self._since < limit:
            return False
        if not waiting:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._since = now
        return True

    def _due(self) -> None:
        self._timer.set(INTERVAL)
        self._look()
