"""Pipes that wake a thread which waits for file descriptors, and a queue that does so."""

import os
import selectors
import sys
import threading
from typing import Generic, List, Optional, Sequence, Set, Tuple, Type, TypeVar

from ..shortage import explain

# select() cannot watch descriptors from 1024 up, which a process with many connections has;
# poll() can, but on macOS it does not work for terminals.
Selector: Type[selectors.BaseSelector] = selectors.PollSelector
if sys.platform == "darwin":
    Selector = selectors.SelectSelector


def readable(fds: Sequence[int], timeout: Optional[float] = None) -> Set[int]:
    """Those of ``fds`` that can be read, or have ended; empty after ``timeout`` seconds.

    Raises OSError where a descriptor is not open (macOS; elsewhere it counts as readable).
    """
    with Selector() as selector:
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        return {key.fd for key, _ in selector.select(timeout)}


def writable(fd: int, timeout: Optional[float] = 0.0) -> bool:
    """Whether a short write would not wait; seconds to wait for that, None: without end."""
    with Selector() as selector:
        selector.register(fd, selectors.EVENT_WRITE)
        return bool(selector.select(timeout))


def _new_pipe() -> Tuple[int, int]:
    """Its reading end, and its writing end, which does not block."""
    try:
        reader, writer = os.pipe()
    except OSError as error:
        raise explain(error) or error from error
    os.set_blocking(writer, False)
    return reader, writer


class WakePipe:
    """``reader`` becomes readable, for good, once another thread calls :meth:`close`.

    The number of a descriptor that is closed while a thread waits for it may be used again for
    another file. So the thread that waits, one at a time, holds the pipe meanwhile, and whichever
    of the two is the last closes ``reader``.
    """

    def __init__(self) -> None:
        """LocalError if there are no descriptors left."""
        self.reader, self.writer = _new_pipe()
        self._lock = threading.Lock()
        self._held = False
        self._closed = False

    def hold(self) -> bool:
        """Keep ``reader`` open until :meth:`release`; False if the pipe is closed already."""
        with self._lock:
            self._held = not self._closed
            return self._held

    def release(self) -> None:
        with self._lock:
            self._held = False
            if self._closed:
                os.close(self.reader)

    def close(self) -> None:
        """Wake whoever waits. More calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake()
            if not self._held:
                os.close(self.reader)

    def _wake(self) -> None:
        try:
            # Closing alone is no end of file while a forked process has a copy of the writer.
            os.write(self.writer, b"\0")
        except BlockingIOError:
            pass
        os.close(self.writer)


Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue for a thread that waits in a selector: ``put`` from any thread; the owner selects
    ``reader`` and takes everything."""

    def __init__(self) -> None:
        """LocalError if there are no descriptors left."""
        self.reader, self._writer = _new_pipe()
        self._lock = threading.Lock()
        self._items: List[Item] = []
        self._rung = False
        self._closed = False

    def put(self, item: Item) -> bool:
        """Add an item. False if the owner is gone, so that nobody will take it."""
        with self._lock:
            if self._closed:
                return False
            self._items.append(item)
            if not self._rung:
                self._rung = True
                os.write(self._writer, b"\0")
            return True

    def take(self) -> List[Item]:
        """All items, the oldest first; ``reader`` is quiet until there are more."""
        with self._lock:
            items, self._items = self._items, []
            if self._rung:
                self._rung = False
                os.read(self.reader, 1)
            return items

    @property
    def is_empty(self) -> bool:
        """Whether everything that was put has been taken."""
        return not self._items

    def close(self) -> List[Item]:
        """Take no more; returns what nobody has taken."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.reader)
                os.close(self._writer)
            items, self._items = self._items, []
            return items
