"""What to run where, and how it went: for people as a table, for programs as JSON."""

import datetime
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

from ..display import fitted, shown, width_of
from ..errors import SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from .remote_line import check_words

DEFAULT_DOCUMENT = "AWS-StartNonInteractiveCommand"

# The reason of a command that was ended as its output has no reader.
UNREAD = "nobody reads the output any more"

# Blocks; 1 or more bytes, ``b""`` at the end of the input, None once nobody wants it any more.
ReadInput = Callable[[], Optional[bytes]]


class CommandRequest(NamedTuple):
    """``target`` is what the service knows; ``name`` what the user calls it. ``timeout`` is in
    seconds, over all. ``retries`` count for starting only: a command that ran is not run again.
    ``raw_input``: the command knows by itself where its input ends, so it may come as it is. After
    a resumption ``silence_limit`` seconds without output mean that the node has given it up; None
    where a command may be silent."""

    target: str
    argv: Tuple[str, ...]
    name: str = ""
    document_name: str = DEFAULT_DOCUMENT
    timeout: Optional[float] = None
    retries: int = 0
    read_input: Optional[ReadInput] = None
    reason: Optional[str] = None
    raw_input: bool = False
    silence_limit: Optional[float] = None


class CommandResult(NamedTuple):
    """``status`` as the exit status is; ``reason`` is empty if the command ended by itself. Times
    are seconds since the epoch. ``error`` is what went wrong on our side, if anything did.
    ``target`` is what the service knows, ``name`` what the user does. ``command_id`` is Run
    Command's, in place of a session's; ``truncated`` names the streams whose end it did not keep.
    """

    name: str
    status: int
    reason: str
    session_id: str
    started_at: float
    ended_at: float
    stdout_bytes: int
    stderr_bytes: int
    error: Optional[SsmPluginError] = None
    target: str = ""
    command_id: str = ""
    truncated: Tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.ended_at - self.started_at

    @property
    def was_begun(self) -> bool:
        """Whether anything was done for it: then there may be output."""
        return bool(self.session_id) or self.ended_at != self.started_at


def shell_argv(line: str) -> Tuple[str, ...]:
    """The words that run a shell's command line.

    :raises UsageError: for an empty one
    """
    if not line.strip():
        raise UsageError("there is no command to run")
    return ("sh", "-c", line)


def command_words(given: Union[str, Sequence[str]]) -> Tuple[str, ...]:
    """What a program gave: a str is a line for a shell at the node.

    :raises UsageError: for what can be no command
    """
    argv = shell_argv(given) if isinstance(given, str) else tuple(given)
    check_words(argv)
    return argv


def worst(results: Sequence[CommandResult]) -> int:
    """The exit status of many commands: the highest."""
    return max((result.status for result in results), default=0)


class FleetOutcome(NamedTuple):
    """``results`` in the order of the nodes. ``signum`` is the signal that ended it all, if one
    did: then it is the exit status, whatever else went wrong."""

    results: List[CommandResult]
    signum: Optional[int] = None

    @property
    def status(self) -> int:
        return worst(self.results) if self.signum is None else 128 + self.signum


def table(results: Sequence[CommandResult]) -> str:
    """Lines with columns; bytes as numbers."""
    return columns(
        ("STDOUT", "STDERR"), [(one, one.stdout_bytes, one.stderr_bytes) for one in results]
    )


def columns(counted: Sequence[str], rows: Sequence[Tuple[CommandResult, int, int]]) -> str:
    """Lines for results, with two numbers in each, which are called ``counted``."""
    cells: List[Sequence[str]] = [("TARGET", "STATUS", "SECONDS", *counted, "REASON")]
    for result, one, other in rows:
        cells.append(
            (
                shown(result.name),
                str(result.status),
                "%.1f" % result.seconds,
                str(one),
                str(other),
                shown(" ".join(result.reason.split())),
            )
        )
    widths = [max(map(width_of, column)) for column in zip(*cells)]
    return "".join(_line(row, widths) for row in cells)


def as_object(result: CommandResult) -> Dict[str, object]:
    """What ``--json`` prints of one command. Times are UTC, in ISO 8601."""
    told: Dict[str, object] = {
        "target": result.name,
        "node": result.target or result.name,
        "status": result.status,
        "reason": result.reason,
        "session_id": result.session_id or None,
        "started_at": _iso(result.started_at),
        "ended_at": _iso(result.ended_at),
        "seconds": round(result.seconds, 3),
        "stdout_bytes": result.stdout_bytes,
        "stderr_bytes": result.stderr_bytes,
    }
    if result.command_id:
        told["command_id"] = result.command_id
    if result.truncated:
        told["truncated"] = list(result.truncated)
    return told


def as_objects(outcome: FleetOutcome) -> Dict[str, object]:
    """What ``--json`` prints of several commands: one object, with the status of all."""
    return {"status": outcome.status, "targets": [as_object(one) for one in outcome.results]}


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [fitted(row[0], widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5])]
    return "  ".join(cells + [row[5]]).rstrip() + "\n"


def _iso(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
