"""What a session does while it is open: the base of the runners in ``plugins/``.

A runner lives in the session's thread. It starts its own pump threads, gets the agent's output and
every event that the session does not handle itself, and is stopped on every way out.
"""

from typing import TYPE_CHECKING, Any, Optional, Tuple

from ..channel.events import Started
from ..terminal.signals import Signalled
from .alarms import Alarm

if TYPE_CHECKING:
    from .session import Session

EXIT_LOST = 255


class Runner:
    # Whether stdout carries a stream and nothing else, so that notices go to stderr.
    output_is_stream = False

    # Whether a person waits for the node's first output once the session is open.
    awaits_output = False

    # How the command in it ended, once the node has told.
    exit_code: Optional[int] = None

    def __init__(self, session: "Session", started: Started) -> None:
        self.session = session
        self.started = started

    def start(self) -> None:
        """The session is open: start reading input."""

    def output(self, payload_type: int, data: bytes) -> None:
        """Pass the agent's data on. The session has it counted as delivered afterwards, unless
        :attr:`keeps_output`."""

    # A runner that buffers calls ``session.channel.delivered`` itself, once data has left.
    keeps_output = False

    def event(self, event: Any) -> None:
        """Anything else that was put into the session's queue."""

    def alarm(self, alarm: Alarm) -> None:
        """An alarm that this runner set with ``session.set_alarm``."""

    def signalled(self, event: Signalled) -> None:
        """A signal came. An ending one ends the session, unless a runner does better."""
        self.session.end_by_signal(event.signum)

    def signal_end(self, signum: int) -> Tuple[int, Optional[str]]:
        """The exit status of a session that this signal ends, and a notice in place of the usual
        one."""
        return 128 + signum, None

    def paused(self) -> None:
        """The connection was lost and is being resumed."""

    def resumed(self) -> None:
        """The connection is back; nothing was lost."""

    def closed(self, reason: str) -> int:
        """The status of a session that the service ended, with its reason in words, or none. A
        reason in place of the session's own end is a failure."""
        return EXIT_LOST if reason else self.exit_status()

    def missing(self, reason: str) -> str:
        """What is known to be missing of a session that has ended by itself, in words, or nothing.
        Output is numbered without holes, so a hole at the end is a loss."""
        if self.session.channel.is_incomplete:
            return "the output is incomplete: the session ended before all of it had arrived"
        return ""

    def exit_status(self) -> int:
        """The status of a session that the service ended."""
        return 0

    def farewell(self) -> None:
        """We are leaving a session that is still open: tell the agent, if there is a way."""

    # Whether what runs at the node ends only if the service agrees to end the session.
    needs_termination = False

    def not_terminated(self) -> None:
        """With :attr:`needs_termination`: the service has refused, or does not answer. Called
        after :meth:`stop`; the channel is still there."""

    def stop(self) -> None:
        """End threads, restore the terminal. Called once, on every way out, errors included."""
