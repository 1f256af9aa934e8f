"""Ends the session when the parent process that waits for it ends.

A parent that is killed by SIGKILL tells nobody, and what it had started would run on.
"""

import os
import select
import signal
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from ..terminal.signals import Signalled
from ..terminal.wake import WakePipe, readable
from ..transport.worker import Worker, WorkerFailed

# The AWS CLI, which always waits for us, has these ignored when it starts us. A shell that starts a
# program in the background ignores the first two alone.
IGNORED_BY_AWS_CLI = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)

# The same on every Linux machine but Alpha; ``os.pidfd_open`` came with Python 3.9.
_PIDFD_OPEN = 434


@contextmanager
def parent_watch(
    tell: Callable[[Signalled], object],
    failed: Callable[[WorkerFailed], object],
    aws_cli_only: bool = False,
) -> Iterator[None]:
    """Meanwhile, the end of our parent is told as a SIGHUP.

    That is for the AWS CLI and, unless ``aws_cli_only``, for whoever else seems to wait for us. Not
    where we are meant to outlive it: as leader of a session (``setsid``), under ``init``, with
    ``nohup``, or in the background, which the shell of a script marks by ignoring SIGINT and a
    terminal by another foreground group. (The AWS CLI itself may be under ``nohup``: it waits all
    the same.) Nothing is watched where the system has no way to do so without looking again and
    again (Linux before 5.3).
    """
    parent = os.getppid()
    if parent <= 1 or not _belongs_to_parent(aws_cli_only):
        yield
        return
    descriptor = _open(parent)
    if descriptor is None:
        yield
        return
    wake = WakePipe()
    if os.getppid() != parent:
        tell(Signalled(signal.SIGHUP))  # it has ended already
    watch = Worker("parent", lambda: _wait(descriptor, wake, tell), failed)
    watch.start()
    try:
        yield
    finally:
        wake.close()
        watch.join(1.0)
        os.close(descriptor)


def _belongs_to_parent(aws_cli_only: bool) -> bool:
    if os.getsid(0) == os.getpid():
        return False
    if all(_is_ignored(signum) for signum in IGNORED_BY_AWS_CLI):
        return True
    if aws_cli_only or _is_ignored(signal.SIGHUP) or _is_ignored(signal.SIGINT):
        return False
    return not _in_background()


def _is_ignored(signum: int) -> bool:
    return signal.getsignal(signum) == signal.SIG_IGN


def _in_background() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _open(pid: int) -> Any:
    """A descriptor that becomes readable once the process ends, or None."""
    if hasattr(select, "kqueue"):  # pragma: no cover (macOS)
        return _open_kqueue(pid)
    import ctypes  # most sessions have nobody to watch

    try:
        opened: int = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_OPEN, pid, 0)
    except (OSError, AttributeError):
        return None
    return opened if opened >= 0 else None  # no child inherits it


def _open_kqueue(pid: int) -> Any:  # pragma: no cover (macOS)
    kernel_queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
    try:
        event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
            pid,
            select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
            select.KQ_EV_ADD,  # type: ignore[attr-defined,unused-ignore]
            select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
        )
        kernel_queue.control([event], 0)
        return os.dup(kernel_queue.fileno())
    except OSError:
        return None
    finally:
        kernel_queue.close()


def _wait(descriptor: int, wake: WakePipe, tell: Callable[[Signalled], object]) -> None:
    if not wake.hold():
        return
    try:
        ready = readable([descriptor, wake.reader])
    finally:
        wake.release()
    if wake.reader not in ready:
        tell(Signalled(signal.SIGHUP))
