"""What commands say and do when Run Command is the engine, in place of sessions."""

import argparse
import os
import queue
import signal
from typing import TYPE_CHECKING, ContextManager, Optional, Sequence, Tuple

from ..config import ENGINES, JobSettings, Settings
from ..errors import UsageError
from ..jobs.engine import FleetOrder
from ..jobs.fleet import FleetEvent
from ..jobs.job import order_of
from ..nodes.grammar import CONTAINER, ID
from ..nodes.targets import Found, check_target
from ..session.environment import Environment
from ..terminal.signals import Signalled
from .fleet_options import signals_and_parent

# What Run Command needs is loaded where it is used: most commands go by sessions.
if TYPE_CHECKING:
    from ..run_command.engine import RunCommandEngine
    from ..run_command.sending import Bucket

SESSIONS, RUN_COMMAND = ENGINES


def add_run_command_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--via", choices=ENGINES, default=SESSIONS, help="the engine; run-command is for hundreds"
    )
    parser.add_argument(
        "--output-s3",
        metavar="URL",
        type=_bucket,
        help="with run-command: whole outputs by way of s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--attach", metavar="ID", help="go on following commands that run-command has sent"
    )


def is_run_command(options: argparse.Namespace) -> bool:
    return options.attach is not None or options.via == RUN_COMMAND


def check_options(options: argparse.Namespace) -> None:
    """:raises UsageError: for options that the chosen engine does not have"""
    if options.output_s3 is not None and options.via != RUN_COMMAND:
        raise UsageError("--output-s3 is for --via run-command")
    if is_run_command(options) and options.document_name is not None:
        raise UsageError(
            "--document-name is for sessions: --via run-command runs AWS-RunShellScript"
        )
    if options.attach is None:
        return
    given = {
        "a TARGET": options.target,
        "a COMMAND": options.command or options.shell is not None,
        "--targets-file": options.targets_file,
        "--all-tasks": options.all_tasks,
        "--timeout": options.timeout,
        "--wait": options.wait,
        "--stdin": options.stdin,
        "--max-errors": options.max_errors,
        "--rolling": options.rolling,
        "--output-s3": options.output_s3,
    }
    wrong = next((name for name, value in given.items() if value), "")
    if wrong:
        raise UsageError("--attach follows what was sent before: leave %s out" % wrong)


def check_targets(words: Sequence[str], settings: Settings) -> None:
    """:raises UsageError: for what is no node; nothing is looked up for that"""
    from ..run_command.sending import check_nodes

    targets = [check_target(word, settings) for word in words]
    container = next((one for one in targets if one.kind == CONTAINER), None)
    check_nodes([Found("ecs:", container.written)] if container else [])


def engine_for(
    words: Sequence[str],
    settings: Settings,
    environment: Environment,
    bucket: "Optional[Bucket]",
    quiet: bool,
) -> "RunCommandEngine":
    """``words`` are the targets as the user wrote them."""
    from ..run_command.engine import RunCommandEngine
    from ..run_command.sending import filters_of

    targets = filters_of([check_target(word, settings) for word in words])
    return RunCommandEngine(environment, targets, bucket, quiet=quiet)


def check_engine_of(job: JobSettings, settings: Settings) -> None:
    """:raises UsageError: for what the job's engine cannot do"""
    try:
        _check_engine_of(job, settings)
    except UsageError as error:
        raise UsageError("job %s: %s" % (job.name, error)) from error


def _check_engine_of(job: JobSettings, settings: Settings) -> None:
    if job.engine != RUN_COMMAND:
        if job.output_s3:
            raise UsageError("output_s3 is for the engine run-command")
        return
    from ..run_command.sending import check_order, parse_bucket

    if job.document_name:
        raise UsageError("a document_name is for sessions")
    if job.output_s3:
        parse_bucket(job.output_s3)
    check_targets(job.targets, settings)
    targets = [check_target(word, settings) for word in job.targets]
    nodes = [Found(one.value, one.written) for one in targets if one.kind == ID]
    check_order(order_of(job, settings, nodes))


def engine_of(
    job: JobSettings, settings: Settings, environment: Environment
) -> "Optional[RunCommandEngine]":
    """The engine of a job by Run Command; None for a job by sessions."""
    if job.engine != RUN_COMMAND:
        return None
    from ..run_command.sending import parse_bucket

    bucket = parse_bucket(job.output_s3) if job.output_s3 else None
    # A job says nothing when all is well.
    return engine_for(job.targets, settings, environment, bucket, quiet=True)


def attached_to(
    ids: str, settings: Settings, environment: Environment
) -> "Tuple[RunCommandEngine, FleetOrder]":
    """:raises UsageError: if there are no such commands"""
    from ..run_command.attaching import find_commands, parse_ids
    from ..run_command.engine import RunCommandEngine
    from ..run_command.patience import PatientCalls

    assert environment.service is not None, "commands are looked up at the service"
    calls = PatientCalls(environment.service)
    attached = find_commands(parse_ids(ids), calls, settings)
    order = FleetOrder(attached.nodes, ("true",), timeout=attached.timeout)
    return RunCommandEngine(environment, attached=attached, quiet=settings.quiet), order


def signals_and_parent_end(events: "queue.Queue[FleetEvent]") -> ContextManager[None]:
    """``events`` gets the signals. The end of our parent counts as SIGTERM, which cancels: nobody
    waits for the results. But a terminal that is lost takes the parent along, and is SIGHUP."""
    had_terminal = _has_terminal()

    def parent_ended(event: Signalled) -> None:
        lost = had_terminal and not _has_terminal()
        events.put(event if lost else Signalled(signal.SIGTERM))

    return signals_and_parent(events.put, events.put, parent_ended)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _bucket(text: str) -> "Bucket":
    from ..run_command.sending import parse_bucket

    try:
        return parse_bucket(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
