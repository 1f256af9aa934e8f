"""The built file's modules, compiled, in one file of the user's cache.

Inside the zip they are source, and compiling that at each start costs more than all else that
happens before a session's first frame. So the first start writes the code of all of them to
``$XDG_CACHE_HOME/ssm-plugin`` or ``~/.cache/ssm-plugin``, one file for each Python and each place
of the built file; a later version at that place replaces it. All of it may be deleted at any time:
what is not there is made again, and the zip stays second in the search.

What can be imported can do anything in our name. So the way to the file is walked through opened
directories, each of which must belong to us or to root and be nobody else's to write; the file is
opened once, checked through its descriptor, and stays open. Modules are made of what is read from
that: no path is followed again. Ownership keeps people out; checksums only find damage, and what is
damaged comes from the zip. Where there is no such place (no home, a full disk), everything does.

This module is compiled at each start, so it has only what each start needs; ``unpacking`` writes.
"""

import binascii
import marshal
import os
import stat
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Dict, Optional, Sequence, Tuple, Union

# O_PATH also opens what may be searched, but not be listed, such as other people's /home.
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
LINE_SIZE = 100  # bytes of an entry's first line, with the spaces that fill it
_DIRECTORY_SIZE = 65536  # bytes: the end of a zip file that certainly holds its directory
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PACKAGES = ("ssm_plugin", "websocket", "yaml")  # in the built file


def use() -> None:
    """Import from there from now on. Does nothing unless this module came from a zip file."""
    archive = _archive()
    if not os.path.isfile(archive):
        return
    if sys.version_info < (3, 10):
        import_whole()
    with suppress(OSError, MemoryError, SyntaxError):  # SyntaxError: warnings are errors
        sys.meta_path.insert(0, Finder(archive, _codes_of(os.path.realpath(archive))))


def import_whole() -> None:
    """Import the modules from the zip on Python 3.6 to 3.9: see :class:`Sources`."""
    sys.meta_path.insert(0, SourceFinder(_archive()))


def _archive() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Codes:
    """The code of each module, by its name in the zip: an opened entry of the cache.

    It begins with a line: what it is made of, the size of all codes, and the size and checksum of
    the index. The codes follow, and then the index: name -> the code's place, size and checksum.
    Only what is imported is read: a third of them, for a session.

    :raises ValueError: if it is of something else, cut, or its index is damaged
    """

    def __init__(self, entry: int, made_of: bytes) -> None:
        *what, size, index_size, checksum = os.pread(entry, LINE_SIZE, 0).split()
        index_at = LINE_SIZE + int(size)
        if what != made_of.split() or os.fstat(entry).st_size != index_at + int(index_size):
            raise ValueError("another entry, or a cut one")
        listed = os.pread(entry, int(index_size), index_at)
        if checksum != b"%08x" % binascii.crc32(listed):
            raise ValueError("a damaged one")
        self._entry = entry
        self._index: Dict[str, Tuple[int, int, int]] = marshal.loads(listed)

    def get(self, file: str) -> bytes:
        """Empty if there is no such module, or it is damaged."""
        place, size, checksum = self._index.get(file, (0, 0, 0))
        try:
            code = os.pread(self._entry, size, place)
        except OSError:
            return b""
        return code if binascii.crc32(code) == checksum else b""


class Finder:
    """Finds and loads the modules whose ``codes`` it has."""

    def __init__(self, archive: str, codes: "Union[Codes, Sources]") -> None:
        self._archive = archive
        self._codes = codes

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> Optional[ModuleSpec]:
        place = name.replace(".", "/")
        for file in (place + ".py", place + "/__init__.py"):
            code = self._codes.get(file)
            if code:
                origin = os.path.join(self._archive, file)
                spec = ModuleSpec(name, self, origin=origin, loader_state=code)  # type: ignore
                spec.has_location = True
                if file.endswith("/__init__.py"):
                    spec.submodule_search_locations = [os.path.dirname(origin)]
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # an ordinary one

    def exec_module(self, module: Any) -> None:
        code, module.__spec__.loader_state = module.__spec__.loader_state, None
        exec(marshal.loads(code), module.__dict__)

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        file = os.path.relpath(sys.modules[name].__spec__.origin, self._archive)  # type: ignore
        source: bytes = sys.modules[__name__].__loader__.get_data(file)  # type: ignore
        return source.decode("utf-8")


