"""The options of commands that work on many targets, and what is said of there being many."""

import argparse

from ..display import encoded
from ..errors import UsageError
from ..fleet_plan import MOST_PARALLEL, PARALLEL, ErrorLimit, FleetPlan, parse_max_errors
from ..jobs.fleet_progress import FleetProgress
from ..session.streams import write_all
from .waiting import duration

# More targets than this are work for Run Command.
MANY = 50


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parallel", metavar="N", type=count, default=PARALLEL, help="so many at once (10)"
    )
    parser.add_argument(
        "--max-errors",
        metavar="N|N%",
        type=_max_errors,
        help="start no more once so many have failed, or that part of all targets",
    )
    parser.add_argument(
        "--rolling", metavar="N", type=count, help="in batches of N, one after the other"
    )
    parser.add_argument(
        "--pause", metavar="D", type=duration, default=0.0, help="rest so long after each batch"
    )


def plan_of(options: argparse.Namespace) -> FleetPlan:
    """:raises UsageError: for options that contradict each other"""
    if options.pause and options.rolling is None:
        raise UsageError("--pause is a rest between batches: give the size of one with --rolling")
    return FleetPlan(options.parallel, options.max_errors, options.rolling, options.pause)


def suggest_run_command(targets: int, progress: FleetProgress) -> None:
    """One line, where somebody sees the progress."""
    if targets > MANY and progress.is_drawn:
        line = "ssm-plugin: %d sessions; --via run-command lets AWS run it on so many nodes\n"
        with progress:
            write_all(2, encoded(line % targets))


def count(text: str) -> int:
    """Of an option: a number of targets."""
    if not text.isdecimal() or not 0 < int(text) <= MOST_PARALLEL:
        raise argparse.ArgumentTypeError(
            "%r is not a number from 1 to %d" % (text[:20], MOST_PARALLEL)
        )
    return int(text)


def _max_errors(text: str) -> ErrorLimit:
    try:
        return parse_max_errors(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
