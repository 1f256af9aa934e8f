"""Writes an entry of the code cache that ``unpacked`` reads: the built file's modules, compiled."""

import __future__

import marshal
import os
import time
import zipfile
import zlib
from contextlib import suppress
from typing import Any, Dict, List, Tuple

# Annotations stay texts: nobody reads them here, and to evaluate them takes a tenth of a start. 3.6
# cannot do that.
_AS_TEXT = __future__.annotations.compiler_flag if hasattr(__future__, "annotations") else 0

_OLD = 30 * 86400  # s: an entry that is still in use then is made again, once
_ABANDONED = 3600  # s


def write(folder: int, name: str, archive: str, made_of: bytes) -> bytes:
    """Compile the zip file's modules into the entry ``name``; returns what it holds.

    :param folder: an opened directory
    :param archive: the path of the zip file
    :param made_of: what the entry is to begin with
    :raises OSError: if there is no room
    """
    _remove_old(folder)
    unfinished = "%s.%d" % (name, os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            # Is there room? That should be known before everything is compiled.
            _put(file, bytes(2 * os.path.getsize(archive)))
            entry = made_of + b" " + _compile(archive)
            file.seek(0)
            _put(file, entry)
            file.truncate()
            os.fsync(descriptor)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(unfinished, dir_fd=folder)
        raise
    return entry


def _put(file: Any, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _compile(archive: str) -> bytes:
    """What follows ``made_of`` in an entry: see ``unpacked.Codes``."""
    index: Dict[str, Tuple[int, int]] = {}
    codes: List[bytes] = []
    end = 0
    with zipfile.ZipFile(archive) as sources:
        for name in sources.namelist():
            if name.endswith(".py"):
                path = os.path.join(archive, name)
                code = compile(sources.read(name), path, "exec", _AS_TEXT, dont_inherit=True)
                codes.append(marshal.dumps(code))
                start, end = end, end + len(codes[-1])
                index[name] = start, end
    listed = marshal.dumps(index)
    rest = listed + b"".join(codes)
    return b"%d %08x\n" % (len(listed), zlib.crc32(rest)) + rest


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
