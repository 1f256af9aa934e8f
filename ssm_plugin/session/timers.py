"""The timers of a session and its runner. One of them is periodic: if the session has been quiet
for long, the service is asked whether it is over. Another one ends a session that is.

The message that ends a session may be lost while the connection lives on: then nothing ever comes.
Asking is cheap, one call of ssm:DescribeSessions, and changes nothing, as a resumption would.
"""

import time
from typing import Callable, List, Optional

from ..aws.service_errors import may_heal
from ..errors import CredentialsError


class SessionTimer:
    """Calls ``due`` once, in the session's thread, when its time has come. Set it there, or before
    the session is executed."""

    def __init__(self, due: Callable[[], None]) -> None:
        self.at: Optional[float] = None
        self.due = due

    def set(self, seconds: float) -> None:
        """So many seconds from now, in place of what it was set to before."""
        self.at = time.monotonic() + seconds

    def cancel(self) -> None:
        self.at = None


class Timers:
    """All timers of one session."""

    def __init__(self) -> None:
        self._timers: List[SessionTimer] = []

    def new(self, due: Callable[[], None]) -> SessionTimer:
        timer = SessionTimer(due)
        self._timers.append(timer)
        return timer

    def next(self) -> Optional[float]:
        """When the first of them is due."""
        return min((timer.at for timer in self._timers if timer.at is not None), default=None)

    def run(self, now: float) -> None:
        """Call those whose time has come."""
        for timer in self._timers:
            if timer.at is not None and timer.at <= now:
                timer.at = None
                timer.due()


# Seconds. The session is known to be over: the message that ends it comes, or it was lost.
LAST_WORD_LIMIT = 5.0


class LastWord:
    """Ends a session that is known to be over, if nothing comes any more and nothing waits for its
    turn. A message that ends it comes behind all output, which may have a slow reader or way."""

    def __init__(
        self, timers: Timers, nothing_waits: Callable[[], bool], progress: Callable[[], int]
    ) -> None:
        """``progress`` is the channel's."""
        self._timer = timers.new(self._due)
        self._nothing_waits = nothing_waits
        self._progress_now = progress
        self._progress = 0
        self._end: Optional[Callable[[], None]] = None

    @property
    def is_expected(self) -> bool:
        return self._end is not None

    def expect(self, end: Callable[[], None]) -> None:
        """Call ``end`` if it does not come."""
        self._end = end
        self._progress = self._progress_now()
        self._timer.set(LAST_WORD_LIMIT)

    def _due(self) -> None:
        assert self._end is not None
        if self._nothing_waits() and self._progress_now() == self._progress:
            self._end()
        else:
            self.expect(self._end)


# Of a quiet session, in seconds: between two looks; until we ask because of input that nobody
# acknowledges; until we ask because of silence alone, twice as long each time; and the longest time
# between two questions.
QUIET_INTERVAL = 5.0
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
        self._timer.set(QUIET_INTERVAL)

    def told(self, error: Optional[BaseException]) -> None:
        """The answer, or why there is none. Once asking was denied, we do not ask again."""
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
        self._timer.set(QUIET_INTERVAL)
        self._look()
