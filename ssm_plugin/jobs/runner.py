"""The running part of a command whose exit status may come in a trailer."""

from typing import Any, Optional

from ..channel.events import Started
from ..errors import SsmPluginError
from ..plugins.base import BuiltInPlugin
from ..plugins.command import INTERRUPT, CommandRunner, status_of
from ..session.alarms import Alarm
from ..session.notices import Notices
from ..session.registry import SessionPluginRegistry
from ..session.runner import Runner
from ..session.session import Session
from ..session.streams import Streams
from ..session.types import SessionStatus, SessionType
from ..terminal.output import OutputGone
from ..terminal.signals import Interrupted
from ..wire import payloads
from .time_limit import EXIT_TIME_UP, TimeUp
from .trailer import Trailer

# What ``Session.run`` returns where the session ended and no status came.
NO_STATUS = -1

# Seconds that a command may take to be over after the session that carried its input. Of a command
# that needed no more input the node tells just then, and the two sessions overtake each other.
FEED_LIMIT = 5.0

# After the trailer nothing more is to come but what processes print that the command left behind.
# The session ends after so many quiet seconds.
QUIET_LIMIT = 5.0

_NO_INPUT = "no input"


class InputFailed:
    """The event: the command will not get all of its input. ``Record.feed_error`` says why."""


class Record:
    """What is known of a command while its session runs; outlives the runner. ``status`` is the
    command's own, ``ended_by`` the one of an end that came from here; ``missing`` is what output is
    known to be missing, in words. ``was_fed``: the input had begun to flow. ``feed_error`` is why
    it ended early, if it did; it becomes ``input_error`` where that matters to the command."""

    def __init__(self, marker: bytes) -> None:
        self.trailer = Trailer(marker)
        self.has_started = False
        self.ended_by: Optional[int] = None
        self.status: Optional[int] = None
        self.stdout_bytes = 0
        self.stderr_bytes = 0
        self.service_reason = ""
        self.missing = ""
        self.code_came = False
        self.was_fed = False
        self.feed_error: Optional[SsmPluginError] = None
        self.input_error: Optional[SsmPluginError] = None

    @property
    def lacks_code(self) -> bool:
        """Whether the trailer came, but not the exit code that was to follow it."""
        return self.trailer.status is not None and self.trailer.was_live and not self.code_came


class TrailerRunner(CommandRunner):
    def __init__(self, session: Session, started: Started, record: Record) -> None:
        super().__init__(session, started)
        self._record = record
        record.has_started = True

    def start(self) -> None:
        super().start()
        if self._record.feed_error:
            self._miss_input()  # its event came before there was a runner

    def output(self, payload_type: int, data: bytes) -> None:
        record = self._record
        if payload_type == payloads.OUTPUT:
            data = record.trailer.feed(data)
            record.stdout_bytes += len(data)
            if data:
                super().output(payload_type, data)
            self._look_for_status()
        elif payload_type == payloads.STDERR:
            record.stderr_bytes += len(data)
            super().output(payload_type, data)
        elif payload_type == payloads.EXIT_CODE:
            super().output(payload_type, data)
            record.code_came = self.code_came
            self._take_status(record.trailer.status)

    def interrupt(self, status: int, key: bytes) -> None:
        super().interrupt(status, key)
        self._record.ended_by = self.ended_by

    def leave(self, status: int) -> None:
        super().leave(status)
        self._record.ended_by = status

    def event(self, event: Any) -> None:
        if isinstance(event, TimeUp):
            event.taken.set()
            self.leave(EXIT_TIME_UP)
        elif isinstance(event, InputFailed):
            self._miss_input()

    def alarm(self, alarm: Alarm) -> None:
        if alarm.name == _NO_INPUT:
            self._end_without_input()
        else:
            super().alarm(alarm)

    def exit_status(self) -> int:
        known = self.ended_by is not None or self.exit_code is not None
        return super().exit_status() if known else NO_STATUS

    def missing(self, reason: str) -> str:
        """Of live output the trailer ends stdout alone: the exit code ends both."""
        record = self._record
        if self.ended_by is not None:
            return ""
        record.missing = Runner.missing(self, reason)
        if not record.missing and not reason and record.lacks_code:
            record.missing = "the node's exit code, which ends both outputs, never came"
        return record.missing

    def silent_loss(self) -> str:
        self._record.missing = super().silent_loss()
        return self._record.missing

    def stop(self) -> None:
        rest = self._record.trailer.rest()
        self._record.stdout_bytes += len(rest)
        try:
            if rest:
                super().output(payloads.OUTPUT, rest)
        except (OutputGone, Interrupted):
            pass  # nobody takes it any more, and why we stop is known already

    def _miss_input(self) -> None:
        self.session.set_alarm(_NO_INPUT, FEED_LIMIT if self._record.was_fed else 0.0)

    def _end_without_input(self) -> None:
        if self.session.status is SessionStatus.RESUMING:
            self.session.set_alarm(_NO_INPUT, FEED_LIMIT)
        elif self.exit_code is None and self.ended_by is None:
            self._record.input_error = self._record.feed_error
            self.leave(255)

    def _look_for_status(self) -> None:
        status = self._record.trailer.status
        if status is None:
            return
        if self.exit_code is None:
            # The wrapper waits for this. An agent that passes a signal on then reports 1, whatever
            # the command's status was.
            self.session.channel.send_control(payloads.OUTPUT, INTERRUPT)
        self._take_status(status)
        self.session.set_alarm("over", QUIET_LIMIT)

    def _take_status(self, status: Optional[int]) -> None:
        """The trailer's, where there is one: the node's may be about the wrapper."""
        self.exit_code = self.exit_code if status is None else status
        if self.exit_code is not None:
            self._record.status = status_of(self.exit_code)


class TrailerPlugin(BuiltInPlugin):
    """For one session."""

    session_types = [SessionType.NON_INTERACTIVE_COMMANDS]

    def __init__(self, record: Record) -> None:
        self._record = record

    def create_runner(self, session: Session, started: Started) -> Runner:
        return TrailerRunner(session, started, self._record)


def registry_for(record: Record) -> SessionPluginRegistry:
    """Serves commands, and nothing else: another type of session is refused in the handshake."""
    registry = SessionPluginRegistry()
    registry.register_plugin(TrailerPlugin(record))
    return registry


class KeptNotices(Notices):
    """Shows nothing, and keeps the reason that the service gives for an end."""

    def __init__(self, streams: Streams, session_id: str, record: Record) -> None:
        super().__init__(streams, session_id, silent=True)
        self._record = record

    def show(self, text: str, **fields: object) -> None:
        if "reason" in fields:
            self._record.service_reason = str(fields["reason"])
