"""A queue for a thread that waits in a selector."""

import os
import threading
from typing import Any, List


class Inbox:
    """``put`` from any thread; the owner selects ``reader`` and takes everything."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._lock = threading.Lock()
        self._items: List[Any] = []
        self._rung = False
        self._closed = False

    def put(self, item: Any) -> None:
        """Nothing happens once the owner is gone."""
        with self._lock:
            if self._closed:
                return
            self._items.append(item)
            if not self._rung:
                self._rung = True
                os.write(self._writer, b"\0")

    def take(self) -> List[Any]:
        """All items, the oldest first; ``reader`` is quiet until there are more."""
        with self._lock:
            items, self._items = self._items, []
            if self._rung:
                self._rung = False
                os.read(self.reader, 1)
            return items

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.reader)
                os.close(self._writer)
