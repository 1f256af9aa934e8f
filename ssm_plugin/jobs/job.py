"""Runs a job of the configuration: its lock, its output files, its targets; made for cron."""

import hashlib
import os
import queue
import re
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from typing import BinaryIO, Dict, List, Mapping, Optional, Sequence, Tuple

from ..config import JobSettings, Settings
from ..named_tuple import NamedTuple
from ..nodes.targets import Found, check_target, find_all
from ..session.environment import Environment
from .engine import FleetEngine, FleetOrder, SessionsEngine
from .fleet import FleetEvent
from .fleet_progress import FleetProgress
from .lock import JobLock, lock_directory
from .remote_line import remote_line
from .request import DEFAULT_DOCUMENT, CommandResult, FleetOutcome, shell_argv
from .sinks import FileStreams, SharedFileStreams, expand, open_fresh, open_output

# So many targets that failed are named in the line that says so.
_LISTED = 10


class JobReport(NamedTuple):
    """``paths`` by target: where the output is."""

    job: JobSettings
    outcome: FleetOutcome
    paths: Mapping[str, str]

    @property
    def results(self) -> List[CommandResult]:
        return self.outcome.results

    @property
    def status(self) -> int:
        return self.outcome.status

    def failure(self) -> str:
        """One line of what failed and where the output is; empty if nothing did."""
        failed = [result for result in self.results if result.status]
        if not failed:
            return ""
        said = "; ".join(self._told(result) for result in failed[:_LISTED])
        if len(failed) > _LISTED:
            said += "; and %d more" % (len(failed) - _LISTED)
        many = " on %d of %d targets" % (len(failed), len(self.results))
        return "job %s failed%s: %s" % (
            self.job.name, many if len(self.results) > 1 else "", " ".join(said.split())
        )

    def _told(self, result: CommandResult) -> str:
        told = "%s: %s" % (result.name, result.reason or "exit status %d" % result.status)
        path = self.paths.get(result.name)  # of a node that came late and wrote nothing: none
        return "%s, output in %s" % (told, path) if path and result.was_begun else told


def run_job(
    job: JobSettings,
    settings: Settings,
    environment: Environment,
    environ: Mapping[str, str],
    now: datetime,
    events: "Optional[queue.Queue[FleetEvent]]" = None,
    nodes: Optional[Sequence[Found]] = None,
    engine: Optional[FleetEngine] = None,
    progress: Optional[FleetProgress] = None,
) -> JobReport:
    """Run it on ``nodes``, else on those that its targets mean, by ``engine``, else by sessions.
    ``now`` is local time, for the names of the output files.

    :raises LocalError: if it runs already, or a file cannot be opened; then nothing was started
    """
    with ExitStack() as exits:
        if job.lock:
            exits.enter_context(JobLock(job.name, lock_directory(environ)))
        if nodes is None:
            nodes = find_all(job.targets, settings, environment.service)
        files = _Files(job, environ, now, nodes, exits)
        order = order_of(job, settings, nodes)
        engine = engine or SessionsEngine(environment)
        outcome = engine.run(order, files.streams, events or queue.Queue(), progress)
        return JobReport(job, outcome, files.paths)


def order_of(job: JobSettings, settings: Settings, nodes: Sequence[Found]) -> FleetOrder:
    """What the job means for these nodes."""
    return FleetOrder(
        nodes,
        argv_of(job),
        job.plan,
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
    """The output files of one run. One that several targets share is opened once, for all of them;
    one of a single target while that one runs. The first is opened at once: a path that is wrong
    is known before anything is started."""

    def __init__(
        self,
        job: JobSettings,
        environ: Mapping[str, str],
        now: datetime,
        nodes: Sequence[Found],
        exits: ExitStack,
    ) -> None:
        self._job, self._now, self._environ = job, now, environ
        self.paths = {node.name: output_path(job, environ, now, node.name) for node in nodes}
        self._shared: Dict[str, BinaryIO] = {}
        users = Counter(self.paths.values())
        for name, path in self.paths.items():
            if users[path] > 1 and path not in self._shared:
                self._shared[path] = exits.enter_context(self._opened(name))
        for name in list(self.paths)[:1]:
            if self.paths[name] not in self._shared:
                self._opened(name).close()

    def streams(self, node: Found) -> FileStreams:
        """The streams of a node. It need not be among those that the targets meant when they were
        looked up: it may get a tag before Run Command reads the tags."""
        if node.name not in self.paths:
            self.paths[node.name] = output_path(self._job, self._environ, self._now, node.name)
        shared = self._shared.get(self.paths[node.name])
        if shared is not None:
            return SharedFileStreams(shared, shared)
        file = self._opened(node.name)
        return FileStreams(file, file)

    def _opened(self, target: str) -> BinaryIO:
        if self._job.output:
            return open_output(self._job.output, self._now, target)
        return open_fresh(self.paths[target])


def _safe(name: str) -> str:
    """Readable as far as it is safe, and different for each name."""
    safe = re.sub(r"[^A-Za-z0-9._:-]+", "_", name).lstrip(".")[:100]
    if safe == name:
        return safe
    return "%s-%s" % (safe, hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8])
