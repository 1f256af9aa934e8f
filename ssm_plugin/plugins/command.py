"""Commands without a terminal: output and errors apart, an exit status, and no input.

The agent gives such a command no standard input, so ours is not read: a loop around us keeps its
own. What a typed signal here means to the node is one byte, 0x03 (interrupt) or 0x1c (quit), which
the agent turns into that signal for the command itself. It then hears nothing until the command has
ended, not even the end of the session. So every other end of ours is TerminateSession alone, which
kills the command at once.
"""

import signal
from typing import Dict, Mapping, Optional

from .. import logs
from ..channel.events import Started
from ..errors import MessageError
from ..session.lifecycle import EXIT_LOST
from ..session.protocols import IRunnerSession
from ..session.types import SessionStatus, SessionType
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..wire import payloads
from ..wire.message import Buffer
from .base import BuiltInPlugin, BuiltInRunner

log = logs.logger(__name__)

INTERRUPT = b"\x03"
QUIT = b"\x1c"

_KEYS: Dict[int, bytes] = {signal.SIGINT: INTERRUPT, signal.SIGQUIT: QUIT}

# How long an interrupted command may take to end by itself, in seconds. After that the session is
# terminated.
INTERRUPT_LIMIT = 2.0

# Seconds. After the exit code an agent may still tell why the command could not start (a second
# later) and repeat what was lost (for four). It then tells the service, which tells us; where that
# gets lost the session ends without it, after so much silence.
CLOSE_LIMIT = 6.0

# Output that may wait for a slow reader of ours, in bytes: what memory does not hold is in a file.
# It is acknowledged on receipt, for the agent gives the last of it four seconds in all; beyond this
# the node has to wait.
SPILL_LIMIT = 256 * 1024 * 1024

# The node's -1: a signal ended the command there. Which one it does not say.
EXIT_BY_SIGNAL = 255


def status_of(exit_code: int) -> int:
    """The exit status for the code that a node reports: of one that is more than a byte, as on
    Windows, the low byte, but no failure becomes 0."""
    if exit_code < 0:
        return EXIT_BY_SIGNAL
    return exit_code & 0xFF or (EXIT_LOST if exit_code else 0)


class CommandRunner(BuiltInRunner):
    """``ended_by`` is the exit status of an end that came from here; ``exit_code`` the node's, and
    ``code_came`` whether it came as such."""

    needs_termination = True

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self.ended_by: Optional[int] = None
        self.code_came = False
        self._was_resumed = False
        self._progress = -1
        self._interrupted_timer = session.new_timer(self._outlived_interrupt)
        self._over_timer = session.new_timer(self._end_in_silence)

    def start(self) -> None:
        self.session.channel.spill_output(SPILL_LIMIT)

    def output(self, payload_type: int, data: bytes) -> None:
        streams = self.session.streams
        handler = self.session.client_config.output_stream_message_handler
        if payload_type == payloads.OUTPUT and handler:
            handler(data)
        elif payload_type == payloads.OUTPUT:
            streams.output(data)
        elif payload_type == payloads.STDERR:
            streams.error(data)
            if self.code_came:
                self._over_timer.set(CLOSE_LIMIT)
        elif payload_type == payloads.EXIT_CODE:
            self._take_exit_code(data)

    def signalled(self, event: Signalled) -> bool:
        if event.signum in _KEYS:
            self.interrupt(128 + event.signum, _KEYS[event.signum])
        elif event.signum in ENDING_SIGNALS:
            self.leave(128 + event.signum)
        return True

    def leave(self, status: int) -> None:
        """End the session with this status, and the command with it."""
        self.ended_by = status
        self.session.end(status)

    def interrupt(self, status: int, key: bytes) -> None:
        """Pass a key on to the command, and end the session with this status once it has ended.
        The second time: the session at once."""
        if self.ended_by is not None:
            self.session.end(self.ended_by)
            return
        self.ended_by = status
        # Past the window, which the command that is to end may keep full.
        self.session.channel.send_control(payloads.OUTPUT, key)
        self._interrupted_timer.set(INTERRUPT_LIMIT)

    def _outlived_interrupt(self) -> None:
        assert self.ended_by is not None, "there was an interrupt"
        self.session.notices.warn(
            "the command has not ended %g s after the interrupt, and may go on at the node"
            % INTERRUPT_LIMIT
        )
        self.session.end(self.ended_by)

    def closed(self, reason: str) -> int:
        told = self.exit_code is not None or self.ended_by is not None
        return self.exit_status() if told else super().closed(reason)

    def exit_status(self) -> int:
        """0 for a document that reports none: AWS's client does the same."""
        if self.ended_by is not None:
            return self.ended_by
        return status_of(self.exit_code or 0)

    def resumed(self) -> None:
        self._was_resumed = True

    def missing(self, reason: str) -> str:
        """A document that separates the outputs sends the exit code last: without it, nobody knows
        whether the last output was lost. A parameter says whether the document does; one that
        decides by itself counts as the plain form, which sends no code. Output that a node sent
        while it was told to pause may be lost, code or not, and nothing shows it."""
        if self.ended_by is not None:
            return ""
        gap = super().missing(reason)
        if gap or reason or self.code_came:
            return gap
        if _separates(self.session.config.parameters):
            return "the output may be incomplete: the command's exit code never came"
        if self._was_resumed:
            self.session.notices.warn(
                "the connection was lost meanwhile, and this session document reports no exit "
                "code: nothing tells whether the output is complete"
            )
        return ""

    def farewell(self) -> None:
        """The service ends the session after this. Without credentials we cannot ask it to."""
        service = self.session.environment.service
        if service is None or service.unsigned:
            self.not_terminated()

    def not_terminated(self) -> None:
        """Interrupt the command: that is the only other way to end it."""
        if self.exit_code is None:
            self.session.channel.send_control(payloads.OUTPUT, INTERRUPT)

    def _take_exit_code(self, data: Buffer) -> None:
        try:
            self.exit_code = payloads.parse_exit_code(data)
        except MessageError as error:
            log.warning("%s", error)
            return
        self.code_came = True
        self._over_timer.set(CLOSE_LIMIT)

    def _end_in_silence(self) -> None:
        """End a session that was silent after its exit code, unless output is still on its way."""
        channel, before = self.session.channel, self._progress
        self._progress = channel.progress
        resuming = self.session.status is SessionStatus.RESUMING and not self.code_came
        if resuming or (channel.is_incomplete and channel.progress != before):
            self._over_timer.set(CLOSE_LIMIT)
            return
        missing = self.silent_loss()
        if missing:
            self.session.notices.warn(missing)
        self.session.end(EXIT_LOST if missing else self.exit_status())

    def silent_loss(self) -> str:
        return BuiltInRunner.missing(self, "")


def _separates(parameters: Mapping[str, object]) -> bool:
    value = parameters.get("separateOutputStream")
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return str(value).lower() == "true"


class CommandPlugin(BuiltInPlugin):
    session_types = [SessionType.NON_INTERACTIVE_COMMANDS]
    runner = CommandRunner
