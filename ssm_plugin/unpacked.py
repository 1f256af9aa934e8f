"""The built file's modules, unpacked and compiled, in a folder of their own.

Inside the zip they are source, and compiling that at each start costs more than all else that
happens before a session's first frame. So the first start unpacks them into the user's cache,
``$XDG_CACHE_HOME/ssm-plugin`` or ``~/.cache/ssm-plugin``, in a folder named for the content and the
kind of Python. It may be deleted at any time: the zip stays second in the search.

What can be imported can do anything in our name. A folder counts only if it and the one above it
are ours, and nobody else's to read or write. Wherever that is not to be had, all is as without.
"""

import os
import stat
import sys
import zlib
from typing import List


def use() -> None:
    """Import from there from now on. Does nothing unless this module came from a zip file."""
    archive = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isfile(archive):
        return
    try:
        folder = os.path.join(cache_folder(), content_key(archive))
        if not is_private(folder):
            unpack(archive, folder)
    except OSError:
        return  # no home, a full disk, somebody else's folder
    sys.path.insert(0, folder)
    path: List[str] = sys.modules[__package__].__path__  # type: ignore
    path.insert(0, os.path.join(folder, __package__))


def cache_folder() -> str:
    """OSError where the user has none."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not os.path.isdir(home):
            raise FileNotFoundError("there is no home directory")
        base = os.path.join(home, ".cache")
    return os.path.join(base, "ssm-plugin")


def content_key(archive: str) -> str:
    with open(archive, "rb") as file:
        content = file.read()
    return "%s-%x-%08x" % (sys.implementation.cache_tag, len(content), zlib.crc32(content))


def is_private(folder: str) -> bool:
    """False if there is nothing. OSError if it, or the folder above, is open to others."""
    for path in (os.path.dirname(folder), folder):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        open_to_others = status.st_mode & 0o077
        if not stat.S_ISDIR(status.st_mode) or open_to_others or not _is_mine(status):
            raise PermissionError("%s is not private" % path)
    return True


def unpack(archive: str, folder: str) -> None:
    """Make ``folder`` appear, whole, or be found there because another start was faster."""
    import compileall
    import shutil
    import tempfile
    import zipfile

    from .files import make_private_directories

    _check_nearest(folder)
    parent = os.path.dirname(folder)
    make_private_directories(parent)
    unfinished = tempfile.mkdtemp(dir=parent)
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(unfinished)
        compileall.compile_dir(unfinished, quiet=2)
        os.rename(unfinished, folder)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
    if not is_private(folder):
        raise FileNotFoundError("%s could not be made" % folder)


def _check_nearest(folder: str) -> None:
    """Leave nothing of ours in another user's home: with sudo, HOME may still be theirs."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if not _is_mine(os.stat(folder)):
        raise PermissionError("%s belongs to somebody else" % folder)


def _is_mine(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid()
