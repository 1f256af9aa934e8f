"""Directories on this machine: their tar for a node, and a node's tar as a directory here."""

import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from typing import IO, Callable, Iterator, List, Optional, Set, Tuple

from .. import logs
from ..errors import RemoteError
from . import tar_reader
from .options import CopyFailed, Skipped
from .source import PIECE, content_of, failing_to, sized
from .tar_reader import DIRECTORY, FILE, HARD_LINK, LINK, Member, parts_of, stays_inside

log = logs.logger(__name__)

# The bits that are copied: neither set-user-ID nor its like.
MODE = 0o777


# --- From here to a node


def tree_size(root: str) -> int:
    """Bytes of its tar, as far as that can be told in advance."""
    total = 2 * tar_reader.BLOCK
    for _, _, status in _walk(root):
        content = status.st_size if stat.S_ISREG(status.st_mode) else 0
        total += tar_reader.BLOCK + -(-content // tar_reader.BLOCK) * tar_reader.BLOCK
    return total


def tar_of(root: str, skipped: Skipped) -> Iterator[bytes]:
    """The tar of a directory, in pieces; the same each time as long as the directory is. Its root
    is 0700, so that nobody else reaches what is unpacked before it is in place.

    :raises CopyFailed: for what cannot be read, or changes meanwhile
    """
    for path, name, status in _walk(root):
        info = tarfile.TarInfo(os.fsencode(name).decode("utf-8", "surrogateescape"))
        info.mode, info.mtime = status.st_mode & MODE, int(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            info.mode = stat.S_IRWXU if name == "." else info.mode
            yield _block(info)
        elif stat.S_ISREG(status.st_mode):
            yield from _tar_of_file(path, info, skipped)
        elif stat.S_ISLNK(status.st_mode):
            with failing_to("read", path):
                link = os.fsencode(os.readlink(path))
            if stays_inside(parts_of(os.fsencode(name)), link):
                info.type = tarfile.SYMTYPE
                info.linkname = link.decode("utf-8", "surrogateescape")
                skipped.copied(os.fsencode(name[2:]), LINK)
                yield _block(info)
            else:
                skipped.add(name[2:], "a link that leads out of the directory")
        else:
            skipped.add(name[2:], "not a file, a directory or a link")
    yield bytes(2 * tar_reader.BLOCK)


def _walk(root: str) -> Iterator[Tuple[str, str, os.stat_result]]:
    """Path, name beneath the root, state. Each directory comes before what is in it."""
    waiting = [(root, ".")]
    while waiting:
        path, name = waiting.pop()
        with failing_to("read", path):
            status = os.stat(path) if name == "." else os.lstat(path)
            yield path, name, status
            if stat.S_ISDIR(status.st_mode):
                for entry in sorted(os.listdir(path), reverse=True):
                    waiting.append((os.path.join(path, entry), name + "/" + entry))


def _tar_of_file(path: str, info: tarfile.TarInfo, skipped: Skipped) -> Iterator[bytes]:
    sha = hashlib.sha256()
    with sized(path) as (file, info.size):
        yield _block(info)
        for piece in content_of(file, path, info.size):
            if skipped.wants_digests:
                sha.update(piece)
            yield piece
    yield bytes(-info.size % tar_reader.BLOCK)
    name = info.name[2:].encode("utf-8", "surrogateescape")
    skipped.copied(name, FILE, info.size, sha.hexdigest())


def _block(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


# --- From a node to here


class Unpacking:
    """Makes a new directory, ``root``, from a tar. Inside, nothing is reached through a link, and
    nobody else can read or change anything: it is 0700 until ``put_in_place`` gives it ``mode``."""

    def __init__(
        self, root: str, preserve: bool, skipped: Skipped, check: Callable[[], object]
    ) -> None:
        self._root = os.fsencode(root)
        self.mode = stat.S_IRWXU
        self._preserve = preserve
        self._skipped = skipped
        self._check = check
        self._mask = current_umask()
        self._known: Set[bytes] = {b""}
        self._directories: List[Tuple[bytes, Member]] = []

    def run(self, file: IO[bytes]) -> None:
        """``check`` is called again and again; what it raises ends the work."""
        with failing_to("unpack into", os.fsdecode(self._root)):
            os.mkdir(self._root, 0o700)  # nobody else has prepared it
            for member in tar_reader.members(file):
                self._check()
                self._add(member, file)
            for path, member in reversed(self._directories):
                self._finish(path, member)

    def _add(self, member: Member, file: IO[bytes]) -> None:
        parts = parts_of(member.name)
        shown_name = os.fsdecode(b"/".join(parts))
        self._make_parents(parts)
        path = os.path.join(self._root, *parts)
        if member.kind == DIRECTORY:
            self._make_directory(b"/".join(parts))
            self._directories.append((path, member))
        elif not parts:
            raise RemoteError("the node's tar holds a file without a name")
        elif member.kind == FILE:
            digest = self._make_file(path, member, file)
            self._skipped.copied(b"/".join(parts), FILE, member.size, digest)
        elif member.kind == LINK and stays_inside(parts, member.link):
            _make_room(path)
            os.symlink(member.link, path)
            self._skipped.copied(b"/".join(parts), LINK)
        elif member.kind == HARD_LINK:
            source = os.path.join(self._root, *self._inside(member))
            _make_room(path)
            os.link(source, path, follow_symlinks=False)
            self._skipped.copied(b"/".join(parts), HARD_LINK)
        elif member.kind == LINK:
            self._skipped.add(shown_name, "a link that leads out of the directory")
        else:
            self._skipped.add(shown_name, "not a file, a directory or a link")

    def _inside(self, member: Member) -> List[bytes]:
        parts = parts_of(member.link)
        self._make_parents(parts)
        return parts

    def _make_parents(self, parts: List[bytes]) -> None:
        for end in range(1, len(parts)):
            self._make_directory(b"/".join(parts[:end]))

    def _make_directory(self, name: bytes) -> None:
        if name in self._known:
            return
        path = os.path.join(self._root, name)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise RemoteError(
                    "the node's tar holds %r twice" % name.decode("utf-8", "backslashreplace")
                ) from None
        self._known.add(name)

    def _make_file(self, path: bytes, member: Member, file: IO[bytes]) -> str:
        sha = hashlib.sha256()
        _make_room(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb", buffering=0) as new:
            left = member.size
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise RemoteError("the node's tar ends in the middle of a file")
                left -= len(piece)
                if self._skipped.wants_digests:
                    sha.update(piece)
                write_whole(new, piece)
                self._check()
            os.fchmod(descriptor, self._mode(member))
            if self._preserve:
                os.utime(descriptor, ns=(member.mtime, member.mtime))
        return sha.hexdigest()

    def _finish(self, path: bytes, member: Member) -> None:
        if path == self._root:
            self.mode = self._mode(member)
        else:
            os.chmod(path, self._mode(member))
        if self._preserve:
            os.utime(path, ns=(member.mtime, member.mtime))

    def _mode(self, member: Member) -> int:
        return member.mode & MODE & (MODE if self._preserve else ~self._mask)


def _make_room(path: bytes) -> None:
    """A tar may hold a name twice: the last one counts."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def put_in_place(new: str, destination: str, preserve: bool, mode: int) -> None:
    """Rename a directory, which gets ``mode``. Into one that is there already, what is in it: file
    by file.

    :raises CopyFailed: if a directory is where a file is to be, or the other way round
    """
    with failing_to("write", destination):
        if os.path.isdir(destination):
            _merge(new, destination, preserve)
        else:
            os.chmod(new, mode)
            os.rename(new, destination)


def _merge(new: str, old: str, preserve: bool) -> None:
    times = os.stat(new)
    os.chmod(new, stat.S_IRWXU)  # even where its mode lets nothing be taken out of it
    for entry in os.listdir(new):
        source, target = os.path.join(new, entry), os.path.join(old, entry)
        there = _type_of(target)
        if _type_of(source) != stat.S_IFDIR:
            if there == stat.S_IFREG and not preserve:
                _keep_rights(source, os.lstat(target))
            os.replace(source, target)
        elif there is None:
            _rename_directory(source, target)
        elif there == stat.S_IFDIR:
            _merge(source, target, preserve)
        else:
            raise CopyFailed("%s is there already, and is not a directory" % target)
    if preserve:
        os.utime(old, ns=(times.st_mtime_ns, times.st_mtime_ns))
    os.rmdir(new)


def _keep_rights(new: str, old: os.stat_result) -> None:
    """A new file gets the mode and, from root, the owner of the one that it will replace. It waits
    in a directory that is nobody else's, so in between they open it to no one."""
    now = os.lstat(new)
    if not stat.S_ISREG(now.st_mode) or _rights(now) == _rights(old):
        return
    if now.st_nlink > 1:
        _separate(new)
    if os.geteuid() == 0:
        os.chown(new, old.st_uid, old.st_gid)
    os.chmod(new, stat.S_IMODE(old.st_mode) & MODE)


def _rights(status: os.stat_result) -> Tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid


def _separate(path: str) -> None:
    """Make this hard link a file of its own: all links of a file share its mode."""
    descriptor, copy = tempfile.mkstemp(dir=os.path.dirname(path))
    os.close(descriptor)
    shutil.copyfile(path, copy)
    os.replace(copy, path)


def _rename_directory(source: str, target: str) -> None:
    """Move into another directory. That changes the entry ``..``: the source must be writable."""
    mode = stat.S_IMODE(os.stat(source).st_mode)
    os.chmod(source, mode | stat.S_IRWXU)
    os.rename(source, target)
    os.chmod(target, mode)


def _type_of(path: str) -> Optional[int]:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return None


def remove_tree(path: str) -> None:
    """What is left of an unpacked directory. Read-only directories in it are no obstacle."""
    if os.path.islink(path):
        try:
            os.unlink(path)
        except OSError as error:
            log.info("cannot remove the link %s: %s", path, error)
        return
    for folder, _, _ in os.walk(path):
        try:
            os.chmod(folder, 0o700)
        except OSError as error:
            log.info("cannot make %s writable: %s", folder, error)
    shutil.rmtree(path, ignore_errors=True)


def current_umask() -> int:
    """Read off a directory that is made for it: the call that tells it also sets it, for all
    threads of the process. Where none can be made, everything is kept to its owner."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "made")
            os.mkdir(path, 0o777)
            return 0o777 & ~os.stat(path).st_mode
    except OSError:
        return 0o077


def write_whole(file: io.RawIOBase, data: bytes) -> None:
    """A write without a buffer may take less than all."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0:]
