"""Where the output of a command goes that does not have stdout and stderr for itself."""

import os
import threading
from typing import BinaryIO, List

from ..display import encoded, shown, shown_output
from ..errors import LocalError
from ..files import open_unbuffered
from ..session.streams import Streams
from ..terminal.output import write_all

# A line that is longer is cut into pieces, each with the prefix, so that memory is bounded.
LONGEST_LINE = 65536


class PrefixedStreams(Streams):
    """Whole lines, each with the target's name in front. ``lock`` is shared by all targets;
    ``output`` is the descriptor that takes the standard output."""

    def __init__(self, name: str, lock: threading.Lock, output: int = 1) -> None:
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
        for file in {self._output, self._errors}:
            file.close()


def open_fresh(path: str) -> BinaryIO:
    """Open a file of one's own for writing, empty; its directories are made.

    :raises LocalError: naming the path
    """
    try:
        return open_unbuffered(path, os.O_WRONLY | os.O_TRUNC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LocalError("the output file {!r} cannot be opened: {}".format(path, why)) from error


def _append(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left):]
    except OSError as error:
        raise LocalError("cannot write to {}: {}".format(file.name, error.strerror)) from error

