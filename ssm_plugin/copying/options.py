"""What a copy is asked to do, how far it is, and how it went."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ..config import SPEEDS
from ..display import shown
from ..errors import SsmPluginError
from ..jobs.request import DEFAULT_DOCUMENT, CommandResult, FleetOutcome, as_object
from ..named_tuple import NamedTuple

PLAIN, AUTO, FAST = SPEEDS

# The exit status of a copy that a file, here or at the node, has stood in the way of.
EXIT_NOT_COPIED = 1


class CopyFailed(SsmPluginError):
    """A file was not copied, or not all of it: its place, or what is in it, is the reason.
    ``files`` are the results of all, where many were copied."""

    exit_status = EXIT_NOT_COPIED

    def __init__(self, message: str, files: "Sequence[CopiedFile]" = ()) -> None:
        super().__init__(message)
        self.files = files


class CopyOptions(NamedTuple):
    """``timeout`` is in seconds, for all files of a target. ``recursive``: directories too;
    ``preserve``: modes and times; ``resume``: go on from what an earlier copy has left;
    ``compress``: on the way, where it helps; ``sudo``: as root at the node; ``speed``: ``plain``,
    ``auto`` or ``fast``."""

    recursive: bool = False
    preserve: bool = False
    resume: bool = False
    compress: bool = False
    sudo: bool = False
    timeout: Optional[float] = None
    document_name: str = DEFAULT_DOCUMENT
    reason: Optional[str] = None
    speed: str = PLAIN


class CopyProgress(NamedTuple):
    """``done`` and ``total`` are bytes of the file, or of the tar of a directory; ``total`` is None
    where nobody knows it. ``resumed`` of them were there before."""

    target: str
    source: str
    done: int
    total: Optional[int]
    resumed: int = 0


Tell = Callable[[CopyProgress], object]


class CopiedFile(NamedTuple):
    """One source. ``size`` is in bytes, of the file or of the tar; ``sha256`` is of the same, and
    empty unless it was copied. ``reason`` is why it was not, or not all of it; ``skipped`` is what
    of a directory was left out, and why."""

    target: str
    source: str
    destination: str
    size: int
    resumed: int
    sha256: str
    status: int
    reason: str
    skipped: Tuple[str, ...] = ()

    def without(self, skipped: Tuple[str, ...]) -> "CopiedFile":
        """The same if some of it was left out: as with scp, the status tells."""
        if not skipped:
            return self
        return self._replace(
            status=EXIT_NOT_COPIED,
            reason="%s was copied, but not all that is in it" % self.source,
            skipped=skipped,
        )


class TargetReport(NamedTuple):
    """One target: all its files."""

    result: CommandResult
    files: List[CopiedFile]


_HEAD = ("TARGET", "STATUS", "SECONDS", "FILES", "BYTES", "REASON")


def table(reports: Sequence[TargetReport]) -> str:
    """Lines with columns: that of ``exec``, with what was copied in place of what was printed."""
    rows: List[Sequence[str]] = [_HEAD]
    for result, files in reports:
        copied = [one for one in files if one.sha256]
        rows.append(
            (
                shown(result.name),
                str(result.status),
                "%.1f" % result.seconds,
                str(len(copied)),
                str(sum(one.size for one in copied)),
                shown(" ".join(result.reason.split())),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5])]
    return "  ".join(cells + [row[5]]).rstrip() + "\n"


def as_objects(reports: Sequence[TargetReport], outcome: FleetOutcome) -> Dict[str, object]:
    """What ``--json`` prints: one object, with a result for each target and each file."""
    return {"status": outcome.status, "targets": [_target_object(one) for one in reports]}


def _target_object(report: TargetReport) -> Dict[str, object]:
    target = as_object(report.result)
    for field in ("stdout_bytes", "stderr_bytes"):
        del target[field]
    target["files"] = [
        {
            "source": one.source,
            "destination": one.destination,
            "status": one.status,
            "reason": one.reason,
            "bytes": one.size,
            "resumed_bytes": one.resumed,
            "sha256": one.sha256 or None,
            "skipped": list(one.skipped),
        }
        for one in report.files
    ]
    return target