class Sources:
    """Codes that are compiled when they are asked for, as Python itself does with modules in a zip.
    But up to 3.9 it does so without telling that a module is still being loaded: a second thread
    that wants something from that one finds half of it."""

    def __init__(self, archive: str) -> None:
        self._archive = archive

    def get(self, file: str) -> bytes:
        try:
            source = sys.modules[__name__].__loader__.get_data(file)  # type: ignore
        except OSError:
            return b""
        path = os.path.join(self._archive, file)
        return marshal.dumps(compile(source, path, "exec", dont_inherit=True))


class SourceFinder(Finder):
    """A finder without a cache. It replaces Python's own import from the zip, and nothing else: the
    packages of a program that embeds us may come from elsewhere."""

    def __init__(self, archive: str) -> None:
        super().__init__(archive, Sources(archive))

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> Optional[ModuleSpec]:
        if name.partition(".")[0] not in _PACKAGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        origin = getattr(spec and spec.loader, "archive", "")
        return super().find_spec(name) if os.path.abspath(origin) == self._archive else None


def cache_folder() -> str:
    """OSError where the user has none."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if os.path.isabs(base) or os.path.isabs(home):
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")
        return os.path.join(base, "ssm-plugin")
    raise FileNotFoundError("there is no home directory")


def _codes_of(archive: str) -> Codes:
    made_of = _sum_of(archive)
    tag, place = sys.implementation.cache_tag, binascii.crc32(os.fsencode(archive))
    name = "%s-%x-%d-%08x" % (tag, sys.hexversion, sys.flags.optimize, place)
    folder = _open_directory(os.path.realpath(cache_folder()))
    try:
        codes = _open(folder, name, made_of)
        if codes is None:
            from . import unpacking

            unpacking.write(folder, name, archive, made_of, LINE_SIZE)
            codes = _open(folder, name, made_of)
        if codes is None:
            raise FileNotFoundError("it was damaged at once, or another start has replaced it")
        return codes
    finally:
        os.close(folder)


def _sum_of(archive: str) -> bytes:
    """Tells versions apart: the size, and the checksum of the end. That is the zip's directory,
    which holds the checksum of each file."""
    with open(archive, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _DIRECTORY_SIZE))
        return b"%d %08x" % (size, binascii.crc32(file.read()))


def _open_directory(path: str) -> int:
    """``path`` is without links. Its last two directories are made if need be. OSError if anybody
    but us and root could put something there."""
    names = path.strip("/").split("/")
    folder = os.open("/", _DIRECTORY)
    try:
        for left, name in zip(range(len(names), 0, -1), names):
            _check(os.fstat(folder), (0, os.geteuid()), stat.S_ISVTX)
            if left <= 2:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=folder)
            outer, folder = folder, os.open(name, _DIRECTORY, dir_fd=folder)
            os.close(outer)
        _check(os.fstat(folder), (os.geteuid(),), 0)
    except OSError:
        os.close(folder)
        raise
    return folder


def _check(status: os.stat_result, owners: Sequence[int], unless: int) -> None:
    writable = status.st_mode & _OTHERS_WRITE and not status.st_mode & unless
    if status.st_uid not in owners or writable:
        raise PermissionError("others may write there")


def _open(folder: int, name: str, made_of: bytes) -> Optional[Codes]:
    """None if it is not there, not to be trusted, of another version, or damaged."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        entry = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    try:
        status = os.fstat(entry)
        _check(status, (os.geteuid(),), 0)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return Codes(entry, made_of)
    except (OSError, ValueError):
        pass
    os.close(entry)
    return None
