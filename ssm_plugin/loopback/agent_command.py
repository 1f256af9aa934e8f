"""Commands without a terminal at the node. They have no standard input, and no shell.

The two forms of a document: output and errors live and apart, then the exit code; or both as one,
once the command has ended, and no code.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from typing import IO, Any, List, Optional, Sequence, Union

from ..errors import SessionLost
from ..transport.worker import Worker
from ..wire import payloads
from .agent_pump import PIECE, OutputPump, Signal
from .agent_work import Work, WorkDone, WorkingAgent, encoded, environment, kill_sessions

# What the client's keys do. They reach the command itself, not its children.
INTERRUPTS = {0x03: signal.SIGINT, 0x1C: signal.SIGQUIT}

EXIT_NOT_STARTED = 1
EXIT_BY_SIGNAL = -1
EXIT_INTERRUPTED = 1  # whatever the command's own is

# Seconds until a real agent tells why a command did not start, and why its line cannot be split.
ERROR_DELAY = 1.0
SPLIT_ERROR_DELAY = 3.0


class CommandWork(Work):
    """``separate``: output and errors live and apart, then the exit code. ``mistake``: why the
    command line cannot be split into words, if it cannot.

    Where outputs are apart, the end of both is waited for, and so are children that hold one of
    them: until the client interrupts the command, or the session ends. An output that has something
    to send while the service tells the agent to pause is given up: its rest is lost, and a command
    that writes much more waits for ever. The exit code is not sent in a pause.

    The end of the session kills the command itself, and nobody else: what it has started lives on,
    as at a real node. The local service ends that too, but only with itself."""

    def __init__(
        self, agent: WorkingAgent, argv: Sequence[str], separate: bool, mistake: str = ""
    ) -> None:
        super().__init__(agent)
        self._argv = list(argv)
        self._mistake = mistake
        self._separate = separate
        self._ended = Signal()
        self._process: "Optional[subprocess.Popen[bytes]]" = None
        self._why = ""
        self._streams: List[IO[bytes]] = []
        self._pumps: List[OutputPump] = []
        self._interrupted = False
        self._killed = False
        self._stopped = threading.Event()
        self._waiter = Worker("command", self._wait, agent.events.put)
        self._complaint = Worker("complaint", self._complain, agent.events.put)

    def start(self) -> None:
        if self._mistake:
            self._complaint.start()
            return
        try:
            self._process = self._spawn()
        except (OSError, ValueError) as error:
            self._why = _why_not_started(self._argv[0], error)
            self._complaint.start()
            return
        # A real agent comes back from an interrupt only when the command has ended.
        self.agent.link.unanswered = bytes(INTERRUPTS)
        self.agent.link.stops_in_pauses = not self._separate
        self._start_pumps(self._process)
        self._waiter.start()

    def output(self, payload_type: int, data: bytes) -> None:
        """Interrupts are looked for; everything else is thrown away."""
        if payload_type == payloads.OUTPUT:
            for byte in data:
                if byte in INTERRUPTS:
                    self._interrupt(INTERRUPTS[byte])
        self.agent.taken(len(data))

    @property
    def is_deaf(self) -> bool:
        return self._interrupted and not self._ended.is_set

    def stop(self) -> None:
        self._stopped.set()
        process = self._process
        if process is not None and process.poll() is None:
            self._killed = True
            _send_signal(process, signal.SIGKILL)
        self._ended.set()

    def sweep(self) -> None:
        if self._process is not None and self._killed:
            kill_sessions([self._process.pid])

    def join(self, seconds: float) -> None:
        self._complaint.join(seconds)
        if self._waiter.join(seconds):
            self._ended.close()
            for stream in self._streams:
                stream.close()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        output: Any = subprocess.PIPE
        errors = subprocess.PIPE
        if not self._separate:
            output, errors = tempfile.TemporaryFile(), subprocess.STDOUT
            self._streams.append(output)
        return subprocess.Popen(
            encoded(self._argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=environment(),
            start_new_session=True,
        )

    def _start_pumps(self, process: "subprocess.Popen[bytes]") -> None:
        for stream, payload_type in (
            (process.stdout, payloads.OUTPUT),
            (process.stderr, payloads.STDERR),
        ):
            if stream is not None:
                self._streams.append(stream)
                text = _Text(self.agent, payload_type)
                pump = OutputPump(
                    "command output",
                    stream.fileno(),
                    self._ended,
                    text.send,
                    self.agent.events.put,
                    lambda: self.agent.link.is_paused,
                )
                self._pumps.append(pump)
                pump.start()

    def _wait(self) -> None:
        assert self._process is not None
        status = self._process.wait()
        if self._interrupted:
            self._ended.set()
        self.agent.link.listen()
        for pump in self._pumps:
            pump.join()
        self._ended.set()
        try:
            self._report(status)
        except SessionLost:
            pass  # nobody wants to know any more
        self.agent.events.put(WorkDone())

    def _report(self, status: int) -> None:
        send = self.agent.channel.send_input_data
        if self._separate and self.agent.link.is_paused:
            return
        if self._separate:
            code = EXIT_BY_SIGNAL if status < 0 else status
            code = EXIT_INTERRUPTED if self._interrupted else code
            send(payloads.build_exit_code(code), payloads.EXIT_CODE)
            return
        text = _Text(self.agent, payloads.OUTPUT)
        merged = self._streams[0]
        merged.seek(0)
        for data in iter(lambda: merged.read(PIECE), b""):
            text.send(data)

    def _complain(self) -> None:
        """Say why there is no command, as late as a real agent does: after the exit code."""
        send = self.agent.channel.send_input_data
        try:
            if self._separate and not self._mistake:
                send(payloads.build_exit_code(EXIT_NOT_STARTED), payloads.EXIT_CODE)
            self._stopped.wait(SPLIT_ERROR_DELAY if self._mistake else ERROR_DELAY)
            text = self._mistake or self._why
            send(text.encode("utf-8", "replace"), payloads.STDERR)
        except SessionLost:
            pass  # nobody wants to know any more
        self.agent.events.put(WorkDone(self._mistake))

    def _interrupt(self, number: int) -> None:
        """A real agent waits for the command's end then, in the thread that takes messages."""
        process = self._process
        if process is None:
            return
        self._interrupted = True
        if process.poll() is None:
            self.agent.link.go_deaf()
            _send_signal(process, number)
        if process.returncode is not None:  # it had ended, or did at the same moment
            self._ended.set()
            self.agent.link.listen()


