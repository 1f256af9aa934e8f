"""The thread that accepts local connections, reads them, and closes them.

What it reads goes to the uplink, which waits while the session's window is full; this thread does
nothing else that could wait, so that its sockets are read as fast as the session takes their data.

The end of a connection
-----------------------

FIN, and DisconnectToPort, end both directions at the node: there is no half-close. So:

- The node ends it: what has arrived is written, the peer is told the end, and what it still sends
  is thrown away until it closes, too, or ``LINGER`` seconds have passed. Closing at once could
  destroy what the peer has not read yet.
- The peer is gone (it closed its socket, or reset the connection): the node is told at once, behind
  the data.
- The peer has finished sending but waits for its answer (``nc -N``): the node is told when the node
  has ended it, when the peer is gone, or when nothing has come for ``GRACE`` seconds and some
  program at the node may be waiting for the end of its input. Where the system cannot tell such a
  peer from one that is gone, ``blind_grace`` takes the place of ``GRACE``. A grace of 0 makes the
  end of a peer's data the end of everything, and a ``linger`` of 0 closes at once: so do agents
  with their targets.
"""

import errno
import selectors
import socket
import threading
import time
from typing import Any, Callable, List, Optional, Set, Union

from ..errors import LocalError, SessionLost
from ..net.connect import send_at_once
from ..net.local_end import LocalEnd
from ..session.events import RunnerEvent
from ..terminal.wake import Inbox
from ..transport.worker import Worker, WorkerFailed
from .local_connection import Connection
from .local_writer import LocalWriter
from .peer import PeerLookup

# Seconds.
GRACE = 30.0
LINGER = 5.0
_FIRST_CHECK = 0.01  # a closing peer lets go of its socket a moment after we see the end
_LONGEST_CHECK = 1.0
_ACCEPT_PAUSE = 1.0
_SHORTAGE_INTERVAL = 60.0  # until a shortage is reported again

_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Accepted(RunnerEvent):
    """A local connection was accepted, the ``number``-th of this session."""

    def __init__(self, number: int) -> None:
        self.number = number


