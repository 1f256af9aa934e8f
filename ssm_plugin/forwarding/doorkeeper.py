"""Turns new connections away when a tunnel has been without the service for too long.

Whoever connects shortly after a loss waits in the listening sockets' backlog: most losses last a
second or two. After ``patience`` seconds those that wait, and all that come, are reset, so that a
program learns of the loss, and can try elsewhere, rather than wait without end.
"""

import selectors
import socket
import time
from threading import Lock
from typing import Callable, List, Optional

from ..plugins.local_connection import Connection
from ..terminal.wake import Inbox
from ..transport.worker import Worker, WorkerFailed

# Seconds.
_JOIN_LIMIT = 1.0
_PAUSE = 0.1  # where accepting fails, for want of descriptors for instance


class Doorkeeper:
    """Turns new connections away while nobody serves them. It starts open: others accept from the
    non-blocking ``listeners`` then. A context manager. :meth:`shut` and :meth:`open` are called
    from any thread, any number of times."""

    def __init__(
        self,
        listeners: List[socket.socket],
        patience: float,
        failed: Callable[[WorkerFailed], object],
    ) -> None:
        self._listeners = listeners
        self._patience = patience
        self._lock = Lock()
        self._turns_away_at: Optional[float] = None  # None: it is open
        self._ended = False
        self._inbox: Inbox[None] = Inbox()
        self._worker = Worker("doorkeeper", self._run, failed)

    def __enter__(self) -> "Doorkeeper":
        self._worker.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended = True
        self._inbox.put(None)
        self._worker.join(_JOIN_LIMIT)

    def shut(self) -> None:
        """Nobody serves new connections from now on."""
        with self._lock:
            if self._turns_away_at is None:
                self._turns_away_at = time.monotonic() + self._patience
        self._inbox.put(None)

    def open(self) -> None:
        """They are served again. Once this has returned, none is turned away."""
        with self._lock:
            self._turns_away_at = None
        self._inbox.put(None)

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._inbox.reader, selectors.EVENT_READ)
                while not self._ended:
                    self._wait(selector)
        finally:
            self._inbox.close()

    def _wait(self, selector: selectors.BaseSelector) -> None:
        at = self._turns_away_at
        left = None if at is None else at - time.monotonic()
        if left is None or left > 0:
            selector.select(left)
        else:
            self._turn_away(selector)
        self._inbox.take()

    def _turn_away(self, selector: selectors.BaseSelector) -> None:
        """Turn away the connections that wait, or wait for the next one, unless the state
        changes."""
        for listener in self._listeners:
            selector.register(listener, selectors.EVENT_READ)
        try:
            ready = [key.fileobj for key, _ in selector.select()]
        finally:
            for listener in self._listeners:
                selector.unregister(listener)
        if not all([self._reset_one(one) for one in self._listeners if one in ready]):
            selector.select(_PAUSE)

    def _reset_one(self, listener: socket.socket) -> bool:
        """False if it could not be accepted; it may have gone by itself."""
        with self._lock:
            if self._turns_away_at is None:
                return True  # it is to be served
            try:
                sock, _ = listener.accept()
            except OSError:
                return False
        Connection(sock, 0, 0.0).reset()
        sock.close()
        return True
