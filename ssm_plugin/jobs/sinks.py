"""Where output goes if it does not simply go to stdout and stderr: with prefixes, or into files."""

import errno
import os
import re
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, ContextManager, Iterator, List, Sequence

from ..display import encoded, shown, shown_output
from ..errors import LocalError
from ..files import as_path, make_private_directories, open_unbuffered
from ..nodes.targets import Found
from ..session.streams import Streams, write_all
from ..terminal.wake import writable

# A line that is longer is cut into pieces, each with the prefix, so that memory is bounded.
LONGEST_LINE = 65536

# Bytes of a file's name, with room for what stands behind it.
LONGEST_NAME = 240


class PrefixedStreams(Streams):
    """Whole lines, each with the target's name in front. ``lock`` is shared by all targets, and
    held while something is written; ``output`` is the descriptor that takes the standard output."""

    def __init__(self, name: str, lock: ContextManager[object], output: int = 1) -> None:
        self.stdin = None
        self._stdout = output
        self._lock = lock
        self._prefix = encoded(shown(name)) + b": "
        self._pieces = {output: b"", 2: b""}

    def output(self, data: bytes) -> None:
        self._write(self._stdout, data)

    def error(self, data: bytes) -> None:
        self._write(2, data)

    def flush(self) -> None:
        """Unfinished lines get a line end."""
        for fd, piece in self._pieces.items():
            if piece:
                self._pieces[fd] = b""
                self._put(fd, [piece + b"\n"])

    def _write(self, fd: int, data: bytes) -> None:
        parts = (self._pieces[fd] + data).split(b"\n")
        rest = parts.pop()
        lines = [part + b"\n" for part in parts]
        while len(rest) >= LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE] + b"\n")
            rest = rest[LONGEST_LINE:]
        self._pieces[fd] = rest
        if lines:
            self._put(fd, lines)

    def _put(self, fd: int, lines: List[bytes]) -> None:
        if os.isatty(fd):  # else a node's bytes stay as they are
            lines = [shown_output(line) for line in lines]
        text = b"".join(self._prefix + line for line in lines)
        with self._lock:
            write_all(fd, text)


class FileStreams(Streams):
    """Into open files without a buffer, which may be one and the same."""

    def __init__(self, output: BinaryIO, errors: BinaryIO) -> None:
        self.stdin = None
        self._output = output
        self._errors = errors

    def output(self, data: bytes) -> None:
        _append(self._output, data)

    def error(self, data: bytes) -> None:
        _append(self._errors, data)

    def finish(self) -> None:
        """Close both, whatever a server of files says of one only now."""
        with _writing(self._output), self._output:
            with _writing(self._errors):
                self._errors.close()


class SharedFileStreams(FileStreams):
    """As :class:`FileStreams`, with files that others still write to."""

    def finish(self) -> None:
        """The files stay open: their owner closes them."""


class OutputDirectory:
    """Two files for each node, NAME.out and NAME.err. Where a name cannot be that of a file of its
    own, because it is too long or another one leads to the same file, the node's id stands for
    it."""

    def __init__(self, path: str, nodes: Sequence[Found]) -> None:
        self._path = path
        self._users = Counter(_file_name(node.name).casefold() for node in nodes)

    def streams(self, node: Found) -> FileStreams:
        """:raises LocalError: naming the path"""
        name = _file_name(node.name)
        fits = len(name.encode("utf-8", "surrogateescape")) <= LONGEST_NAME
        if not fits or self._users[name.casefold()] != 1:
            name = _file_name(node.target)
        base = os.path.join(self._path, name)
        return FileStreams(open_fresh(base + ".out"), open_fresh(base + ".err"))


def _file_name(name: str) -> str:
    return name.replace("/", "_").lstrip(".") or "_"


def open_fresh(path: str) -> BinaryIO:
    """Open a file of one's own for writing, empty; its directories are made.

    :raises LocalError: naming the path
    """
    return _open(path, os.O_TRUNC)


def make_directory(path: str) -> None:
    """Make sure, before anything is started, that files can be made in it.

    :raises LocalError: naming the path
    """
    try:
        make_private_directories(path)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise LocalError("no output files can be made in %r: %s" % (path, why)) from error


def _append(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    with _writing(file):
        while left:
            written = file.write(left)
            if written is None:  # inherited non-blocking, and full
                writable(file.fileno(), None)
            else:
                left = left[written:]


@contextmanager
def _writing(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalError("cannot write to %s: %s" % (file.name, error.strerror)) from error


# The fields of ``strftime`` that mean the same on every system and give no ``/``.
FIELDS = "YmdHMSfyjaAbBpIuUVWGwzZFT"


def expand(template: str, now: datetime, target: str) -> str:
    """The path of an output file: ``~/logs/{target}/%Y-%m-%d.log`` has fields of ``strftime``, and
    the target's name.

    :raises LocalError: for a field that is not one of ``FIELDS``; ``%%`` is a percent sign
    """

    local = now.astimezone()  # which knows its zone, for %Z and %z

    def field(found: "re.Match[str]") -> str:
        letter = found.group(1)
        if letter == "%":
            return "%"
        if letter not in FIELDS or not letter:
            raise LocalError(
                "the output path %r has an unknown field %r; write %%%% for a percent sign"
                % (template, found.group())
            )
        return local.strftime("%" + letter)

    path = re.sub(r"%(.?)", field, os.path.expanduser(template), flags=re.DOTALL)
    return path.replace("{target}", _component(target))


def _component(name: str) -> str:
    """``name`` as one part of a path: it cannot lead out of the directory."""
    return re.sub(r"^\.+|[/\0]", "_", name)


def open_output(template: str, now: datetime, target: str) -> BinaryIO:
    """Open a job's output file for appending; a new one is 0600, in new directories of 0700.

    ``now`` is local time. Open it before the session, so that a wrong path costs nothing.
    :raises LocalError: naming the path
    """
    return _open(expand(template, now, target), os.O_APPEND)


def _open(path: str, flag: int) -> BinaryIO:
    try:
        return open_unbuffered(as_path(path), os.O_WRONLY | flag)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise LocalError("the output file %r cannot be opened: %s" % (path, why)) from error
