"""Writes all of something to a descriptor that may be slow, non-blocking, or gone."""

import errno
import os
import select
import signal

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
