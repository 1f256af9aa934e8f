"""A download that is not complete yet: a file of ours beside its destination, with its SHA-256."""

import fcntl
import hashlib
import os
import stat
from typing import BinaryIO, Callable, Optional

from ..files import open_private
from .node_script import Existing
from .options import CopyFailed, Skipped
from .places import base_name, part_of
from .source import failing_to
from .tree import MODE, Unpacking, current_umask, put_in_place, remove_tree, write_whole

_PIECE = 1 << 20


def final_path(destination: str, source: str, needs_directory: bool) -> str:
    """Where a source of that name goes: into a directory that is there, else under that name.

    :raises CopyFailed: if there is to be a directory and is none
    """
    if os.path.isdir(destination):
        name = base_name(source)
        return os.path.join(destination, name) if name else destination.rstrip("/") or "/"
    if needs_directory:
        raise CopyFailed("there is no directory %s" % destination)
    path = destination.rstrip("/")
    if os.path.islink(path):
        path = os.path.realpath(path)
    if os.path.lexists(path) and not os.path.isfile(path):
        raise CopyFailed("%s is not a regular file" % destination)
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        raise CopyFailed("there is no directory %s" % parent)
    return path


class PartFile:
    """``destination`` is what it becomes; ``is_directory``: it was written as a directory that is
    yet to be made. ``resume``: what is there already may stay."""

    def __init__(self, destination: str, is_directory: bool, resume: bool) -> None:
        self.destination = destination
        self._is_directory = is_directory
        self.path = part_of(destination)
        self.size = 0
        self._sha = hashlib.sha256()
        with failing_to("write", destination):
            self._file: BinaryIO = _open_locked(self.path)
            if resume:
                self._read_existing()

    @property
    def existing(self) -> Existing:
        return Existing(self.size, self._sha.hexdigest()) if self.size else Existing()

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()

    def start(self, is_tree: bool, offset: int) -> None:
        """What is behind ``offset``, 0 or all that was there, does not count. ``is_tree``: what
        comes is the tar of a directory."""
        there = self.destination
        is_there = os.path.isdir(there)
        if is_there and not is_tree:
            raise CopyFailed("%s is a directory" % there)
        if self._is_directory and not is_tree:
            raise CopyFailed("there is no directory %s" % there)
        if is_tree and not is_there and os.path.exists(there):
            raise CopyFailed("%s is not a directory" % there)
        if offset != self.size:
            self.size = 0
            self._sha = hashlib.sha256()
        with failing_to("write", there):
            self._file.truncate(self.size)
            self._file.seek(self.size)

    def write(self, data: bytes) -> None:
        with failing_to("write", self.destination):
            write_whole(self._file, data)  # type: ignore[arg-type]
        self._sha.update(data)
        self.size += len(data)

    def become_file(self, mode: int, mtime: Optional[int], preserve: bool) -> None:
        """Rename it: it is right. A file that it replaces leaves it its mode and its owner, unless
        these are to be the source's. ``mtime`` is in seconds."""
        descriptor = self._file.fileno()
        with failing_to("write", self.destination):
            before = _state(self.destination)
            if preserve:
                mode = mode & MODE
            elif before:
                mode = stat.S_IMODE(before.st_mode) & MODE
            else:
                mode = mode & MODE & ~current_umask()
            if before and os.geteuid() == 0:
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, mode)
            if preserve and mtime is not None:
                os.utime(descriptor, (mtime, mtime))
            if os.path.isdir(self.destination):
                raise CopyFailed("%s is a directory" % self.destination)
            os.replace(self.path, self.destination)

    def become_tree(
        self, preserve: bool, skipped: Skipped, check: Callable[[], object]
    ) -> None:
        """Unpack it: it is right, and a tar. ``check`` as for ``Unpacking.run``."""
        new = self.path + ".d"
        remove_tree(new)
        try:
            unpacking = Unpacking(new, preserve, skipped, check)
            with open(self.path, "rb") as tar:
                unpacking.run(tar)
            put_in_place(new, self.destination, preserve, unpacking.mode)
        finally:
            remove_tree(new)
        self.remove()

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        """An empty one is worth nothing. That of another copy, which came later, stays."""
        state = _state(self.path)
        if state and not state.st_size and os.path.samestat(state, os.fstat(self._file.fileno())):
            self.remove()
        self._file.close()

    def _read_existing(self) -> None:
        for piece in iter(lambda: self._file.read(_PIECE), b""):
            self._sha.update(piece)
            self.size += len(piece)


def _open(path: str) -> BinaryIO:
    descriptor = open_private(path, os.O_RDWR)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CopyFailed("%s is there, and is not a regular file" % path)
    return open(descriptor, "r+b", buffering=0)


def _open_locked(path: str) -> BinaryIO:
    """Open the file and lock it: only one process may write to it."""
    file = _open(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        now = _state(path)
        if now is None or not os.path.samestat(now, os.fstat(file.fileno())):
            raise BlockingIOError("it has just been renamed")
    except BlockingIOError as error:
        file.close()
        raise CopyFailed("another copy to the same place writes %s" % path) from error
    return file


def _state(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