def _send_signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Who waits for it may have seen its end and not said so yet."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


class _Text:
    """Output on its way through the agent's reader of UTF-8. A byte that is no text passes as it
    is, and of U+FFFD, by which that reader marks such a byte, only the first one. Either is kept
    back while it is among the last three bytes: more may come. At the end they are lost."""

    def __init__(self, agent: WorkingAgent, payload_type: int) -> None:
        self._send = agent.channel.send_input_data
        self._payload_type = payload_type
        self._kept = b""

    def send(self, data: bytes) -> None:
        data = self._kept + data
        end = at = len(data)
        for character in reversed(data.decode("utf-8", "surrogateescape")[-_REMAINDER:]):
            at -= len(character.encode("utf-8", "surrogateescape"))
            if len(data) - at <= _REMAINDER and _NO_TEXT.match(character):
                end = at
        self._kept = data[end:]
        passed = data[:end].replace(_MARK, _MARK[:1])
        if passed:
            self._send(passed, self._payload_type)


_MARK = "\ufffd".encode("utf-8")
_NO_TEXT = re.compile("[\udc80-\udcff\ufffd]")  # and a byte that "surrogateescape" has let pass
_REMAINDER = 3  # bytes that may be the beginning of a character


def _why_not_started(program: str, error: Union[OSError, ValueError]) -> str:
    """The reason in the words of a program in Go."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number).lower() if number else str(error)
    if "/" not in program and isinstance(error, FileNotFoundError):
        return 'exec: "%s": executable file not found in $PATH' % program
    return "fork/exec %s: %s" % (program, reason)
