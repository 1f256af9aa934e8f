"""An in-memory connection between the gateway and an agent.

Each end has the methods of a WebSocket connection, so that an agent is a data channel over one.
Like TCP, it is bounded (in bytes; ``send`` waits for room), and what was sent before the end still
arrives.
"""

import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple

from ..errors import ConnectionLost

LIMIT = 256 * 1024


class _Pipe:
    """One direction. ``ended``: the writer is done; ``broken``: the reader is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._messages: Deque[bytes] = deque()
        self._size = 0
        self._nudged = False
        self._ended: Optional[str] = None
        self._broken = False

    def put(self, messages: Sequence[bytes]) -> None:
        with self._changed:
            while self._size >= self._limit and not self._over():
                self._changed.wait()
            if self._over():
                raise ConnectionLost("the link between gateway and agent has ended")
            self._messages.extend(messages)
            self._size += sum(map(len, messages))
            self._changed.notify_all()

    def take(self) -> List[bytes]:
        with self._changed:
            while not (self._messages or self._nudged or self._over()):
                self._changed.wait()
            if self._broken or not (self._messages or self._nudged):
                raise ConnectionLost("the link between gateway and agent has ended")
            messages = list(self._messages)
            self._messages.clear()
            self._size = 0
            self._nudged = False
            self._changed.notify_all()
            return messages

    def nudge(self) -> None:
        """Let ``take`` return, with nothing if nothing is there."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def end(self, reason: str, last: Sequence[bytes]) -> None:
        with self._changed:
            if not self._over():
                self._ended = reason
                self._messages.extend(last)
            self._changed.notify_all()

    def break_off(self) -> None:
        with self._changed:
            self._broken = True
            self._messages.clear()
            self._changed.notify_all()

    @property
    def end_reason(self) -> str:
        return self._ended or ""

    def _over(self) -> bool:
        return self._ended is not None or self._broken


class PipeEnd:
    """One end. ``receive``, ``send`` raise :class:`ConnectionLost` once either end has aborted."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def receive(self) -> List[bytes]:
        """All messages that have arrived. Waits for one, or for the answer to a ping."""
        return self._incoming.take()

    def send(self, messages: Sequence[bytes]) -> None:
        """Waits while more than the limit is unread at the other end."""
        if messages:
            self._outgoing.put(messages)

    def answer_through(self, post: Callable[[bytes], object]) -> None:
        """Pings are answered at once, by themselves."""

    def ping(self) -> None:
        """Answered at once by a ``receive`` that returns nothing, or what there is."""
        self._incoming.nudge()

    def farewell(self) -> None:
        """Nothing to say: ``abort`` loses nothing that was sent."""

    def abort(self, reason: str = "", last: Sequence[bytes] = ()) -> None:
        """End the link from this side, without waiting for room for the ``last`` messages.

        ``reason`` is what the other end reads as ``peer_reason``.
        """
        self._outgoing.end(reason, last)
        self._incoming.break_off()

    def close(self) -> None:
        self.abort()

    @property
    def peer_reason(self) -> str:
        """Why the other end ended the link; empty before that, or for no reason given."""
        return self._incoming.end_reason


def link_pair(limit: int = LIMIT) -> Tuple[PipeEnd, PipeEnd]:
    """The two ends of a new link; ``limit`` is in bytes, for each direction."""
    one, other = _Pipe(limit), _Pipe(limit)
    return PipeEnd(one, other), PipeEnd(other, one)
