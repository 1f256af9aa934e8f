"""The thread that accepts and reads the local connections of a fast tunnel.

Here the end of one direction is told to the node, and the other one goes on: a connection is closed
when both have ended, or when either side is gone. Either way the writer is done with it first: what
has come is written, unless nobody takes it.
"""

import selectors
from typing import Any, Callable, Optional

from ..plugins.local_connection import Connection
from ..plugins.local_reader import LocalReader
from .streams import RelayConnection, RelayStreams


class RelayReader(LocalReader):
    """A connection is accepted where there is a secret for it, and read where its target is
    connected and there is room for more."""

    def __init__(self, streams: RelayStreams, *others: Any) -> None:
        super().__init__(streams, *others)
        self._streams = streams
        self._retired: Optional[Callable[[], object]] = None
        self._has_retired = False

    def look_again(self) -> None:
        """Look again whether there is a secret. From any thread."""
        self._inbox.put(None)

    def retire(self, retired: Callable[[], object]) -> None:
        """As soon as no connection is open, accept none any more, and call ``retired``. From any
        thread."""
        self._retired = retired
        self._inbox.put(None)

    def _listen(self, wanted: bool) -> None:
        if self._retired is not None and not self._connections and not self._has_retired:
            self._has_retired = True
            self._retired()
        super()._listen(wanted and not self._has_retired and self._streams.reserve())

    def _register(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._listen_if_possible()

    def _attend(self, connection: Connection) -> None:
        assert isinstance(connection, RelayConnection)
        if connection.closed:
            return
        if connection.written and connection.dropped:  # the local peer is gone
            if not connection.broken:
                self._streams.break_off(connection)
            self._close(connection)
        elif connection.written and connection.broken:  # the target is gone
            connection.reset()
            self._close(connection)
        elif connection.written and connection.input_ended_at is not None:  # both have ended
            self._close(connection)
        elif connection.dropped:  # the writer has met the loss: let it be done with it
            self._writer.drop(connection)
        else:
            self._watch(connection)

    def _read(self, connection: Connection) -> None:
        assert isinstance(connection, RelayConnection) and connection.sock is not None
        try:
            data = connection.sock.recv(min(self._streams.piece, connection.credit.left))
        except BlockingIOError:
            return
        except OSError:  # reset
            self._writer.drop(connection)
            return
        if data:
            self._streams.send(connection, data)
        else:
            connection.input_ended_at = self._clock()
            self._streams.finish(connection)
        self._attend(connection)

    def _watch(self, connection: RelayConnection) -> None:
        assert connection.sock is not None
        reads = connection.input_ended_at is None and not connection.broken
        wanted = connection.opened and reads and connection.credit.left > 0
        if wanted != (connection.sock in self._selector.get_map()):
            if wanted:
                self._selector.register(connection.sock, selectors.EVENT_READ, connection)
            else:
                self._selector.unregister(connection.sock)

    def _close(self, connection: Connection) -> None:
        assert connection.sock is not None
        self._connections.discard(connection)
        if connection.sock in self._selector.get_map():
            self._selector.unregister(connection.sock)
        connection.closed = True
        connection.sock.close()
        self._streams.closed(connection)
        self._listen_if_possible()
