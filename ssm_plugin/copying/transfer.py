"""All sources of a copy, to or from one target: one command at the node for each."""

import re
import signal
import time
from contextlib import ExitStack
from typing import Callable, Dict, Iterable, List, Optional, Union

from .. import logs
from ..aws.client import ServiceClient
from ..config import Settings
from ..display import shown
from ..errors import SessionInterrupted, SsmPluginError, UsageError
from ..jobs.fleet import FleetMember
from ..jobs.remote_command import RemoteCommand
from ..jobs.request import CommandRequest, CommandResult, ReadInput
from ..net.timing import Stopwatch
from ..nodes.grammar import split_targets
from ..nodes.targets import Found, check_target, find_all
from ..session.environment import Environment
from ..session.starting import EXIT_TIME_UP
from ..session.streams import EXIT_OUTPUT_GONE, CallableStreams
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..units import FAST, PLAIN
from .download import Download
from .options import (
    CopiedFile,
    CopyFailed,
    CopyOptions,
    MemberList,
    Tell,
)
from .places import STREAM, Direction
from .port_way import NotFast, PortWay, not_fast
from .upload import Upload

log = logs.logger(__name__)


# Bytes. With 'auto', what is smaller is there before a port session would have been started.
FAST_FROM = 4 << 20

# Gets an object for each file of a directory.
Listed = Callable[[Iterable[Dict[str, object]]], object]

# Bytes of what the node says on stderr that are kept for an error.
_KEPT_WORDS = 4096

# What a shell puts before its words: our scripts have no lines that anybody knows.
_SHELL = re.compile(r"^(?:\S*/)?(?:ssm-plugin|(?:ba)?sh): (?:line )?[0-9]+: (?:exec: )?")


def nodes_of(
    direction: Direction,
    settings: Settings,
    service: Optional[ServiceClient],
    ask: bool = False,
) -> List[Found]:
    """The nodes that the target means. :raises UsageError: for none, or too many"""
    words = split_targets(direction.target)
    for word in words:
        check_target(word, settings)
    nodes = find_all(words, settings, service, ask)
    if not nodes:
        raise UsageError("there is no TARGET before the colon")
    if len(nodes) > 1 and not direction.is_upload:
        raise UsageError("files come from one target at a time")
    return nodes


