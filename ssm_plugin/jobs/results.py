"""Results of commands for people (a table) and for programs (JSON)."""

import datetime
from typing import Any, Dict, List, Sequence

from ..display import shown
from .request import CommandResult

_HEAD = ("TARGET", "STATUS", "SECONDS", "STDOUT", "STDERR", "REASON")


def worst(results: Sequence[CommandResult]) -> int:
    """The exit status of many commands: the highest."""
    return max((result.status for result in results), default=0)


def table(results: Sequence[CommandResult]) -> str:
    """Lines with columns; bytes as numbers."""
    rows: List[Sequence[str]] = [_HEAD]
    for result in results:
        rows.append(
            (
                shown(result.name),
                str(result.status),
                "%.1f" % result.seconds,
                str(result.stdout_bytes),
                str(result.stderr_bytes),
                shown(" ".join(result.reason.split())),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "".join(_line(row, widths) for row in rows)


def as_object(result: CommandResult) -> Dict[str, Any]:
    """What ``--json`` prints of one command. Times are UTC, in ISO 8601."""
    return {
        "target": result.name,
        "status": result.status,
        "reason": result.reason,
        "session_id": result.session_id or None,
        "started_at": _iso(result.started_at),
        "ended_at": _iso(result.ended_at),
        "seconds": round(result.seconds, 3),
        "stdout_bytes": result.stdout_bytes,
        "stderr_bytes": result.stderr_bytes,
    }


def as_objects(results: Sequence[CommandResult]) -> Dict[str, Any]:
    """The same of many: one object too, with the worst status."""
    return {"status": worst(results), "targets": [as_object(result) for result in results]}


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5])]
    return "  ".join(cells + [row[5]]).rstrip() + "\n"


def _iso(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
