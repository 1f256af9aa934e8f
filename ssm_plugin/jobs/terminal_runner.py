"""The running part of a command whose session is an interactive one."""

import re
from typing import Optional

from ..channel.events import Started
from ..errors import RemoteError, SessionLost, SsmPluginError
from ..plugins.base import BuiltInRunner
from ..plugins.command import INTERRUPT
from ..session.lifecycle import Outcome
from ..session.protocols import IRunnerSession
from ..transport.worker import Worker
from ..wire import payloads
from .feed import END_OF_TEXT, send_as_text
from .request import ReadInput
from .terminal_line import ERRORS, Pieces, TerminalStream
from .trailer_runner import QUIET_LIMIT, CommandRecord, RecordedRunner


class TerminalRunner(RecordedRunner):
    """``stream`` takes apart what the terminal writes; ``record`` outlives this."""

    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        record: CommandRecord,
        stream: TerminalStream,
        read_input: Optional[ReadInput],
    ) -> None:
        super().__init__(session, started, record)
        self._stream = stream
        self._read_input = read_input
        self._pump: Optional[Worker] = None

    def take(self, payload_type: int, data: bytes) -> None:
        if payload_type != payloads.OUTPUT:
            return
        self._pass_on(self._stream.feed(data))
        if self._stream.status is not None:
            self._take_status(self._stream.status)
        elif self._read_input and self._stream.is_ready and self._pump is None:
            self._begin_input(self._read_input)

    def missing(self, reason: str) -> str:
        record, stream = self._record, self._stream
        if self.ended_by is not None:
            return ""
        record.missing = BuiltInRunner.missing(self, reason)
        if not record.missing and stream.status is not None and not stream.is_complete:
            record.missing = "the output may be incomplete: its end never came"
        return record.missing

    def write_rest(self) -> None:
        self._pass_on(self._stream.rest())

    def _pass_on(self, pieces: Pieces) -> None:
        for kind, data in pieces:
            self.write(payloads.STDERR if kind == ERRORS else payloads.OUTPUT, data)

    def _take_status(self, status: int) -> None:
        """What comes now is what was on its way, or is of processes that the command left."""
        self.exit_code = self._record.status = status
        if self._read_input:
            self._read_input = None
            # What decodes the input at the node would wait for its end.
            self.session.channel.send_control(payloads.OUTPUT, b"\n" + END_OF_TEXT)
        if self._stream.is_complete:
            # The script waits for this.
            self.session.channel.send_control(payloads.OUTPUT, INTERRUPT)
        self._over_timer.set(QUIET_LIMIT)

    def _begin_input(self, read: ReadInput) -> None:
        if not self._stream.is_exact:
            self._record.input_error = SessionLost(
                "the input did not reach the command: the container has no 'stty', without which "
                "input cannot be given"
            )
            self._read_input = None
            self.leave(255)
            return
        channel = self.session.channel

        def read_if_wanted() -> Optional[bytes]:
            return read() if self._read_input else None

        self._pump = Worker(
            "input", lambda: send_as_text(channel, read_if_wanted), self.session.events.put
        )
        self._pump.start()


def not_begun(target: str, before: bytes, outcome: Outcome) -> SsmPluginError:
    """Why nothing ran, from what the agent, or the terminal, said instead."""
    if isinstance(outcome.error, SsmPluginError):
        return without_shell(target, str(outcome.error)) or outcome.error
    said = " ".join((outcome.reason or before.decode("utf-8", "replace")).split())[:200]
    text = "the command in %s never began: %s" % (target, said or "its session ended")
    return without_shell(target, said) or SessionLost(text)


def without_shell(target: str, said: str) -> Optional[SsmPluginError]:
    """The error if an agent says in these words that there is no ``sh``."""
    if not re.search(r"\bsh\b.*(not found|no such file)", said, re.IGNORECASE):
        return None
    return RemoteError(
        "neither exec nor shell can be used in %s: the container has no 'sh'; add a shell to its "
        "image, or run a program that is in it by 'aws ecs execute-command'" % target
    )
