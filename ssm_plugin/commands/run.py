"""Run a job from the configuration file. Made for cron: says nothing when all is well.

On failure there is one line: what failed, and where the output is. The exit status is the worst of
the job's targets.
"""

import argparse
import os
import queue
from contextlib import ExitStack
from datetime import datetime
from typing import List, Mapping, Optional

from ..config import JobSettings, Settings, default_files
from ..display import fitted, shown, width_of
from ..errors import UsageError
from ..files import as_typed
from ..jobs.fleet import FleetEvent
from ..jobs.fleet_progress import FleetProgress
from ..jobs.job import JobReport, argv_of, check_job, run_job
from ..jobs.lock import lock_directory
from ..jobs.remote_line import quote
from ..nodes.grammar import ID
from ..nodes.targets import check_target, find_all
from ..session.environment import make_environment
from ..session.streams import say, write_all
from ..units import counted
from .fleet_options import prepare_for, signals_and_parent
from .run_command import check_engine_of, engine_of, signals_and_parent_end
from .waiting import add_wait_option, with_waiting

EXAMPLE = """\
examples:
  ssm-plugin run nightly-backup
  ssm-plugin run --check && ssm-plugin run nightly-backup --dry-run
in a crontab:
  15 2 * * *  $HOME/bin/ssm-plugin run nightly-backup
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", nargs="?", help="name of a job")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show all jobs, or JOB")
    what.add_argument(
        "--check", action="store_true", help="check all jobs, or JOB, without starting anything"
    )
    what.add_argument(
        "--dry-run", action="store_true", help="show what would be done, and do not do it"
    )
    add_wait_option(parser)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    if options.list or options.check:
        jobs = _chosen(options.job, settings, environ)
        if options.list and not jobs and not settings.quiet:
            say("there are no jobs: %s" % (settings.source or _no_file(environ)))
        text = _listed(jobs) if options.list else _checked(jobs, settings, environ)
        return _print(text)
    if options.job is None:
        raise UsageError("there is no JOB; see 'ssm-plugin run --list'")
    [job] = _chosen(options.job, settings, environ)
    if options.dry_run:
        return _print(_plan(job, settings, environ))
    report = _run(job, options, settings, environ)
    if report.failure():
        say(report.failure())
    return report.status


def _run(
    job: JobSettings, options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]
) -> JobReport:
    now = datetime.now()
    # Before anything is written or started: find all mistakes that can be found.
    check_job(job, settings, environ, now)
    check_engine_of(job, settings)
    prepare_for(job.plan)
    chosen = settings.override(profile=job.profile, region=job.region)
    environment = make_environment(chosen, environ=environ)
    # Before signals become events: as an event, a signal would wait for the end of this lookup.
    nodes = find_all(job.targets, settings, environment.service, ask=not settings.quiet)
    progress = FleetProgress(len(nodes), quiet=chosen.quiet)
    environment = with_waiting(environment, options, settings, progress)
    events: "queue.Queue[FleetEvent]" = queue.Queue()
    with ExitStack() as exits:
        engine = engine_of(job, settings, environment)
        watched = signals_and_parent_end(events) if engine else signals_and_parent(
            events.put, events.put
        )
        exits.enter_context(watched)
        return run_job(
            job, settings, environment, environ, now, events, nodes, engine, progress
        )


def _print(text: str) -> int:
    # As bytes: without a locale Python 3.6 could not print what the file may say.
    write_all(1, text.encode("utf-8", "surrogateescape"))
    return 0


def _chosen(
    name: Optional[str], settings: Settings, environ: Mapping[str, str]
) -> List[JobSettings]:
    if name is not None and settings.source is None:
        raise UsageError("no job is called %r: there is %s" % (name[:50], _no_file(environ)))
    if name is not None:
        return [settings.find_job(as_typed(name))]
    return [settings.jobs[name] for name in sorted(settings.jobs)]


def _listed(jobs: List[JobSettings]) -> str:
    names = [shown(job.name) for job in jobs]
    width = max(map(width_of, names), default=0)
    return "".join(
        "%s  %s\n" % (
            fitted(name, width), shown("%s: %s" % (", ".join(job.targets), _shown(job)))
        )
        for name, job in zip(names, jobs)
    )


def _checked(jobs: List[JobSettings], settings: Settings, environ: Mapping[str, str]) -> str:
    """Reading the file has found most mistakes by now; the rest is found here."""
    for job in jobs:
        check_job(job, settings, environ, datetime.now())
        check_engine_of(job, settings)
    return "%s: %s, no mistakes found\n" % (
        shown(settings.source or _no_file(environ)), counted(len(jobs), "job")
    )


def _no_file(environ: Mapping[str, str]) -> str:
    return "no configuration file (looked for %s)" % ", then ".join(default_files(environ))


def _plan(job: JobSettings, settings: Settings, environ: Mapping[str, str]) -> str:
    paths = check_job(job, settings, environ, datetime.now())
    check_engine_of(job, settings)
    lines = ["job       %s" % job.name, "command   %s" % _shown(job)]
    if job.environment:
        lines.append("variables %s" % ", ".join(sorted(job.environment)))
    lines.append("timeout   %s" % ("%g s" % job.timeout if job.timeout else "none"))
    lines.append("engine    %s" % job.engine)
    lines.append("retries   %d, of a start that failed" % job.retries)
    lines.append("lock      %s" % (lock_directory(environ) if job.lock else "none"))
    for name in job.targets:
        target = check_target(name, settings)
        meaning = target.value if target.kind == ID else "looked up when it runs"
        lines.append("target    %s (%s)" % (name, meaning))
        lines.append("output    %s" % os.path.abspath(paths[name]))
    return "".join(shown(line) + "\n" for line in lines)


def _shown(job: JobSettings) -> str:
    """The command; variables by name only, as a value may be a secret."""
    if isinstance(job.command, str):
        return " ".join(job.command.split("\n"))
    return quote(argv_of(job._replace(environment={})))
