"""Files on machines that we share with strangers: what we write is ours, what we read is bounded.

Everything here raises plain ``OSError`` whose ``strerror`` says what is wrong; the caller knows
what the file was for. What is opened is checked through its descriptor, as a path may lead
elsewhere a moment later. The standard streams under their names in /dev are links, and taken as
what they are: descriptors that we have already.
"""

import errno
import os
import re
import stat
from typing import BinaryIO, Mapping

MIB = 1 << 20  # bytes
_OWN_DESCRIPTOR = r"/dev/(?:fd/([0-9]{1,6})|std(out|err))\Z"


def user_directory(environ: Mapping[str, str], variable: str, *default: str) -> str:
    """The folder that an XDG variable names, else ``default`` beneath the home. Such a variable
    counts only with an absolute path: the specification says so."""
    named = environ.get(variable, "")
    if os.path.isabs(named):
        return named
    return os.path.join(environ.get("HOME") or os.path.expanduser("~"), *default)


def make_private_directories(path: str) -> None:
    """Make ``path`` and what is missing above it, 0700. Directories that exist stay as they are.

    ``os.makedirs`` gives its mode to the last directory alone, from Python 3.7 on. A home that is
    still written ``~`` is one that the user does not have, as in a container with an arbitrary id.
    """
    if path and not os.path.isdir(path):
        if path.startswith("~") and "/" not in path:
            raise OSError(errno.ENOENT, "there is no home directory; set HOME", path)
        make_private_directories(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def as_path(text: str) -> str:
    """``text`` as a path. Without a locale, as in cron, Python 3.6 has no letters but ASCII for the
    names of files: then they are UTF-8, as they are elsewhere."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def as_typed(word: str) -> str:
    """The text in UTF-8 that an argument or a variable is. Without a locale, as in cron, Python 3.6
    takes what is not ASCII for something else."""
    if re.search("[\udc80-\udcff]", word):
        return os.fsencode(word).decode("utf-8", "replace")
    return word


def open_private(path: str, flags: int) -> int:
    """Open or create ``path`` and return its descriptor; a new file is 0600 from the start.

    It is never a link, and never a file of somebody else or one that has a second name, which may
    be meant to have us write into it. A pipe of our own and a device of root's may be named; a pipe
    that nobody reads is an error (ENXIO) instead of a wait without end.
    """
    own = re.match(_OWN_DESCRIPTOR, path)
    if own:
        return os.dup(int(own.group(1) or {"out": 1, "err": 2}[own.group(2)]))
    make_private_directories(os.path.dirname(path))
    # Truncated later, once it is known whose file it is.
    opening = flags & ~os.O_TRUNC | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, opening, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link; name the file itself") from error
        raise
    try:
        _check_ours(os.fstat(descriptor))
        if flags & os.O_TRUNC and stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
        os.set_blocking(descriptor, True)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_unbuffered(path: str, flags: int) -> BinaryIO:
    """As :func:`open_private`, but a file object, which knows its name. It is unbuffered: a full
    disk is an error of the write that met it, never of ``close``."""
    return open(path, "wb", buffering=0, opener=lambda name, _: open_private(name, flags))


def _check_ours(status: os.stat_result) -> None:
    regular = stat.S_ISREG(status.st_mode)
    owners = (os.geteuid(),) if regular else (os.geteuid(), 0)
    # A terminal belongs to its user, and its permissions have let us open it.
    if status.st_uid not in owners and not stat.S_ISCHR(status.st_mode):
        raise PermissionError(errno.EPERM, "it belongs to somebody else")
    if regular and status.st_nlink != 1:
        raise PermissionError(errno.EPERM, "the file has a second name (hard link)")


def replace_whole(path: str, text: str) -> os.stat_result:
    """Make ``path`` a new file, 0600, with ``text``. It appears at once, and whole. What the system
    says of it tells it from others (:func:`is_same`)."""
    import tempfile  # takes long to load

    # A random name: nobody can prepare a file or a link under it.
    descriptor, unfinished = tempfile.mkstemp(".tmp", ".ssm-plugin-", os.path.dirname(path) or ".")
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            status = os.fstat(descriptor)
        os.replace(unfinished, path)
        return status
    except BaseException:
        os.unlink(unfinished)
        raise


def is_same(path: str, status: os.stat_result) -> bool:
    """Whether this file is there, as it was. A number of a file that is gone is given again."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(found, status) and found.st_mtime_ns == status.st_mtime_ns


def remove_own(path: str) -> None:
    """Remove the regular file of ours that is there, if there is one; else OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        link = stat.S_ISLNK(status.st_mode)
        what = "a symbolic link" if link else "something that is not a regular file"
        raise OSError(errno.EEXIST, "%s is there already" % what)
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "a file that belongs to somebody else is there already")
    os.unlink(path)


def read_regular(path: str, limit: int, trusted: bool = False) -> bytes:
    """The content of a regular file, through a link if need be, of at most ``limit`` bytes.

    ``trusted``: it must be our own or root's, and nobody else's to write.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if trusted and status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, "it belongs to somebody else")
        if trusted and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EPERM, "others may write to it; run 'chmod go-w' on it")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "it is larger than %d MiB" % (limit // MIB))
    return data


def is_regular(path: str) -> bool:
    """Whether ``path`` is, or once created would be, an ordinary file: no device, pipe or link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return True
