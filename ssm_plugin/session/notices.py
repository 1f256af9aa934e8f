"""The lines that scripts know from AWS's client, byte for byte, and where they go; and what a
person is told who waits."""

from typing import Callable, List, Optional

from ..display import encoded, filled, shown, shown_lines
from .environment import Environment
from .timers import Timers
from .types import SessionType

START = "\nStarting session with SessionId: {session_id}\n"
PORT_OPENED = "Port {port} opened for sessionId {session_id}.\n"
SOCKET_OPENED = "Unix socket {path} opened for sessionId {session_id}.\n"
WAITING = "Waiting for connections...\n"
CONNECTION_ACCEPTED_MUX = "\nConnection accepted for session [{session_id}]\n"
CONNECTION_ACCEPTED_BASIC = "Connection accepted for session {session_id}.\n"
CONNECT_FAILED = "\nConnection to destination port failed, check SSM Agent logs.\n"
TERMINATE_SIGNAL = "Terminate signal received, exiting.\n"
END = "\n\nExiting session with sessionId: {session_id}.\n\n"
END_REASON = "\n\nSessionId: {session_id} : {reason}\n\n"
TIMED_OUT = "Session: {session_id} timed out.\n"

SILENCE = 1.0  # seconds
CONNECTING = "ssm-plugin: connecting; Ctrl-C ends it"
OPENING = "ssm-plugin: waiting for the node to open the session; Ctrl-C ends it"
# The terminal becomes raw when the node says something: from then on Ctrl-C goes to the node.
FIRST_OUTPUT = (
    "ssm-plugin: waiting for the node's first output; Ctrl-C ends it, or Enter ~. once the "
    "terminal is the node's"
)
FIRST_OUTPUT_RAW = "ssm-plugin: waiting for the node's first output; Enter ~. ends it"

_ON_TERMINAL = (SessionType.STANDARD_STREAM, SessionType.INTERACTIVE_COMMANDS)


class Notices:
    """Lines of one session.

    Attributes:
        aside: they go to stderr: asked for by the user, or because stdout carries a stream and
            nothing else
        raw: the terminal is: a line ends in CR LF
    """

    def __init__(self, environment: Environment, session_id: str) -> None:
        self.aside = environment.aside
        self.raw = False
        self._environment = environment
        self._session_id = session_id
        self._started = False
        self._at_end: List[Callable[[], None]] = []

    def start(self) -> None:
        """The start line; once, whoever comes first."""
        if not self._started:
            self._started = True
            self.show(START)

    def show(self, text: str, **fields: object) -> None:
        """One of the lines above, filled in."""
        self._write(filled(text, session_id=self._session_id, **fields), self.aside)

    def at_end(self, text: str, reason: str = "") -> None:
        """Say this once the terminal is ours again: see :meth:`say_end`."""
        self._at_end.append(lambda: self.show(text, reason=reason))

    def warn_at_end(self, text: str) -> None:
        """The same for a warning."""
        self._at_end.append(lambda: self.warn(text))

    def say_end(self) -> None:
        """Say what was kept for the end, unless the owner says it."""
        if self._environment.tells_end:
            for say in self._at_end:
                say()

    def message(self, text: str) -> None:
        """What the node wants said, which may have several lines."""
        self._write(shown_lines(text) + "\n", self.aside)

    def warn(self, text: str) -> None:
        """A line of our own, always on stderr."""
        self._write(shown(text) + "\n", True)

    def _write(self, text: str, aside: bool) -> None:
        if self._environment.silent:
            return
        if self.raw:
            text = text.replace("\n", "\r\n")
        data = encoded(text)
        streams = self._environment.streams
        if aside:
            streams.error(data)
        else:
            streams.output(data)


class Patience:
    """Tells a person who has watched a silent terminal for a second what is being waited for, and
    how to leave: one line for each phase at the most. ``expected`` is the type of session that was
    asked for. Where nobody watches, nothing is told."""

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
