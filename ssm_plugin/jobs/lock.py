"""One run of a job at a time. The kernel drops the lock with the process, however it ends."""

import fcntl
import hashlib
import os
import re
from typing import Mapping, Optional

from ..errors import LocalError
from ..files import open_private, user_directory


def lock_directory(environ: Mapping[str, str] = os.environ) -> str:
    """``$XDG_STATE_HOME/ssm-plugin/locks``, by default beneath ``~/.local/state``.

    Not ``$XDG_RUNTIME_DIR``: cron does not have it, and a job started by hand must meet the
    lock of the same job started by cron.
    """
    state = user_directory(environ, "XDG_STATE_HOME", ".local", "state")
    return os.path.join(state, "ssm-plugin", "locks")


class JobLock:
    """``with JobLock(name, lock_directory()):`` holds the lock; it never waits for it.

    :raises LocalError: on entry, if another process holds it, or the file cannot be used
    """

    def __init__(self, name: str, directory: str) -> None:
        self.name = name
        self.path = os.path.join(directory, _file_name(name))
        self._descriptor: Optional[int] = None

    def __enter__(self) -> "JobLock":
        try:
            descriptor = open_private(self.path, os.O_RDWR)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._take(descriptor)
        # A safety net: ``__exit__`` does not follow an ``__enter__`` that raised.
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(self, *exception: object) -> None:
        # The file stays: to delete it would let two processes lock two files of one name.
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            message = "job %r is already running (pid %s)" % (self.name, holder or "unknown")
            raise LocalError(message) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> LocalError:
        why = error.strerror or error
        return LocalError("the lock %s of job %r cannot be used: %s" % (self.path, self.name, why))


def _file_name(name: str) -> str:
    """Readable as far as it is safe, and different for each name on any file system."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return "%s-%s.lock" % (re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60], digest)
