"""Files that nobody but their owner may read: logs, locks, the output of jobs.

Everything here raises plain ``OSError``; the caller knows what the file was for.
"""

import os
import stat
from typing import BinaryIO


def make_private_directories(path: str) -> None:
    """Make ``path`` and what is missing above it, 0700. Directories that exist stay as they are.

    ``os.makedirs`` gives its mode to the last directory alone, from Python 3.7 on.
    """
    if path and not os.path.isdir(path):
        make_private_directories(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def open_private(path: str, flags: int) -> int:
    """Open or create ``path`` and return its descriptor; a new file is 0600 from the start.

    A named pipe that nobody reads is an error (ENXIO) instead of a wait without end.
    """
    make_private_directories(os.path.dirname(path))
    flags |= os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    os.set_blocking(descriptor, True)
    return descriptor


def open_unbuffered(path: str, flags: int) -> BinaryIO:
    """The same as a file to write to, which knows its name. Nothing waits in it: a full disk is
    an error of the write that met it, never of ``close``."""
    return open(path, "wb", buffering=0, opener=lambda name, _: open_private(name, flags))


def is_regular(path: str) -> bool:
    """Whether ``path`` is, or once created would be, an ordinary file: no device, no pipe."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True
