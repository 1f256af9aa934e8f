"""The built file's modules, compiled, in one file of the user's cache.

Inside the zip they are source, and compiling that at each start costs more than all else that
happens before a session's first frame. So the first start writes the code of all of them to
``$XDG_CACHE_HOME/ssm-plugin`` or ``~/.cache/ssm-plugin``, one file for each Python and each place
of the built file; a later version at that place replaces it. All of it may be deleted at any time:
what is not there is made again, and the zip stays second in the search.

What can be imported can do anything in our name. So the way to the file is walked through opened
directories, each of which must belong to us or to root and be nobody else's to write; the file is
opened once, checked through its descriptor, and read once into memory. Modules are made of those
bytes: no path is followed again. Ownership keeps people out; the checksum only finds damage.
Wherever this is not to be had (no home, a full disk), all is as without.
"""

import marshal
import os
import stat
import sys
import time
import zlib
from contextlib import suppress
from importlib.machinery import ModuleSpec
from typing import Any, Dict, Optional

# O_PATH also opens what may be searched, but not be listed, such as other people's /home.
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OLD = 30 * 86400  # s: an entry that is still in use then is made again, once
_ABANDONED = 3600  # s


def use() -> None:
    """Import from there from now on. Does nothing unless this module came from a zip file."""
    archive = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isfile(archive):
        return
    try:
        codes = marshal.loads(_code_of(os.path.realpath(archive)))
    except (OSError, MemoryError, SyntaxError):  # SyntaxError: warnings are errors
        return
    sys.meta_path.insert(0, Finder(archive, codes))


class Finder:
    """Finds and loads the modules whose ``codes`` (name in the zip -> marshalled code) it has."""

    def __init__(self, archive: str, codes: Dict[str, bytes]) -> None:
        self._archive = archive
        self._codes = codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        place = name.replace(".", "/")
        for file in (place + ".py", place + "/__init__.py"):
            if file in self._codes:
                origin = os.path.join(self._archive, file)
                spec = ModuleSpec(name, self, origin=origin, loader_state=file)  # type: ignore
                spec.has_location = True
                if file.endswith("/__init__.py"):
                    spec.submodule_search_locations = [os.path.dirname(origin)]
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # an ordinary one

    def exec_module(self, module: Any) -> None:
        exec(marshal.loads(self._codes[module.__spec__.loader_state]), module.__dict__)

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        file = sys.modules[name].__spec__.loader_state  # type: ignore
        source: bytes = sys.modules[__name__].__loader__.get_data(file)  # type: ignore
        return source.decode("utf-8")


def cache_folder() -> str:
    """OSError where the user has none."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if os.path.isabs(base) or os.path.isabs(home):
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")
        return os.path.join(base, "ssm-plugin")
    raise FileNotFoundError("there is no home directory")


def _code_of(archive: str) -> bytes:
    with open(archive, "rb") as file:
        content = file.read()
    tag, place = sys.implementation.cache_tag, zlib.crc32(os.fsencode(archive))
    name = "%s-%x-%d-%08x" % (tag, sys.hexversion, sys.flags.optimize, place)
    folder = _open_directory(os.path.realpath(cache_folder()))
    try:
        code = _read(folder, name, content)
        return code if code is not None else _write(folder, name, archive, content)
    finally:
        os.close(folder)


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


def _check(status: os.stat_result, owners: Any, unless: int) -> None:
    writable = status.st_mode & _OTHERS_WRITE and not status.st_mode & unless
    if status.st_uid not in owners or writable:
        raise PermissionError("others may write there")


def _read(folder: int, name: str, content: bytes) -> Optional[bytes]:
    """None if it is not there, not to be trusted, of another version, or damaged."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            status = os.fstat(file.fileno())
            _check(status, (os.geteuid(),), 0)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                header, code = file.readline(100), file.read()
                return code if header == _header(content, code) else None
    except OSError:
        pass
    return None


def _header(content: bytes, code: bytes) -> bytes:
    sums = len(content), zlib.crc32(content), len(code), zlib.crc32(code)
    return b"%d %08x %d %08x\n" % sums


def _write(folder: int, name: str, archive: str, content: bytes) -> bytes:
    _remove_old(folder)
    unfinished = "%s.%d" % (name, os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            # Is there room? That should be known before everything is compiled.
            _put(file, bytes(2 * len(content)))
            code = _compile(archive, content)
            file.seek(0)
            _put(file, _header(content, code) + code)
            file.truncate()
            os.fsync(descriptor)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(unfinished, dir_fd=folder)
        raise
    return code


def _put(file: Any, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _compile(archive: str, content: bytes) -> bytes:
    import io
    import zipfile

    codes = {}
    with zipfile.ZipFile(io.BytesIO(content)) as sources:
        for name in sources.namelist():
            if name.endswith(".py"):
                path = os.path.join(archive, name)
                code = compile(sources.read(name), path, "exec", dont_inherit=True)
                codes[name] = marshal.dumps(code)
    return marshal.dumps(codes)


def _remove_old(folder: int) -> None:
    """What killed starts, other Pythons and built files that are gone have left behind."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        names = os.listdir(listing)
    finally:
        os.close(listing)
    for name in names:
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if time.time() - status.st_mtime > (_ABANDONED if "." in name else _OLD):
                os.unlink(name, dir_fd=folder)