class Shortage(RunnerEvent):
    """No more connections can be accepted for now; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Uplink:
    """Where the reader's data goes. Called in the reader's thread alone."""

    @property
    def piece(self) -> int:
        """Bytes to read at a time."""
        return 65536

    def opened(self, sock: socket.socket) -> Connection:
        """A local connection was accepted."""
        raise NotImplementedError

    def send(self, connection: Connection, data: bytes) -> None:
        """Send this to the node. Blocks while the window is full; SessionLost if the session ends
        first."""
        raise NotImplementedError

    def closed(self, connection: Connection) -> None:
        """Tell the node, if it does not know, that the connection is over, behind its data."""
        raise NotImplementedError


class LocalReader:
    """``limit`` is how many connections may be open at once. Connections that were not accepted
    here come through :meth:`add`, non-blocking. ``tell`` gets the events, in this thread.
    """

    def __init__(
        self,
        uplink: Uplink,
        inbox: "Inbox[Optional[Connection]]",
        writer: LocalWriter,
        tell: Callable[[Union[Accepted, Shortage, WorkerFailed]], object],
        local_end: Optional[LocalEnd] = None,
        limit: float = float("inf"),
        grace: float = GRACE,
        blind_grace: float = GRACE,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uplink = uplink
        self._inbox = inbox
        self._writer = writer
        self._tell = tell
        self._listeners: List[socket.socket] = local_end.sockets if local_end else []
        self._limit = limit
        self._grace = grace
        self._blind_grace = blind_grace
        self._linger = linger
        self._clock = clock
        self._connections: Set[Connection] = set()
        self._ending: Set[Connection] = set()  # those that have a ``check_at``
        self._accepted = 0
        self._listening = False
        self._held_back = False
        self._accept_at: Optional[float] = None
        self._started = False
        self._stopped = threading.Event()
        self._shortage_at = float("-inf")  # when it was told
        self._peers = PeerLookup()
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox.reader, selectors.EVENT_READ)
        self._worker = Worker("local-reader", self._run, tell)

    def start(self) -> None:
        self._listen(True)
        self._worker.start()
        self._started = True

    def add(self, connection: Connection) -> None:
        """Read this one, too. From any thread."""
        if not self._inbox.put(connection) and connection.sock is not None:
            connection.sock.close()

    def hold_back(self, wanted: bool) -> None:
        """Whether to leave new connections in the backlog. From any thread; soon afterwards."""
        self._held_back = wanted
        self._inbox.put(None)

    def stop(self, seconds: float) -> bool:
        """Close all connections and end the thread, within ``seconds``. One that waits for room in
        the window does it when the channel is closed, and False is returned."""
        self._stopped.set()
        self._inbox.put(None)
        if not self._started:
            self._finish()
        return self._worker.join(seconds)

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                for key, _ in self._selector.select(self._timeout()):
                    self._ready(key.fileobj, key.data)
                self._look_after_time()
        except SessionLost:
            # The session ended with local input unsent, and says so itself. What came for the peers
            # is still being written, so their connections stay.
            self._stopped.wait()
        finally:
            self._finish()

    def _ready(self, source: Any, connection: Optional[Connection]) -> None:
        if connection is not None:
            # Another event of the same batch may have ended it.
            if not connection.closed and connection.input_ended_at is None:
                self._read(connection)
        elif source == self._inbox.reader:
            for changed in self._inbox.take():
                if changed is not None:
                    self._attend(changed)
            self._listen_if_possible()
        elif self._listening and not self._held_back:
            self._accept(source)

    # Beginning

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:
            self._cannot_accept(error)
            return
        sock.setblocking(False)
        send_at_once(sock)
        self._register(self._uplink.opened(sock))
        self._accepted += 1
        self._tell(Accepted(self._accepted))

    def _cannot_accept(self, error: OSError) -> None:
        if error.errno in _SHORTAGE:
            # The listener stays readable: without a pause this would be a loop that only burns.
            self._listen(False)
            now = self._clock()
            self._accept_at = now + _ACCEPT_PAUSE
            if now - self._shortage_at >= _SHORTAGE_INTERVAL:
                self._shortage_at = now
                self._tell(Shortage(error.strerror or str(error)))
        elif error.errno in (errno.EBADF, errno.EINVAL) and not self._stopped.is_set():
            raise LocalError("the local port was closed while the session used it") from error
        # Else the connection was gone before we took it.

    def _register(self, connection: Connection) -> None:
        assert connection.sock is not None
        self._connections.add(connection)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        if len(self._connections) >= self._limit:
            self._listen(False)

    def _listen_if_possible(self) -> None:
        self._listen(
            not self._held_back
            and self._accept_at is None
            and len(self._connections) < self._limit
        )

    def _listen(self, wanted: bool) -> None:
        if wanted != self._listening:
            self._listening = wanted
            for listener in self._listeners:
                if wanted:
                    self._selector.register(listener, selectors.EVENT_READ)
                else:
                    self._selector.unregister(listener)

    # In between

    def _read(self, connection: Connection) -> None:
        assert connection.sock is not None
        try:
            data = connection.sock.recv(self._uplink.piece)
        except BlockingIOError:
            return
        except OSError:  # reset
            self._end_input(connection)
            self._tell_end(connection, dropped=True)
            return
        if data:
            self._uplink.send(connection, data)
        else:
            self._end_input(connection)
            self._consider(connection)

    # Ending

    def _end_input(self, connection: Connection) -> None:
        assert connection.sock is not None
        self._selector.unregister(connection.sock)
        connection.input_ended_at = self._clock()

    def _attend(self, connection: Connection) -> None:
        """Look after a connection that is new, that the writer is done with, or whose peer takes no
        more."""
        if connection.closed or connection.sock is None:
            return
        if connection not in self._connections:
            self._register(connection)
        if connection.input_ended_at is not None:
            self._consider(connection)
        elif connection.written and (connection.dropped or not self._linger):
            self._close(connection)
        elif connection.written:
            self._check_in(connection, self._linger)

    def _consider(self, connection: Connection) -> None:
        """The peer sends no more: close, tell the node, or wait."""
        if connection.written:
            self._close(connection)
        elif connection.dropped:
            self._tell_end(connection, dropped=True)
        elif connection.output_ended:
            self._check_in(connection, None)  # until everything is written
        else:
            self._wait_or_tell(connection)

    def _wait_or_tell(self, connection: Connection) -> None:
        assert connection.sock is not None and connection.input_ended_at is not None
        gone = self._peers.is_gone(connection.sock)
        grace = self._blind_grace if gone is None else self._grace
        quiet = self._clock() - max(connection.moved_at, connection.input_ended_at)
        if gone or not grace:
            self._tell_end(connection, dropped=True)
        elif quiet >= grace and not connection.held:
            self._tell_end(connection, dropped=False)
        else:
            connection.check_after = min(
                max(2 * connection.check_after, _FIRST_CHECK), _LONGEST_CHECK
            )
            self._check_in(connection, connection.check_after)

    def _tell_end(self, connection: Connection, dropped: bool) -> None:
        """Closed when the writer has heard of it."""
        self._check_in(connection, None)
        if not connection.output_ended:
            self._uplink.closed(connection)
        if dropped:
            self._writer.drop(connection)
        else:
            self._writer.end(connection)

    def _close(self, connection: Connection) -> None:
        assert connection.sock is not None
        self._check_in(connection, None)
        self._connections.discard(connection)
        if connection.input_ended_at is None:
            self._selector.unregister(connection.sock)
        connection.closed = True
        connection.sock.close()
        self._listen_if_possible()

    # Time

    def _check_in(self, connection: Connection, seconds: Optional[float]) -> None:
        """Look at it again so many seconds from now, or not at all."""
        if seconds is None:
            connection.check_at = None
            self._ending.discard(connection)
        else:
            connection.check_at = self._clock() + seconds
            self._ending.add(connection)

    def _timeout(self) -> Optional[float]:
        times = [connection.check_at for connection in self._ending]
        due = min((time for time in times + [self._accept_at] if time is not None), default=None)
        return None if due is None else max(0.0, due - self._clock())

    def _look_after_time(self) -> None:
        now = self._clock()
        if self._accept_at is not None and now >= self._accept_at:
            self._accept_at = None
            self._listen_if_possible()
        for connection in list(self._ending):
            if connection.check_at is not None and now >= connection.check_at:
                if connection.input_ended_at is None:
                    self._close(connection)  # it was told the end, and has lingered
                else:
                    self._consider(connection)

    def _finish(self) -> None:
        """Close all that is left. Nobody writes to the sockets any more."""
        self._selector.close()
        self._peers.close()
        for left in self._inbox.close():
            if left is not None and left.sock is not None and not left.closed:
                self._connections.add(left)
        for connection in self._connections:
            # A peer must not take the end of the session for the end of its data. An agent's
            # targets see a plain end.
            if self._linger and (connection.cut or not connection.written):
                connection.reset()
            connection.closed = True
            if connection.sock is not None:
                connection.sock.close()
        self._connections.clear()
