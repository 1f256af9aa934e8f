"""Points in time that a runner waits for."""

import time
from typing import Callable, List, Optional


class SessionTimer:
    """Calls ``due`` once, in the session's thread, when its time has come."""

    def __init__(self, due: Callable[[], None]) -> None:
        self.at: Optional[float] = None
        self.due = due

    def set(self, seconds: float) -> None:
        """So many seconds from now, in place of what it was set to before."""
        self.at = time.monotonic() + seconds

    def cancel(self) -> None:
        self.at = None


class Timers:
    """All of one session."""

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
