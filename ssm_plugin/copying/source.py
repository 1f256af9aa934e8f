"""Files of this machine that are sent: how long they are, and what is in them.

Files of the kernel have a size of their own making: 0 in /proc, a page in /sys. Only their end
tells where they end.
"""

import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from typing import IO, Iterator, Optional, Tuple

from ..files import MIB
from .options import CopyFailed, temporary_files

PIECE = 65536


def open_source(path: str) -> IO[bytes]:
    """:raises CopyFailed: also for what is not a regular file"""
    with failing_to("read", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        file = open(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise CopyFailed("%s is not a regular file" % path)
    return file


def size_of(path: str) -> Optional[int]:
    """Bytes, or None if the file gives others than it tells: it is read to its end then.

    :raises CopyFailed: if it cannot be read
    """
    with open_source(path) as file:
        status = os.fstat(file.fileno())
        told = status.st_size
        # A file with blocks is on a disk. The kernel's files have none, nor have some others.
        if told > PIECE or (told and status.st_blocks):
            return told
        got = 0
        for piece in _read(file, path, max(told, 1)):
            got += len(piece)
        if got == told:
            return told
        # A file that has shrunk just now has a new size, which is true.
        return None if os.fstat(file.fileno()).st_size == told else told


def content_of(file: IO[bytes], path: str, size: Optional[int]) -> Iterator[bytes]:
    """``size`` bytes: what the file has grown by since does not belong to it. None: all.

    :raises CopyFailed: if it has shrunk
    """
    left = size or 0
    for piece in _read(file, path, size):
        left -= len(piece)
        yield piece
    if size is not None and left:
        raise CopyFailed("%s has shrunk while it was being copied" % path)


@contextmanager
def sized(path: str) -> Iterator[Tuple[IO[bytes], int]]:
    """A file, and how many bytes of it there are to read. What tells that only by its end is read
    before.

    :raises CopyFailed: if it cannot be read, or kept
    """
    if size_of(path) is not None:
        with open_source(path) as file:
            yield file, os.fstat(file.fileno()).st_size
        return
    copy = tempfile.SpooledTemporaryFile(MIB)
    try:
        with temporary_files(), open_source(path) as file:
            for piece in content_of(file, path, None):
                copy.write(piece)
            size = copy.tell()
            copy.seek(0)
        yield copy, size
    finally:
        with suppress(OSError):  # what could not be written is tried once more
            copy.close()


def _read(file: IO[bytes], path: str, most: Optional[int]) -> Iterator[bytes]:
    """Pieces of at most so many bytes together. It was opened so that nothing waits for more."""
    got = 0
    while most is None or got < most:
        with failing_to("read", path):
            piece = file.read(PIECE if most is None else min(PIECE, most - got))
        if piece is None:
            raise CopyFailed("%s has no end: it waits for more" % path)
        if not piece:
            return
        got += len(piece)
        yield piece


@contextmanager
def failing_to(what: str, path: str) -> Iterator[None]:
    """:raises CopyFailed: if the system refuses it. It refuses in Python, too: a NUL in a path is a
    ValueError, and a time that is too late an OverflowError."""
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise CopyFailed("cannot %s %s: %s" % (what, path, why)) from error
