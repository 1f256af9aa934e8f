"""The thread that writes to local sockets, each from a buffer of its own.

All sockets are non-blocking: one whose peer does not read is left alone until it does, and holds up
nobody. What is kept is bounded by the channel, which stops reading while too much has not left.
"""

import selectors
import socket
import threading
import time
from typing import Callable, Optional

from ..terminal.wake import Inbox
from ..transport.worker import Worker, WorkerFailed
from .local_connection import Connection, Holdings

# Writes to one peer before the others have their turn.
_TURN = 8

_FINISH = None  # in the inbox: leave when nothing is left, or at once if told so


class LocalWriter:
    """``done`` gets a connection when all has been written, or when its peer takes no more."""

    def __init__(
        self,
        holdings: Holdings,
        done: "Inbox[Optional[Connection]]",
        failed: Callable[[WorkerFailed], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holdings = holdings
        self._done = done
        self._clock = clock
        self._lock = threading.Lock()
        self._inbox: Inbox[Optional[Connection]] = Inbox()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inbox.reader, selectors.EVENT_READ)
        self._started = False
        self._finishing = False
        self._aborted = False
        self._worker = Worker("local-writer", self._run, failed)

    def start(self) -> None:
        self._worker.start()
        self._started = True

    def put(self, connection: Connection, data: bytes) -> int:
        """Write ``data`` when there is room. Returns how much is kept: nothing if the peer takes
        no more."""
        with self._lock:
            if connection.dropped or connection.output_ended:
                return 0
            connection.append(data)
            connection.moved_at = self._clock()
            self._schedule(connection)
        return len(data)

    def connected(self, connection: Connection, sock: socket.socket) -> None:
        """Write to ``sock`` from now on what the connection has kept."""
        with self._lock:
            connection.sock = sock
            self._schedule(connection)

    def end(self, connection: Connection) -> None:
        """Tell the peer the end, after what was put."""
        with self._lock:
            connection.output_ended = True
            self._schedule(connection)

    def cut(self, connection: Connection) -> None:
        """Write what was put, and do not tell the peer that this is the end, unless that was told
        before. Whoever gets the connection from ``done`` resets it."""
        with self._lock:
            if not connection.output_ended:
                connection.cut = connection.output_ended = True
            self._schedule(connection)

    def drop(self, connection: Connection) -> None:
        """Forget what was put: the connection is over for its peer."""
        with self._lock:
            connection.output_ended = connection.dropped = True
            self._schedule(connection)

    def stop(self, seconds: float) -> None:
        """End the thread: within ``seconds`` once nothing is left to write, then in any case."""
        self._finishing = True
        self._inbox.put(_FINISH)
        if not self._started:
            self._release()
        elif not seconds or not self._worker.join(seconds):
            self._aborted = True
            self._inbox.put(_FINISH)
            self._worker.join(1.0)

    def _schedule(self, connection: Connection) -> None:
        """The caller holds the lock."""
        if not connection.scheduled:
            connection.scheduled = True
            self._inbox.put(connection)

    def _run(self) -> None:
        try:
            while not self._aborted and not self._is_finished():
                for key, _ in self._selector.select():
                    if key.data is None:
                        for connection in self._inbox.take():
                            if connection is not _FINISH:
                                self._attend(connection)
                    else:
                        self._attend(key.data)
        finally:
            self._release()

    def _release(self) -> None:
        self._selector.close()
        self._inbox.close()

    def _is_finished(self) -> bool:
        only_inbox = len(self._selector.get_map()) == 1
        return self._finishing and only_inbox and self._inbox.is_empty

    def _attend(self, connection: Connection) -> None:
        with self._lock:
            connection.scheduled = False
            dropped = connection.dropped
        if connection.written or (connection.sock is None and not dropped):
            return
        if not dropped and not self._write(connection, connection.sock):
            return
        self._watch(connection, False)
        with self._lock:
            rest = connection.clear() if connection.dropped else connection.held
            dropped = connection.dropped
            if dropped and rest:
                self._holdings.left(rest)
            written = connection.output_ended and (dropped or not rest)
            if rest and not dropped:
                self._schedule(connection)
        if written and not dropped and not connection.cut:
            self._end(connection.sock)
        connection.written = written  # from now on it may be closed
        if written or dropped:
            self._done.put(connection)

    def _write(self, connection: Connection, sock: Optional[socket.socket]) -> bool:
        """Whether nothing is left, or nobody to take it."""
        assert sock is not None
        for _ in range(_TURN):
            with self._lock:
                if not connection.pieces:
                    return True
                piece = connection.pieces[0]
            try:
                sent = sock.send(piece)
            except BlockingIOError:
                break
            except OSError:  # EPIPE, ECONNRESET: the peer is gone, or does not read any more
                connection.dropped = True
                return True
            with self._lock:
                connection.remove(sent)
                connection.moved_at = self._clock()
            self._holdings.left(sent)
        self._watch(connection, True)
        return False

    def _watch(self, connection: Connection, wanted: bool) -> None:
        sock = connection.sock
        if sock is None or (sock in self._selector.get_map()) == wanted:
            return
        if wanted:
            self._selector.register(sock, selectors.EVENT_WRITE, connection)
        else:
            self._selector.unregister(sock)

    @staticmethod
    def _end(sock: Optional[socket.socket]) -> None:
        assert sock is not None
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was faster
