"""Out of descriptors, threads or memory: which limit it was, in one line.

Python says so in many ways, some of them far from the cause: an import fails with ``OSError``, a
library that cannot be loaded is an ``ImportError``, a thread is a ``RuntimeError``.
"""

import errno
import os
import sys
import threading
from typing import Optional

from .errors import LocalError

OPEN_FILES = "too many open files: close some, or raise the limit (ulimit -n)"
SYSTEM_FILES = "this machine has too many open files"
MEMORY = "out of memory: end other programs, or raise the limit (ulimit -v)"
THREADS = (
    "no more threads can be started: end other programs of this user, or raise the limits on "
    "processes (ulimit -u) and memory (ulimit -v)"
)

_BY_ERRNO = {errno.EMFILE: OPEN_FILES, errno.ENFILE: SYSTEM_FILES, errno.ENOMEM: MEMORY}
# Descriptors that a program with one session may need.
_USUAL = 64

# Held by whoever loads what other threads may be loading. Where that fails in one of them, Python
# gives another one half of the module, which then does not know that it was a shortage.
LOADING = threading.RLock()

# How the loader of libraries puts it.
_BY_TEXT = {
    os.strerror(errno.EMFILE): OPEN_FILES,
    os.strerror(errno.ENOMEM): MEMORY,
    "failed to map segment": MEMORY,
    "can't start new thread": THREADS,
    "can't create new thread": THREADS,  # says 3.12 in exit handlers, where there are no more
    "can't open Zip file": OPEN_FILES,  # says the oldest zipimport
}


def explain(error: Optional[BaseException]) -> Optional[LocalError]:
    """The error to show if ``error``, or what it came of, is a shortage; else None."""
    for _ in range(10):
        if error is None:
            return None
        text = _why(error)
        if text:
            return LocalError(text)
        error = error.__cause__ or error.__context__
    return None


def prepare_for_ends_of_threads() -> None:
    """Up to Python 3.9 a thread ends in ``pthread_exit``, for which glibc loads a library: without
    a descriptor for it, it aborts the whole process."""
    if sys.version_info < (3, 10):
        try:
            from _ctypes import dlopen  # ctypes itself takes four times as long to load

            dlopen("libgcc_s.so.1", 0)
        except (ImportError, OSError):
            pass  # another system, or too late: there is nothing more to be done


def prepare_for_descriptors(number: int) -> None:
    """Raise this process's soft limit of open files for ``number`` more than usual, up to the hard
    limit."""
    import resource  # most programs need no more than they have

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + _USUAL if hard == resource.RLIM_INFINITY else min(number + _USUAL, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # it has what it has


def start_thread(thread: threading.Thread) -> None:
    """LocalError if the system has no more of them."""
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise explain(error) or error from error


def _why(error: BaseException) -> Optional[str]:
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    if isinstance(error, (ImportError, OSError, RuntimeError)):
        said = str(error)
        return next((text for part, text in _BY_TEXT.items() if part in said), None)
    return None
