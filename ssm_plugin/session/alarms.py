"""Points in time that a session waits for, by name."""

from typing import Dict, List, NamedTuple, Optional


class Alarm(NamedTuple):
    """The event: the alarm of this name is due."""

    name: str


class Alarms:
    def __init__(self) -> None:
        self._due: Dict[str, float] = {}

    def set(self, name: str, at: float) -> None:
        """Due at ``at``, in place of what this alarm was set to before."""
        self._due[name] = at

    def cancel(self, name: str) -> None:
        self._due.pop(name, None)

    def next(self) -> Optional[float]:
        return min(self._due.values(), default=None)

    def take_due(self, now: float) -> List[Alarm]:
        """Those whose time has come, earliest first; they are set no more."""
        due = sorted((at, name) for name, at in self._due.items() if at <= now)
        for _, name in due:
            del self._due[name]
        return [Alarm(name) for _, name in due]
