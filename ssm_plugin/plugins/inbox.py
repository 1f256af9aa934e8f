"""A queue for a thread that waits in a selector."""

import os
import threading
from typing import Generic, List, TypeVar

from ..shortage import explain

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """``put`` from any thread; the owner selects ``reader`` and takes everything."""

    def __init__(self) -> None:
        try:
            self.reader, self._writer = os.pipe()
        except OSError as error:
            raise explain(error) or error from error
        os.set_blocking(self._writer, False)
        self._lock = threading.Lock()
        self._items: List[Item] = []
        self._rung = False
        self._closed = False

    def put(self, item: Item) -> bool:
        """False once the owner is gone: nobody will take it."""
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

    def close(self) -> List[Item]:
        """Take no more; returns what nobody has taken."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.reader)
                os.close(self._writer)
            items, self._items = self._items, []
            return items
