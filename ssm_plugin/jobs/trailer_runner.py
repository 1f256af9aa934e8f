"""The running part of a command whose exit status may come in a trailer: the last thing in its
output, which is found, taken out and never shown."""

import re
from typing import Optional

from ..channel.events import Started
from ..errors import SessionLost, SsmPluginError
from ..plugins.base import BuiltInRunner
from ..plugins.command import INTERRUPT, CommandRunner, status_of
from ..session.events import RunnerEvent
from ..session.protocols import IRunnerSession
from ..session.streams import OutputGone
from ..session.types import SessionStatus
from ..wire import payloads

# A status of at most three digits, a plus and the line's end.
_TAIL = 5

# Bytes. So long a beginning of the marker cannot be ordinary output.
CERTAIN = 16


def beginning_of(marker: bytes, data: bytes, longest: int) -> int:
    """Where the earliest beginning of ``marker`` stands that may still be completed, else the end
    of ``data``. ``longest``: its bytes, together with what follows it."""
    first = marker[:1]
    start = data.find(first, max(0, len(data) - longest + 1))
    while start >= 0 and not marker.startswith(data[start:start + len(marker)]):
        start = data.find(first, start + 1)
    return len(data) if start < 0 else start


class Trailer:
    """``marker`` is random, and nobody but the wrapper around the command can print it: the
    command line holds its two halves the other way round. What follows it is ``:STATUS``, a plus
    where output is live (``was_live``), and a newline.

    The stream goes through :meth:`feed` piece by piece; only what may be the beginning of the
    trailer is held back, so output stays live. Memory is bounded by the length of the trailer.
    """

    def __init__(self, marker: bytes) -> None:
        self.status: Optional[int] = None
        self.was_live = False
        self._marker = marker
        self._trailer = re.compile(re.escape(marker) + br":([0-9]{1,3})(\+?)\n")
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream so far is output for certain, and was not returned before."""
        if self.status is not None:
            return data
        data = self._held + data
        found = self._trailer.search(data)
        if found:
            self._held = b""
            self.status = int(found.group(1)) & 0xFF
            self.was_live = bool(found.group(2))
            return data[:found.start()] + data[found.end():]
        keep = beginning_of(self._marker, data, len(self._marker) + 1 + _TAIL)
        self._held = data[keep:]
        return data[:keep]

    def rest(self) -> bytes:
        """At the end of the stream: what was held back, unless it is a part of a trailer that is
        long enough to be certain."""
        rest, self._held = self._held, b""
        return b"" if len(rest) >= CERTAIN else rest


# The exit status of a session that ended before a status came.
NO_STATUS = -1

# Seconds that a command may take to be over after the session that carried its input. If the
# command needed no more input, both sessions end at that moment, and either may be first.
FEED_LIMIT = 5.0

# After the trailer nothing more is to come but what processes print that the command left behind.
# The session ends after so many quiet seconds.
QUIET_LIMIT = 5.0


class InputFailed(RunnerEvent):
    """The command will not get all of its input. ``CommandRecord.feed_error`` says why."""


class _Silence(RunnerEvent):
    """Nothing may have come for long. What has come, and waits for a slow reader, is before it."""


class CommandRecord:
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
        self.missing = ""
        self.code_came = False
        self.was_fed = False
        self.feed_error: Optional[SsmPluginError] = None
        self.input_error: Optional[SsmPluginError] = None

    @property
    def lacks_code(self) -> bool:
        """Whether the trailer came, but not the exit code that was to follow it."""
        return self.trailer.status is not None and self.trailer.was_live and not self.code_came


class RecordedRunner(CommandRunner):
    """Whatever ends the command, its record says so: it outlives the runner. A subclass implements
    ``take`` and ``write_rest``."""

    def __init__(
        self, session: IRunnerSession, started: Started, record: CommandRecord
    ) -> None:
        super().__init__(session, started)
        self._record = record
        self._is_writing = False
        record.has_started = True

    def take(self, payload_type: int, data: bytes) -> None:
        """What the node sends."""
        raise NotImplementedError

    def write_rest(self) -> None:
        """Write what was held back and turns out to be output: no more comes."""
        raise NotImplementedError

    def write(self, payload_type: int, data: bytes) -> None:
        """Pass on what is output for certain."""
        if payload_type == payloads.STDERR:
            self._record.stderr_bytes += len(data)
        else:
            self._record.stdout_bytes += len(data)
        super().output(payload_type, data)

    def output(self, payload_type: int, data: bytes) -> None:
        self._is_writing = True
        self.take(payload_type, data)
        self._is_writing = False

    def stop(self) -> None:
        if self._is_writing:
            return  # nobody takes our output, as it seems
        try:
            self.write_rest()
            self.session.streams.flush()
        except OutputGone:
            pass  # nobody takes it any more, and why we stop is known already

    def interrupt(self, status: int, key: bytes) -> None:
        super().interrupt(status, key)
        self._record.ended_by = self.ended_by

    def leave(self, status: int) -> None:
        super().leave(status)
        self._record.ended_by = status

    def exit_status(self) -> int:
        known = self.ended_by is not None or self.exit_code is not None
        return super().exit_status() if known else NO_STATUS

    def silent_loss(self) -> str:
        self._record.missing = super().silent_loss()
        return self._record.missing


class TrailerRunner(RecordedRunner):
    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        record: CommandRecord,
        silence_limit: Optional[float] = None,
    ) -> None:
        super().__init__(session, started, record)
        self._silence_limit = silence_limit
        self._heard = 0
        self._silence_timer = session.new_timer(lambda: session.tell(_Silence()))
        self._no_input_timer = session.new_timer(self._end_without_input)

    def start(self) -> None:
        super().start()
        if self._record.feed_error:
            self._miss_input()  # its event came before there was a runner

    def take(self, payload_type: int, data: bytes) -> None:
        record = self._record
        if payload_type == payloads.OUTPUT:
            data = record.trailer.feed(data)
            if data:
                self.write(payload_type, data)
            self._look_for_status()
        elif payload_type == payloads.STDERR:
            self.write(payload_type, data)
        elif payload_type == payloads.EXIT_CODE:
            self._take_exit_code(data)
            record.code_came = self.code_came
            self._take_status(record.trailer.status)

    def write_rest(self) -> None:
        rest = self._record.trailer.rest()
        if rest:
            self.write(payloads.OUTPUT, rest)

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, InputFailed):
            self._miss_input()
        elif isinstance(event, _Silence):
            self._on_silence()

    def resumed(self) -> None:
        super().resumed()
        self._listen()

    def _listen(self) -> None:
        if self._silence_limit is not None:
            self._heard = self.session.channel.arrivals
            self._silence_timer.set(self._silence_limit)

    def _on_silence(self) -> None:
        """Unless it is being resumed again. An agent that was told to pause, as nobody was
        connected, reads no more of what had something to say then, and the command waits."""
        if self.session.channel.arrivals != self._heard:
            self._listen()
        elif self.session.status is not SessionStatus.RESUMING and not self.code_came:
            raise SessionLost(
                "nothing has come for %g s since the lost connection was resumed: the node has "
                "given up the command's output" % (self._silence_limit or 0.0)
            )

    def missing(self, reason: str) -> str:
        """The trailer of live output ends stdout alone; the exit code ends both."""
        record = self._record
        if self.ended_by is not None:
            return ""
        record.missing = BuiltInRunner.missing(self, reason)
        if not record.missing and not reason and record.lacks_code:
            record.missing = "the node's exit code, which ends both outputs, never came"
        record.missing = record.missing or self._cut()
        return record.missing

    def silent_loss(self) -> str:
        record = self._record
        record.missing = super().silent_loss() or self._cut()
        return record.missing

    def _cut(self) -> str:
        """An agent that was told to pause, as nobody was connected, gives up what has something to
        say then. It tells the exit code all the same."""
        if self._was_resumed and self.code_came and self._record.trailer.status is None:
            return "the output is cut: its end was lost with the connection"
        return ""

    def _miss_input(self) -> None:
        self._no_input_timer.set(FEED_LIMIT if self._record.was_fed else 0.0)

    def _end_without_input(self) -> None:
        if self.session.status is SessionStatus.RESUMING:
            self._no_input_timer.set(FEED_LIMIT)
        elif self.exit_code is None and self.ended_by is None:
            self._record.input_error = self._record.feed_error
            if self._record.was_fed:
                self.leave(255)
            else:
                # The end of the session would kill the wrapper while it still prepares for input.
                self.interrupt(255, INTERRUPT)

    def _look_for_status(self) -> None:
        status = self._record.trailer.status
        if status is None:
            return
        if self.exit_code is None:
            # The wrapper waits for this. An agent that passes a signal on then reports 1, whatever
            # the command's status was.
            self.session.channel.send_control(payloads.OUTPUT, INTERRUPT)
        self._take_status(status)
        self._over_timer.set(QUIET_LIMIT)

    def _take_status(self, status: Optional[int]) -> None:
        """The trailer's, where there is one: the node's may be about the wrapper."""
        self.exit_code = self.exit_code if status is None else status
        if self.exit_code is not None:
            self._record.status = status_of(self.exit_code)
