"""What a person is told who has watched a silent terminal for a second: what is being waited for,
and how to leave. One line for each phase, at the most.
"""

from typing import TYPE_CHECKING, Optional

from .types import SessionType

if TYPE_CHECKING:
    from .session import Session

ALARM = "silence"
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
    """Its alarm is one of the session's."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._line: Optional[str] = None

    def begin(self, line: str) -> None:
        """A phase begins, in which silence is explained by this line."""
        if self._session.streams.is_watched:
            self._line = line
            self._session.set_alarm(ALARM, SILENCE)

    def begin_first_output(self) -> None:
        expected = self._session.client_config.session_type
        self.begin(FIRST_OUTPUT if expected in _ON_TERMINAL else OPENING)

    def end(self) -> None:
        """Something came."""
        if self._line is not None:
            self._line = None
            self._session.cancel_alarm(ALARM)

    def explain(self) -> None:
        """The alarm is due."""
        line, self._line = self._line, None
        if line is not None:
            raw = line == FIRST_OUTPUT and self._session.notices.raw
            self._session.notices.warn(FIRST_OUTPUT_RAW if raw else line)
