"""Holds up the reader while too much output waits for a slow consumer."""

import threading


class Gate:
    """Closes when ``high`` bytes are undelivered, opens again at ``low``."""

    def __init__(self, high: int, low: int) -> None:
        self._high = high
        self._low = low
        self._undelivered = 0
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()

    def add(self, size: int) -> None:
        with self._lock:
            self._undelivered += size
            if self._undelivered >= self._high:
                self._open.clear()

    def remove(self, size: int) -> None:
        with self._lock:
            self._undelivered -= size
            if self._undelivered <= self._low:
                self._open.set()

    def wait(self) -> bool:
        """Wait until the gate is open; whether it had been closed."""
        if self._open.is_set():
            return False
        self._open.wait()
        return True

    def force_open(self) -> None:
        """Nothing waits here any more: the channel is being closed."""
        with self._lock:
            self._high = 1 << 62
            self._open.set()

    @property
    def is_closed(self) -> bool:
        return not self._open.is_set()