class TargetCopy(FleetMember):
    """``read`` gives what is called ``-``. ``tell``, ``finished`` and ``listed``, which gets what
    is in each directory that was copied, are called from other threads.

    ``run`` never raises an ``SsmPluginError``: it is in the result, and in ``files``."""

    def __init__(
        self,
        node: Found,
        direction: Direction,
        options: CopyOptions,
        environment: Environment,
        tell: Tell = lambda progress: None,
        finished: Callable[[CopiedFile], object] = lambda copied: None,
        read: Optional[ReadInput] = None,
        listed: Optional[Listed] = None,
    ) -> None:
        self.session_id = ""
        self.files: List[CopiedFile] = []
        self.name, self.target = node.name, node.target
        self._direction = direction
        self._options = options
        self._environment = environment
        self._tell = tell
        self._finished = finished
        self._read = read
        self._listed = listed
        self._command: Optional[RemoteCommand] = None
        self._ended_by: Optional[int] = None
        self._ends_at: Optional[float] = None

    def run(self) -> CommandResult:
        watch = Stopwatch()
        error: Optional[SsmPluginError] = None
        if self._options.timeout is not None:
            self._ends_at = time.monotonic() + self._options.timeout
        for source in self._direction.sources:
            try:
                copied = self._copy(source)
            except SsmPluginError as raised:
                copied = self._not_copied(source, raised)
                error = _worse(error, raised)
                if not isinstance(raised, CopyFailed):
                    self._finish(copied)
                    break
            self._finish(copied)
        status = max([one.status for one in self.files] or [0])
        reasons = [one.reason for one in self.files if one.reason]
        more = " (and %d more)" % (len(reasons) - 1) if len(reasons) > 1 else ""
        size = sum(one.size for one in self.files if one.sha256)
        return CommandResult(
            self.name,
            status,
            reasons[0] + more if reasons else "",
            self.session_id,
            watch.began,
            watch.now,
            size,
            0,
            error,
            self.target,
        )

    def signal(self, event: Signalled) -> None:
        if event.signum in ENDING_SIGNALS:
            self._ended_by = 128 + event.signum
        command = self._command
        if command is not None:
            command.signal(event)

    def give_up(self) -> Callable[[float], object]:
        command = self._command
        return command.give_up() if command is not None else super().give_up()

    def _finish(self, copied: CopiedFile) -> None:
        self.files.append(copied)
        self._finished(copied)

    def _not_copied(self, source: str, error: SsmPluginError) -> CopiedFile:
        status = getattr(error, "exit_status", 255)
        destination = self._direction.destination
        return CopiedFile(self.name, source, destination, 0, 0, "", status, str(error))

    def _copy(self, source: str) -> CopiedFile:
        with ExitStack() as exits:
            members = MemberList() if self._listed and self._options.recursive else None
            if members:
                exits.callback(members.close)
            copied = self._copy_with(source, members)
            if members and self._listed and copied.sha256:
                self._listed(members.objects(copied))
            return copied

    def _copy_with(self, source: str, members: Optional[MemberList]) -> CopiedFile:
        work = self._work(source, members)
        if isinstance(work, Upload) and self._may_be_fast(work):
            work.is_fast = True
            try:
                return self._run_command(source, work)
            except NotFast as error:
                if self._options.speed == FAST:
                    raise
                log.info("%s gets %s by a terminal: %s", self.name, source, error)
            work = self._work(source, members)
        return self._run_command(source, work)

    def _may_be_fast(self, work: Upload) -> bool:
        has_ports = not self.target.startswith("ecs:")
        if self._options.speed == FAST and not has_ports:
            raise NotFast("containers of ECS have no ports; use --speed auto or plain")
        if self._options.speed in (FAST, PLAIN) or not has_ports:
            return self._options.speed == FAST
        return not work.is_raw and (work.size is None or work.size >= FAST_FROM)

    def _run_command(self, source: str, work: Union[Download, Upload]) -> CopiedFile:
        with ExitStack() as exits:
            exits.callback(work.close)
            words = _Words()
            command = self._make_command(work, words)
            way = None
            if isinstance(work, Upload) and work.is_fast:
                way = self._make_way(work, command)
                exits.callback(way.close)
            command.arrived = self.arrived
            self._command = command
            self._check()
            try:
                result = command.run()
            finally:
                work.wake()
                self.session_id = command.session_id or self.session_id
            failure = way.failure if way else None
            if way and failure and not self._has_own_end(result, words):
                raise failure if way.is_taken else not_fast(failure) from failure
            return self._judge(source, work, result, words)

    def _has_own_end(self, result: CommandResult, words: "_Words") -> bool:
        """Whether the command did not end because of what failed beside it."""
        if result.status > 128:
            return self._ended_by is not None or result.error is not None
        return result.status in (0, EXIT_TIME_UP) or bool(words.text)

    def _make_command(self, work: Union[Download, Upload], words: "_Words") -> RemoteCommand:
        request = CommandRequest(
            self.target,
            tuple(work.argv()),
            self.name,
            self._options.document_name,
            self._left(),
            read_input=None if work.is_fast else work.read_input,
            reason=self._options.reason,
            raw_input=work.is_raw,
            silence_limit=work.silence_limit,
        )
        streams = CallableStreams(work.output, words.add)
        command = RemoteCommand(request, self._environment, streams)
        if isinstance(work, Upload):
            work.give_up = lambda: command.signal(Signalled(signal.SIGTERM))
        return command

    def _make_way(self, work: Upload, command: RemoteCommand) -> PortWay:
        def failed() -> None:
            command.signal(Signalled(signal.SIGTERM))

        way = PortWay(
            self.target, self._options.reason, self._environment, work.read_input, failed
        )
        work.heard = way.heard
        return way

    def _judge(
        self, source: str, work: Union[Download, Upload], result: CommandResult, words: "_Words"
    ) -> CopiedFile:
        if work.failure:
            raise work.failure
        if result.status == EXIT_TIME_UP:
            raise self._time_up()
        if result.error is not None:
            raise result.error
        if result.status == EXIT_OUTPUT_GONE:
            raise SessionInterrupted(result.reason, result.status)
        if result.status > 128:
            raise self._ended(result.status)
        try:
            if result.status:
                raise CopyFailed("")
            return work.finish()
        except CopyFailed as error:
            if str(error):
                raise
            raise CopyFailed(
                "%s: %s" % (self._subject(source), words.text or "the node does not say why")
            ) from error

    def _work(self, source: str, members: Optional[MemberList]) -> Union[Download, Upload]:
        direction, options, to = self._direction, self._options, self._direction.destination
        many = len(direction.sources) > 1
        if direction.is_upload:
            path = None if source == STREAM else source
            return Upload(self.name, path, to, options, many, self._tell, self._read, members)
        path = None if to == STREAM else to
        return Download(self.name, source, path, options, many, self._tell, self._check, members)

    def _subject(self, source: str) -> str:
        path = self._direction.destination if self._direction.is_upload else source
        return "%s:%s" % (self.name, path)

    def _check(self) -> None:
        if self._ended_by is not None:
            raise self._ended(self._ended_by)
        if self._ends_at is not None and time.monotonic() > self._ends_at:
            raise self._time_up()

    def _ended(self, status: int) -> SessionInterrupted:
        text = "ended by signal %d; --resume goes on from what is there" % (status - 128)
        return SessionInterrupted(text, status)

    def _time_up(self) -> SessionInterrupted:
        text = "the time limit of %g s has passed" % (self._options.timeout or 0.0)
        return SessionInterrupted(text, EXIT_TIME_UP)

    def _left(self) -> Optional[float]:
        """Seconds."""
        return None if self._ends_at is None else max(0.001, self._ends_at - time.monotonic())


class _Words:
    """The last of what the node says on stderr."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-_KEPT_WORDS:]

    @property
    def text(self) -> str:
        lines = self._data.decode("utf-8", "replace").split("\n")
        words = [_SHELL.sub("", line).strip() for line in lines]
        return shown("; ".join(filter(None, words)))[:400]


def _worse(one: Optional[SsmPluginError], other: SsmPluginError) -> SsmPluginError:
    """The one that has the higher status."""
    if one is None or getattr(other, "exit_status", 255) > getattr(one, "exit_status", 255):
        return other
    return one
