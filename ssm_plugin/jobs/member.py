"""What a fleet runs: a command, or other work that one session after the other does at a target."""

from typing import Callable

from ..terminal.signals import Signalled
from .request import CommandResult


class FleetMember:
    """``run`` blocks, in a thread of the fleet, and never raises an ``SsmPluginError``: it is in
    the result. ``signal`` ends it, from any thread. ``session_id`` is empty until there is one.
    ``arrived`` is called, by any thread and as often as it likes, once the work waits for its node
    more than for this machine: then others may be started."""

    session_id = ""
    arrived: Callable[[], object] = staticmethod(lambda: None)

    @property
    def name(self) -> str:
        """What the user calls the target."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """What the service knows it by."""
        raise NotImplementedError

    def run(self) -> CommandResult:
        raise NotImplementedError

    def signal(self, event: Signalled) -> None:
        raise NotImplementedError

    def give_up(self) -> Callable[[float], object]:
        """Nobody waits for this any longer: begin to end it at the service. The function that is
        returned waits for that end, at most so many seconds."""
        return lambda seconds: None
