"""Signals as events in a queue, and writes that an ending signal can interrupt.

A Python-level signal handler runs on the main thread between any two bytecodes, also in the
middle of ``queue.get``: a ``put`` from there would wait for a lock that its own thread holds. So
the handlers put nothing. CPython's C-level handler writes each signal's number into a pipe
(``signal.set_wakeup_fd``), and a thread reads it and fills the queue::

    with SignalWatch(events) as watch:
        worker = Worker("signals", watch.forward, events.put)
        worker.start()
        ...
    worker.join(1.0)

Interrupting a write
--------------------

``os.write`` to a pipe that nobody reads, or to a stopped terminal, blocks; Python resumes it after
a signal, unless the handler raises. Inside ``with interruptible():`` it does raise, outside it
never does. When can a signal come?

- Before the block: the handler notes it as pending. Entering raises, until the owner of the
  session has taken the event from the queue and said so with :func:`consumed`.
- Inside, before or during the write: the handler raises.
- Inside, between Python's last look for signals and the system call: the write would block with
  the handler still to run. The forwarding thread sees that the block stays entered, and sends the
  main thread a SIGURG every 50 ms, which breaks the call off so that the handler runs. The same
  helps where the kernel gave the signal to another thread.
- Inside, after the write: it raises although all was written. After :class:`Interrupted` nobody
  knows how much was; the output is to be given up.
"""

import os
import queue
import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Set

from .wake import WakePipe, readable

WATCHED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGWINCH,
    signal.SIGUSR1,
)

# Those that end a session, unless its runner makes something else of one.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

ENDING: FrozenSet[int] = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

# Ignored by default and used by next to nobody, so a stray one does no harm.
_KICK = signal.SIGURG
_KICK_INTERVAL = 0.05


class Signalled(NamedTuple):
    """The event: this signal came. Several of the same may have become one."""

    signum: int


class Interrupted(Exception):
    """A signal ended the ``interruptible()`` block; ``signum`` says which one."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted by signal {}".format(signum))
        self.signum = signum


class _Block:
    """One entered ``interruptible()`` block; told from the next one by identity."""

    def __init__(self, signals: FrozenSet[int]) -> None:
        self.signals = signals


class SignalWatch:
    """While entered, ``signals`` do nothing but put :class:`Signalled` into ``events``.

    They are watched even where they were ignored when we started: the AWS CLI starts us with
    SIGINT and SIGQUIT ignored. SIGHUP alone stays ignored then, for ``nohup`` means that. What
    was there before comes back on exit. Python lets only the main thread do all this: on any
    other the watch does nothing, and signals stay the application's.
    """

    def __init__(self, events: "queue.Queue[Any]", signals: Iterable[int] = WATCHED) -> None:
        self._events = events
        self._signals = tuple(signals)
        self._previous: Dict[int, Any] = {}
        self._wake: Optional[WakePipe] = None
        self._outer_fd = -1
        self._pending: Set[int] = set()
        self._block: Optional[_Block] = None

    def __enter__(self) -> "SignalWatch":
        if _on_main_thread():
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
        """Fill the queue until the watch is left: what the worker "signals" runs."""
        if self._wake is None or not self._wake.hold():
            return
        try:
            self._forward(self._wake.reader)
        finally:
            self._wake.release()

    def consumed(self, signum: int) -> None:
        """The event has been dealt with: ``interruptible()`` may be entered again."""
        self._pending.discard(signum)

    def _install(self, wake: WakePipe) -> None:
        self._outer_fd = signal.set_wakeup_fd(wake.writer)
        _active.append(self)
        for signum in self._signals + (_KICK,):
            previous = signal.getsignal(signum)
            nohup = signum == signal.SIGHUP and previous == signal.SIG_IGN
            # None is a handler that was not set from Python: it could not be put back.
            if previous is not None and not nohup:
                self._previous[signum] = signal.signal(signum, self._on_signal)

    def _uninstall(self, wake: WakePipe) -> None:
        _active.remove(self)
        try:
            # SIGINT, usually the first, comes last: its own handler may raise at once.
            for signum in reversed(list(self._previous)):
                signal.signal(signum, self._previous[signum])
        finally:
            signal.set_wakeup_fd(self._outer_fd)
            wake.close()

    def _on_signal(self, signum: int, frame: Optional[FrameType]) -> None:
        if signum not in ENDING:
            return
        self._pending.add(signum)
        if self._block is not None and signum in self._block.signals:
            self._block = None
            raise Interrupted(signum)

    @contextmanager
    def _interruptible(self, signals: FrozenSet[int]) -> Iterator[None]:
        self._block = _Block(signals)
        try:
            for signum in sorted(self._pending & signals):
                raise Interrupted(signum)
            yield
        finally:
            self._block = None

    def _forward(self, reader: int) -> None:
        stuck: Optional[_Block] = None
        while True:
            if not readable([reader], None if stuck is None else _KICK_INTERVAL):
                stuck = self._kick(stuck)
                continue
            numbers = os.read(reader, 4096)
            for signum in numbers:
                if signum in self._signals:
                    self._events.put(Signalled(signum))
            if not numbers or 0 in numbers:
                return
            block = self._block
            if block is not None and not block.signals.isdisjoint(numbers):
                stuck = block

    def _kick(self, stuck: Optional[_Block]) -> Optional[_Block]:
        if stuck is not self._block:
            return None
        signal.pthread_kill(_main_ident(), _KICK)
        return stuck


# The watches entered, the innermost last. Like the handlers they belong to the whole process.
_active: List[SignalWatch] = []


@contextmanager
def interruptible(signals: FrozenSet[int] = ENDING) -> Iterator[None]:
    """Put this around one blocking write: an ending signal raises :class:`Interrupted` inside.

    On the main thread under a :class:`SignalWatch`; elsewhere it does nothing. ``signals`` may
    leave some of :data:`ENDING` out, such as a SIGINT that the node is to get.
    """
    if not _active or not _on_main_thread():
        yield
        return
    with _active[-1]._interruptible(signals):
        yield


def consumed(signum: int) -> None:
    """The owner of the session has dealt with this signal: output may go on being written."""
    if _active:
        _active[-1].consumed(signum)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _main_ident() -> int:
    ident = threading.main_thread().ident
    assert ident is not None, "the main thread has been started"
    return ident
