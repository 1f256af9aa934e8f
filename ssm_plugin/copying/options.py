"""What a copy is asked to do, how far it is, and how it went, for each file of a directory, too."""

import json
import os
import tempfile
from contextlib import contextmanager, suppress
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import SsmPluginError
from ..jobs.request import DEFAULT_DOCUMENT, CommandResult, FleetOutcome, as_object, columns
from ..named_tuple import NamedTuple
from ..units import PLAIN

# The exit status of a copy that failed because of a file, here or at the node.
EXIT_NOT_COPIED = 1

# How many names of what was left out of a directory are told.
_TOLD = 10


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
    """The result for one source. ``size`` is in bytes, of the file or of the tar; ``sha256`` is its
    digest, empty unless it was copied. ``reason`` says why it was not copied, or not completely;
    ``skipped`` is what was left out of a directory, and why."""

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
        """This result for a directory of which something was left out: as with scp, the status says
        so."""
        if not skipped:
            return self
        return self._replace(
            status=EXIT_NOT_COPIED,
            reason="%s was copied, but not all that is in it" % self.source,
            skipped=skipped,
        )


class Skipped:
    """What of a tree is left out, and why: a few names, and how many."""

    wants_digests = False

    def __init__(self) -> None:
        self.count = 0
        self._names: List[str] = []

    def add(self, name: str, why: str) -> None:
        self.count += 1
        if len(self._names) < _TOLD:
            self._names.append("%s: %s" % (name, why))

    def copied(self, name: bytes, kind: str, size: int = 0, digest: str = "") -> None:
        """This member was copied. ``digest``: SHA-256, if ``wants_digests``."""

    def close(self) -> None:
        """On every way out."""

    def clear(self) -> None:
        self.count = 0
        self._names = []

    def told(self) -> Tuple[str, ...]:
        more = self.count - len(self._names)
        return tuple(self._names + (["and %d more" % more] if more else []))


class MemberList(Skipped):
    """Lists the members that were copied, too, however many. The list is kept in a file: the result
    of each member is known only when the directory is in its place. ``objects`` gives what
    ``--json`` prints of it."""

    wants_digests = True

    def __init__(self) -> None:
        super().__init__()
        # No line waits in a buffer: where there is no room for it, the copy ends there and then.
        with temporary_files():
            self._file = tempfile.TemporaryFile("w+", buffering=1, encoding="ascii")

    def add(self, name: str, why: str) -> None:
        super().add(name, why)
        self._keep(os.fsencode(name), "other", 0, "", why)

    def copied(self, name: bytes, kind: str, size: int = 0, digest: str = "") -> None:
        self._keep(name, kind, size, digest, "")

    def clear(self) -> None:
        super().clear()
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        with suppress(OSError):  # what could not be written is tried once more
            self._file.close()

    def objects(self, copied: CopiedFile) -> Iterator[Dict[str, object]]:
        """One object for each file and link of a directory that was copied, and for each one left
        out."""
        self._file.seek(0)
        for line in self._file:
            name, kind, size, digest, reason = json.loads(line)
            yield {
                "target": copied.target,
                "source": copied.source,
                "destination": copied.destination,
                "path": name,
                "kind": kind,
                "status": EXIT_NOT_COPIED if reason else 0,
                "reason": reason,
                "bytes": size,
                "sha256": digest or None,
            }

    def _keep(self, name: bytes, *fields: object) -> None:
        # As UTF-8: cron sets no locale, and Python 3.6 then takes names for ASCII.
        text = name.decode("utf-8", "surrogateescape")
        with temporary_files():
            self._file.write(json.dumps((text,) + fields) + "\n")


@contextmanager
def temporary_files() -> Iterator[None]:
    """:raises CopyFailed: if one cannot be written"""
    try:
        yield
    except OSError as error:
        raise CopyFailed(
            "cannot write a temporary file: %s (TMPDIR says where)" % (error.strerror or error)
        ) from error


class TargetReport(NamedTuple):
    """The result for one target, and for each of its files."""

    result: CommandResult
    files: List[CopiedFile]


def table(reports: Sequence[TargetReport]) -> str:
    """Lines with columns: that of ``exec``, with what was copied in place of what was printed."""
    rows = []
    for result, files in reports:
        sizes = [one.size for one in files if one.sha256]
        rows.append((result, len(sizes), sum(sizes)))
    return columns(("FILES", "BYTES"), rows)


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
