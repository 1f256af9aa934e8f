"""Signals as events, told by a thread of their own.

A Python-level signal handler runs on the main thread between any two bytecodes, also in the
middle of ``queue.put``: a ``put`` from there would wait for a lock that its own thread holds. So
the handlers do nothing. CPython's C-level handler writes each signal's number into a pipe
(``signal.set_wakeup_fd``), and a thread reads it and tells what came::

    with SignalWatch(tell) as watch:
        worker = Worker("signals", watch.forward, …)
        worker.start()
        ...
    worker.join(1.0)
"""

import os
import signal
import threading
from types import FrameType
from typing import Any, Callable, Dict, Iterable, Optional

from ..named_tuple import NamedTuple
from .wake import WakePipe, readable

WATCHED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGWINCH,
    signal.SIGCONT,
    signal.SIGUSR1,
)

# Those that end a session, unless its runner makes something else of one.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Signalled(NamedTuple):
    """The event: this signal came. Several of the same may have become one."""

    signum: int


class SignalWatch:
    """While entered, ``signals`` do nothing but be told to ``tell``, as :class:`Signalled`.

    They are watched even where they were ignored when we started: the AWS CLI starts us with
    SIGINT and SIGQUIT ignored. SIGHUP alone stays ignored then, for ``nohup`` means that. What
    was there before comes back on exit. Python lets only the main thread do all this: on any
    other the watch does nothing, and signals stay the application's.
    """

    def __init__(
        self, tell: Callable[[Signalled], object], signals: Iterable[int] = WATCHED
    ) -> None:
        self._tell = tell
        self._signals = tuple(signals)
        self._previous: Dict[int, Any] = {}
        self._wake: Optional[WakePipe] = None
        self._outer_fd = -1

    def __enter__(self) -> "SignalWatch":
        if threading.current_thread() is threading.main_thread():
            self._wake = WakePipe()
            try:
                self._install(self._wake)
            # A safety net: ``__exit__`` does not follow an ``__enter__`` that raised.
            except BaseException:
                self._uninstall(self._wake)
                raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._wake is not None:
            self._uninstall(self._wake)

    def forward(self) -> None:
        """Tell what comes until the watch is left: what the worker "signals" runs."""
        if self._wake is None or not self._wake.hold():
            return
        try:
            while self._tell_some(self._wake.reader):
                pass
        finally:
            self._wake.release()

    def _tell_some(self, reader: int) -> bool:
        """Wait for signals and tell them. False once the watch is left, which writes a zero."""
        readable([reader])
        numbers = os.read(reader, 4096)
        for signum in numbers:
            if signum in self._signals:
                self._tell(Signalled(signum))
        return bool(numbers) and 0 not in numbers

    def _install(self, wake: WakePipe) -> None:
        self._outer_fd = signal.set_wakeup_fd(wake.writer)
        for signum in self._signals:
            previous = signal.getsignal(signum)
            nohup = signum == signal.SIGHUP and previous == signal.SIG_IGN
            # None is a handler that was not set from Python: it could not be put back.
            if previous is not None and not nohup:
                self._previous[signum] = signal.signal(signum, _do_nothing)

    def _uninstall(self, wake: WakePipe) -> None:
        try:
            # SIGINT, usually the first, comes last: its own handler may raise at once.
            for signum in reversed(list(self._previous)):
                signal.signal(signum, self._previous[signum])
        finally:
            signal.set_wakeup_fd(self._outer_fd)
            wake.close()


def _do_nothing(signum: int, frame: Optional[FrameType]) -> None:
    """A handler has to be there, for signals that are ignored are not written into the pipe."""
