"""What the commands share that work on one or many targets."""

import argparse
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

from ..errors import UsageError
from ..fleet_plan import MOST_PARALLEL, PARALLEL, ErrorLimit, FleetPlan, parse_max_errors
from ..jobs.fleet_progress import FleetProgress
from ..session.streams import say
from ..shortage import prepare_for_descriptors
from ..terminal.signals import Signalled
from ..transport.worker import WorkerFailed
from .foreground import signals_into
from .parent import parent_watch
from .waiting import duration

# More targets than this are work for Run Command.
MANY = 50


def positive(text: str) -> int:
    """The type of an option that says how many."""
    if not text.isdecimal() or not 0 < int(text) <= MOST_PARALLEL:
        said = "%r is not a number from 1 to %d" % (text[:20], MOST_PARALLEL)
        raise argparse.ArgumentTypeError(said)
    return int(text)


@contextmanager
def signals_and_parent(
    tell: Callable[[Signalled], object],
    failed: Callable[[WorkerFailed], object],
    parent_ended: Optional[Callable[[Signalled], object]] = None,
) -> Iterator[None]:
    """``tell`` gets the signals while commands run, and the end of our parent, unless
    ``parent_ended`` does. The handlers are restored before the results are written: a signal then
    ends the program as usual."""
    # The parent first: who it is shows in which signals were ignored when we started.
    with parent_watch(parent_ended or tell, failed), signals_into(tell, failed):
        yield


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parallel", metavar="N", type=positive, default=PARALLEL, help="so many at once (10)"
    )
    parser.add_argument(
        "--max-errors",
        metavar="N|N%",
        type=_max_errors,
        help="start no more once so many have failed, or that part of all targets",
    )
    parser.add_argument(
        "--rolling", metavar="N", type=positive, help="in batches of N, one after the other"
    )
    parser.add_argument(
        "--pause", metavar="D", type=duration, default=0.0, help="rest so long after each batch"
    )


def plan_of(options: argparse.Namespace) -> FleetPlan:
    """:raises UsageError: for options that contradict each other"""
    if options.pause and options.rolling is None:
        raise UsageError("--pause is a rest between batches: give the size of one with --rolling")
    return FleetPlan(options.parallel, options.max_errors, options.rolling, options.pause)


def prepare_for(plan: FleetPlan) -> None:
    """A session needs one descriptor for long, and some for moments; its output files two."""
    prepare_for_descriptors(4 * plan.parallel)


def suggest_run_command(targets: int, progress: FleetProgress) -> None:
    """Print one line of advice, if progress is shown on a terminal."""
    if targets > MANY and progress.is_drawn:
        with progress:
            say("%d sessions; --via run-command lets AWS run it on so many nodes" % targets)


def _max_errors(text: str) -> ErrorLimit:
    try:
        return parse_max_errors(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
