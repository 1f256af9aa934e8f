"""The local ends of a session: where its input comes from and its output goes."""

import errno
import os
import select
import signal
from typing import Callable, Optional

from ..display import encoded, shown
from ..errors import LocalError

EXIT_OUTPUT_GONE = 128 + signal.SIGPIPE


class OutputGone(Exception):
    """Nobody reads any more: a closed pipe, a terminal that hung up."""


def write_all(fd: int, data: bytes) -> None:
    """Blocks until everything is written."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            # Inherited non-blocking: it is shared, so it must stay as it is.
            select.select([], [fd], [])
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET):
                raise OutputGone(os.strerror(error.errno)) from error
            name = {1: "to standard output", 2: "to standard error"}.get(fd, "the output")
            raise LocalError("cannot write %s: %s" % (name, error.strerror)) from error


def say(text: str) -> None:
    """Write a line of ours on standard error: in UTF-8, and on a terminal as the locale has it."""
    line = "ssm-plugin: %s\n" % shown(" ".join(text.split()))
    write_all(2, encoded(line) if os.isatty(2) else line.encode("utf-8"))


class Streams:
    """Standard input, output and error of this process, as raw bytes.

    ``stdin`` is a descriptor to read, or None for no input.
    """

    stdin: Optional[int] = 0

    def output(self, data: bytes) -> None:
        write_all(1, data)

    def error(self, data: bytes) -> None:
        write_all(2, data)

    def flush(self) -> None:
        """The output is over: write what is still held back."""

    def finish(self) -> None:
        """Nothing more comes, for good: close what was opened for it."""

    @property
    def on_terminal(self) -> bool:
        """Whether a person types the input and sees the output."""
        return self.stdin is not None and os.isatty(self.stdin)

    @property
    def is_watched(self) -> bool:
        """Whether a person types the input and reads standard error."""
        return self.on_terminal and os.isatty(2)


class CallableStreams(Streams):
    """Output for a program that embeds us. ``stdin`` stays closed unless given."""

    def __init__(
        self,
        output: Callable[[bytes], object],
        error: Optional[Callable[[bytes], object]] = None,
        stdin: Optional[int] = None,
    ) -> None:
        self.stdin = stdin
        self._output = output
        self._error = error or super().error

    @property
    def is_watched(self) -> bool:
        return False

    def output(self, data: bytes) -> None:
        self._output(data)

    def error(self, data: bytes) -> None:
        self._error(data)
