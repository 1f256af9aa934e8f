"""Runs a job of the configuration: its lock, its output files, its targets; made for cron."""

import os
import queue
import re
from contextlib import ExitStack
from datetime import datetime
from typing import BinaryIO, Dict, List, Mapping, Optional, Sequence, Tuple

from ..config import JobSettings, Settings
from ..named_tuple import NamedTuple
from ..nodes.targets import Found, check_target, find_all
from ..session.environment import Environment
from .fleet import Fleet, FleetEvent
from .lock import JobLock, lock_directory
from .remote_command import RemoteCommand
from .remote_line import remote_line
from .request import DEFAULT_DOCUMENT, CommandRequest, CommandResult, shell_argv, worst
from .sinks import FileStreams, expand, open_fresh, open_output


class JobReport(NamedTuple):
    """``paths`` by target: where the output is."""

    job: JobSettings
    results: List[CommandResult]
    paths: Mapping[str, str]

    @property
    def status(self) -> int:
        return worst(self.results)

    def failure(self) -> str:
        """One line of what failed and where the output is; empty if nothing did."""
        failed = [result for result in self.results if result.status]
        if not failed:
            return ""
        said = "; ".join(
            "%s: %s, output in %s"
            % (result.name, _how_it_ended(result), self.paths[result.name])
            for result in failed
        )
        many = " on %d of %d targets" % (len(failed), len(self.results))
        return "job %s failed%s: %s" % (
            self.job.name, many if len(self.results) > 1 else "", " ".join(said.split())
        )


def run_job(
    job: JobSettings,
    settings: Settings,
    environment: Environment,
    environ: Mapping[str, str],
    now: datetime,
    events: "Optional[queue.Queue[FleetEvent]]" = None,
    nodes: Optional[Sequence[Found]] = None,
) -> JobReport:
    """Run it on ``nodes``, else on those that its targets mean. ``now`` is local time, for the
    names of the output files.

    :raises LocalError: if it runs already, or a file cannot be opened; then nothing was started
    """
    with ExitStack() as exits:
        if job.lock:
            exits.enter_context(JobLock(job.name, lock_directory(environ)))
        if nodes is None:
            nodes = find_all(job.targets, settings, environment.service)
        files = _Files(job, environ, now, exits)
        commands = []
        for node in nodes:
            streams = files.streams(node.name)
            commands.append(RemoteCommand(request_of(job, settings, node), environment, streams))
        results = Fleet(commands, events=events).run()
        return JobReport(job, results, files.paths)


def request_of(job: JobSettings, settings: Settings, node: Found) -> CommandRequest:
    """What the job means for one node."""
    return CommandRequest(
        node.target,
        argv_of(job),
        node.name,
        job.document_name or settings.document_name or DEFAULT_DOCUMENT,
        job.timeout,
        job.retries,
    )


def argv_of(job: JobSettings) -> Tuple[str, ...]:
    """Its words, with ``env`` in front where the job sets environment variables."""
    argv = shell_argv(job.command) if isinstance(job.command, str) else tuple(job.command)
    variables = tuple("%s=%s" % pair for pair in sorted(job.environment.items()))
    return (("env",) + variables + argv) if variables else argv


def check_job(
    job: JobSettings, settings: Settings, environ: Mapping[str, str], now: datetime
) -> Dict[str, str]:
    """The output path for each target. Raises what would keep the job from being started, as far
    as that can be known without starting or writing anything."""
    remote_line(argv_of(job))
    for name in job.targets:
        check_target(name, settings)
    return {name: output_path(job, environ, now, name) for name in job.targets}


def output_path(
    job: JobSettings, environ: Mapping[str, str], now: datetime, target: str
) -> str:
    """Where the output goes. Without a path of its own: a file beneath the state directory that
    holds the latest run."""
    if job.output:
        return expand(job.output, now, target)
    state = os.path.dirname(lock_directory(environ))
    return os.path.join(state, "output", _safe(job.name), _safe(target) + ".log")


class _Files:
    """The output files of one run; one that several targets share is opened once."""

    def __init__(
        self, job: JobSettings, environ: Mapping[str, str], now: datetime, exits: ExitStack
    ) -> None:
        self.paths: Dict[str, str] = {}
        self._job, self._environ, self._now, self._exits = job, environ, now, exits
        self._open: Dict[str, BinaryIO] = {}

    def streams(self, target: str) -> FileStreams:
        path = output_path(self._job, self._environ, self._now, target)
        self.paths[target] = path
        if path not in self._open:
            self._open[path] = self._exits.enter_context(self._opened(path, target))
        return FileStreams(self._open[path], self._open[path])

    def _opened(self, path: str, target: str) -> BinaryIO:
        if self._job.output:
            return open_output(self._job.output, self._now, target)
        return open_fresh(path)


def _how_it_ended(result: CommandResult) -> str:
    return result.reason or "exit status %d" % result.status


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:-]+", "_", name).lstrip(".") or "_"
