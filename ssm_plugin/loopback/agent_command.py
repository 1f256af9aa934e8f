"""Commands without a terminal at the node. They have no standard input, and no shell.

The two forms of a document: output and errors live and apart, then the exit code; or both as one,
once the command has ended, and no code.
"""

import codecs
import os
import signal
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

from ..errors import SessionLost
from ..transport.worker import Worker
from ..wire import payloads
from .agent_process import KILL_AFTER, environment, signal_group
from .agent_pump import PIECE, OutputPump, Signal
from .agent_work import Work, WorkDone

if TYPE_CHECKING:
    from .agent import Agent

# What the client's keys do. They reach the command itself, not its children.
INTERRUPTS = {0x03: signal.SIGINT, 0x1C: signal.SIGQUIT}

EXIT_NOT_STARTED = 1
EXIT_BY_SIGNAL = -1


class CommandWork(Work):
    """``separate``: output and errors live and apart, then the exit code."""

    def __init__(self, agent: "Agent", argv: Sequence[str], separate: bool) -> None:
        super().__init__(agent)
        self._argv = list(argv)
        self._separate = separate
        self._ended = Signal()
        self._process: "Optional[subprocess.Popen[bytes]]" = None
        self._streams: List[IO[bytes]] = []
        self._pumps: List[OutputPump] = []
        self._waiter = Worker("command", self._wait, agent.events)

    def start(self) -> None:
        try:
            self._process = self._spawn()
        except (OSError, ValueError) as error:
            self._not_started(_why_not_started(self._argv[0], error))
            return
        # A real agent comes back from an interrupt only when the command has ended.
        self.agent.link.unanswered = bytes(INTERRUPTS)
        self._start_pumps(self._process)
        self._waiter.start()

    def output(self, payload_type: int, data: bytes) -> None:
        """Interrupts are looked for; everything else is thrown away."""
        if payload_type == payloads.OUTPUT:
            for byte in data:
                if byte in INTERRUPTS:
                    self._interrupt(INTERRUPTS[byte])
        self.agent.taken(len(data))

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal_group(number)

    def join(self, seconds: float) -> None:
        if not self._waiter.join(min(KILL_AFTER, seconds)):
            self._signal_group(signal.SIGKILL)
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
            self._argv,
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
                    "command output", stream.fileno(), self._ended, text.send, self.agent.events
                )
                self._pumps.append(pump)
                pump.start()

    def _wait(self) -> None:
        assert self._process is not None
        status = self._process.wait()
        self._ended.set()
        for pump in self._pumps:
            pump.join()
        try:
            self._report(status)
        except SessionLost:
            pass  # nobody wants to know any more
        self.agent.events.put(WorkDone())

    def _report(self, status: int) -> None:
        send = self.agent.channel.send_input_data
        if self._separate:
            code = EXIT_BY_SIGNAL if status < 0 else status
            send(payloads.build_exit_code(code), payloads.EXIT_CODE)
            return
        text = _Text(self.agent, payloads.OUTPUT)
        merged = self._streams[0]
        merged.seek(0)
        for data in iter(lambda: merged.read(PIECE), b""):
            text.send(data)
        text.send(b"")

    def _not_started(self, reason: str) -> None:
        send = self.agent.channel.send_input_data
        send(reason.encode("utf-8", "replace"), payloads.STDERR)
        if self._separate:
            send(payloads.build_exit_code(EXIT_NOT_STARTED), payloads.EXIT_CODE)
        self.agent.events.put(WorkDone())

    def _interrupt(self, number: int) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def _signal_group(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            signal_group(self._process.pid, number)


class _Text:
    """Output as text in UTF-8: each byte that is none becomes U+FFFD, as in a program in Go."""

    def __init__(self, agent: "Agent", payload_type: int) -> None:
        self._send = agent.channel.send_input_data
        self._payload_type = payload_type
        self._decoder = codecs.getincrementaldecoder("utf-8")(_EACH_BYTE)

    def send(self, data: bytes) -> None:
        """``b""`` is the end: a character that is not complete will not be."""
        text = self._decoder.decode(data, not data).encode("utf-8")
        if text:
            self._send(text, self._payload_type)


def _replace_each_byte(error: UnicodeError) -> Tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


def _why_not_started(program: str, error: Union[OSError, ValueError]) -> str:
    """In the words of a program in Go."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number).lower() if number else str(error)
    if "/" not in program and isinstance(error, FileNotFoundError):
        return 'exec: "%s": executable file not found in $PATH' % program
    return "fork/exec %s: %s" % (program, reason)


_EACH_BYTE = "ssm-plugin-each-byte"
codecs.register_error(_EACH_BYTE, _replace_each_byte)
