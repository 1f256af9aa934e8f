"""What a person is told who has watched a silent terminal for a second: what is being waited for,
and how to leave. One line for each phase, at the most.
"""

from typing import Optional

from .notices import Notices
from .timers import Timers
from .types import SessionType

SILENCE = 1.0  # seconds

CONNECTING = "ssm-plugin: connecting; Ctrl-C ends it"
OPENING = "ssm-plugin: waiting for the node to open the session; Ctrl-C ends it"
# The terminal is not raw before the node has said something, and then Ctrl-C is the node's.
FIRST_OUTPUT = (
    "ssm-plugin: waiting for the node's first output; Ctrl-C ends it, or Enter ~. once the "
    "terminal is the node's"
)
FIRST_OUTPUT_RAW = "ssm-plugin: waiting for the node's first output; Enter ~. ends it"

_ON_TERMINAL = (SessionType.STANDARD_STREAM, SessionType.INTERACTIVE_COMMANDS)


class Patience:
    """``expected`` is the type of session that was asked for. Where nobody watches, nothing is
    explained."""

    def __init__(
        self, notices: Notices, timers: Timers, is_watched: bool, expected: SessionType
    ) -> None:
        self._notices = notices
        self._is_watched = is_watched
        self._expected = expected
        self._line: Optional[str] = None
        self._timer = timers.new(self._explain)

    def begin(self, line: str) -> None:
        """A phase begins, in which silence is explained by this line."""
        if self._is_watched:
            self._line = line
            self._timer.set(SILENCE)

    def begin_first_output(self) -> None:
        self.begin(FIRST_OUTPUT if self._expected in _ON_TERMINAL else OPENING)

    def end(self) -> None:
        """Something came."""
        if self._line is not None:
            self._line = None
            self._timer.cancel()

    def _explain(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            raw = line == FIRST_OUTPUT and self._notices.raw
            self._notices.warn(FIRST_OUTPUT_RAW if raw else line)
