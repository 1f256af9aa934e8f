"""Shells and interactive commands: a pty at the node, a terminal (or none) here."""

import os
import signal
from typing import Optional

from ..channel.events import Started
from ..session.events import RunnerEvent
from ..session.protocols import IRunnerSession
from ..session.types import SessionType
from ..terminal.escapes import HELP_TEXT
from ..terminal.input import InputReader
from ..terminal.signals import Signalled
from ..terminal.tty import RawMode, window_size
from ..terminal.wake import writable
from ..transport.worker import Worker
from ..wire import payloads
from .base import BuiltInPlugin, BuiltInRunner
from .interactive_input import (
    HelpWanted,
    InputEnded,
    InputPump,
    KeyPump,
    Read,
    SuspensionWanted,
)

END_OF_INPUT = b"\x04"

# Seconds between repetitions of the end of input, growing.
_FIRST_REPEAT = 1.0
_LONGEST_REPEAT = 30.0

# Seconds after which a program that was to be stopped, and runs, will not be.
_STOP_LIMIT = 0.1


class ShellRunner(BuiltInRunner):
    """On a terminal: raw, with escapes, its size told. Without: input as it comes, then 0x04."""

    awaits_output = True

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._streams = self.session.streams
        self._input_handler = session.client_config.input_stream_message_handler
        # Whoever brings their own input keeps their terminal as it is.
        self._interactive = self._streams.on_terminal and not self._input_handler
        self._raw: Optional[RawMode] = None
        self._reader: Optional[InputReader] = None
        self._pump: Optional[InputPump] = None
        self._is_state_shown = False
        self._repeat = _FIRST_REPEAT
        self._repetition = session.new_timer(lambda: self._end_input(False))
        self._not_stopped = session.new_timer(self._take_terminal)

    def start(self) -> None:
        self._send_size()
        if self._interactive:
            assert self._streams.stdin is not None
            self._raw = RawMode(self._streams.stdin)
            self._take_terminal()
        read = self._input_handler or self._standard_input()
        if read:
            pump = KeyPump if self._interactive else InputPump
            self._pump = pump(self.session, read)
            Worker("input", self._pump.run, self.session.events.put).start()

    def output(self, payload_type: int, data: bytes) -> None:
        handler = self.session.client_config.output_stream_message_handler
        if payload_type == payloads.OUTPUT:
            handler(data) if handler else self._streams.output(data)
        elif payload_type == payloads.STDERR:
            self._streams.error(data)

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, InputEnded):
            self._end_input(event.line_open)
        elif isinstance(event, HelpWanted):
            self._streams.error(HELP_TEXT.encode("ascii"))
        elif isinstance(event, SuspensionWanted):
            self._suspend()

    def signalled(self, event: Signalled) -> bool:
        if event.signum == signal.SIGCONT:
            self._take_terminal()
        elif event.signum != signal.SIGWINCH:
            return False
        self._send_size()
        return True

    def paused(self) -> None:
        self._show_state("connection lost, resuming")

    def resumed(self) -> None:
        self._show_state("")

    def stop(self) -> None:
        if self._reader:
            self._reader.close()
        if self._pump:
            self._pump.stop()
        self._give_terminal()
        self._raw = None
        # Lost for good: what follows is on a line of its own. It may be the output that is stuck.
        if self._is_state_shown and writable(2):
            self._show_state("", b"\n")

    def _take_terminal(self) -> None:
        if self._raw:
            self._raw.take_back()
            self.session.notices.raw = self._raw.active

    def _give_terminal(self) -> None:
        if self._raw:
            self._raw.restore()
            self.session.notices.raw = False

    def _suspend(self) -> None:
        """Stop the whole job, as a shell expects it. The kernel does not where no shell could bring
        it back; then SIGCONT does not come either."""
        # The AWS CLI ignores it, and would be waited for.
        if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._give_terminal()
            self._not_stopped.set(_STOP_LIMIT)
            os.kill(0, signal.SIGTSTP)

    def _standard_input(self) -> Optional[Read]:
        if self._streams.stdin is None:
            return None
        self._reader = InputReader(self._streams.stdin)
        return self._reader.read

    def _send_size(self) -> None:
        size = window_size()
        self.session.channel.send_control(payloads.SIZE, payloads.build_size(size.cols, size.rows))

    def _end_input(self, line_open: bool) -> None:
        """Every read of a closed pipe finds its end. On a pty only one read does, so the end is
        repeated while the session lives: a command may have taken the first one, or the shell was
        not ready for it yet.
        """
        end = END_OF_INPUT
        if line_open:
            # After an unfinished line one 0x04 does not mean the end of input, but two do. A shell
            # is sent a line end instead: it would run such a line from a pipe, too.
            expected = self.session.client_config.session_type.value
            kind = self.started.session_type or expected
            shell = kind == SessionType.STANDARD_STREAM.value
            end = b"\n" + END_OF_INPUT if shell else END_OF_INPUT * 2
        # Past the window: this thread must not wait for room in it.
        self.session.channel.send_control(payloads.OUTPUT, end)
        self._repetition.set(self._repeat)
        self._repeat = min(2 * self._repeat, _LONGEST_REPEAT)

    def _show_state(self, text: str, behind: bytes = b"") -> None:
        """A short notice on the terminal's last line, or its removal; the cursor stays."""
        if self._interactive and not self.session.environment.silent and os.isatty(2):
            self._is_state_shown = bool(text)
            shown = b"\x1b[7m%s\x1b[0m" % text.encode("ascii") if text else b""
            self._streams.error(b"\x1b7\x1b[999;1H\x1b[2K%s\x1b8" % shown + behind)


class ShellPlugin(BuiltInPlugin):
    session_types = [SessionType.STANDARD_STREAM, SessionType.INTERACTIVE_COMMANDS]
    runner = ShellRunner
