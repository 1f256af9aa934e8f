"""Commands without a terminal: output and errors apart, an exit status, and no input.

The agent gives such a command no standard input, so ours is not read: a loop around us keeps its
own. What a signal here means to the node is one byte, 0x03 (interrupt) or 0x1c (quit), which the
agent turns into that signal for the command itself.
"""

import queue
import select
import signal
import time
from typing import Any, Callable, Optional

from .. import logs
from ..channel.events import Output, Started
from ..errors import MessageError
from ..session.alarms import Alarm
from ..session.runner import Runner
from ..session.session import ENDING_SIGNALS, Session
from ..session.streams import Streams
from ..session.types import SessionType
from ..terminal.signals import Signalled
from ..wire import payloads
from .base import BuiltInPlugin

log = logs.logger(__name__)

INTERRUPT = b"\x03"
QUIT = b"\x1c"

# How long an interrupted command may take to end by itself, in seconds. After that the session is
# terminated, and the agent kills the command.
INTERRUPT_LIMIT = 2.0

# The exit code is the last thing that an agent sends. It then tells the service, which tells us;
# where that gets lost the session ends without it, after so many seconds.
CLOSE_LIMIT = 2.0

# The node's -1: a signal ended the command there. Which one it does not say.
EXIT_BY_SIGNAL = 255


def status_of(exit_code: int) -> int:
    """The exit status for the code that a node reports."""
    return EXIT_BY_SIGNAL if exit_code < 0 else exit_code & 0xFF


class CommandRunner(Runner):
    """``ended_by`` is the exit status of an end that came from here; ``exit_code`` the node's."""

    def __init__(self, session: Session, started: Started) -> None:
        super().__init__(session, started)
        self.ended_by: Optional[int] = None
        self._write_until = 0.0

    def output(self, payload_type: int, data: bytes) -> None:
        streams = self.session.streams
        handler = self.session.client_config.output_stream_message_handler
        if payload_type == payloads.OUTPUT and handler:
            handler(data)
        elif payload_type == payloads.OUTPUT:
            self._write(1, streams.output, data)
        elif payload_type == payloads.STDERR:
            self._write(2, streams.error, data)
        elif payload_type == payloads.EXIT_CODE:
            self._take_exit_code(data)

    def signalled(self, event: Signalled) -> None:
        if event.signum not in ENDING_SIGNALS:
            return
        key = QUIT if event.signum == signal.SIGQUIT else INTERRUPT
        self.interrupt(128 + event.signum, key)

    def interrupt(self, status: int, key: bytes = INTERRUPT) -> None:
        """End the command, then the session with this status. The second time: the session."""
        if self.ended_by is not None:
            self.session.end(self.ended_by)
            return
        self.ended_by = status
        self._write_until = time.monotonic() + INTERRUPT_LIMIT
        # Past the window, which the command that is to end may keep full.
        self.session.channel.send_control(payloads.OUTPUT, key)
        self.session.set_alarm("interrupted", INTERRUPT_LIMIT)

    def alarm(self, alarm: Alarm) -> None:
        if alarm.name == "interrupted" and self.ended_by is not None:
            self.session.end(self.ended_by)
        elif alarm.name == "over":
            self.session.end(self.exit_status())

    def exit_status(self) -> int:
        """0 where a document reports none, as AWS's client has it."""
        if self.ended_by is not None:
            return self.ended_by
        return status_of(self.exit_code or 0)

    def farewell(self) -> None:
        """We are leaving in the middle, as after a broken pipe: the command is not to go on. The
        agent acknowledges the byte once the command has ended."""
        if self.ended_by is not None or self.exit_code is not None:
            return
        channel = self.session.channel
        channel.send_control(payloads.OUTPUT, INTERRUPT)
        until = time.monotonic() + INTERRUPT_LIMIT
        while channel.is_open and not channel.drain(0.05) and time.monotonic() < until:
            self._discard_output()

    def _write(self, fd: int, write: Callable[[bytes], object], data: bytes) -> None:
        """The last words of an interrupted command are worth waiting for, but not for ever."""
        if self.ended_by is None or type(self.session.streams) is not Streams:
            write(data)
            return
        # A pipe that select() says to be writable takes so much without blocking.
        for start in range(0, len(data), select.PIPE_BUF):
            left = max(0.0, self._write_until - time.monotonic())
            if not select.select([], [fd], [], left)[1]:
                return
            write(data[start:start + select.PIPE_BUF])

    def _discard_output(self) -> None:
        """Nobody wants it, and acknowledgements wait behind it."""
        try:
            while True:
                event = self.session.events.get_nowait()
                if isinstance(event, Output):
                    self.session.channel.delivered(len(event.data))
        except queue.Empty:
            pass

    def _take_exit_code(self, data: Any) -> None:
        try:
            self.exit_code = payloads.parse_exit_code(data)
        except MessageError as error:
            log.warning("%s", error)
            return
        self.session.set_alarm("over", CLOSE_LIMIT)


class CommandPlugin(BuiltInPlugin):
    session_types = [SessionType.NON_INTERACTIVE_COMMANDS]
    runner = CommandRunner
