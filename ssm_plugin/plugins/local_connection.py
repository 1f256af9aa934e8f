"""One local connection of a port session, and the count of what local peers have not taken yet."""

import socket
import struct
import threading
from collections import deque
from typing import Callable, Deque, Optional

from ..transport.data_channel import LOW_WATER

# Bytes for local peers that may be kept before they count as undelivered at the channel. With what
# the channel itself lets pile up (8 MiB, and half of that while it reads on) one peer that does not
# read can fall 28 MiB behind before it holds up the others, and we never keep more than 32.
RESERVE = 24 * 1024 * 1024

# Small pieces are joined up to this size: each has a price of its own, in memory and in calls.
_JOINED = 16384

_NO_LINGER = struct.pack("ii", 1, 0)


class Connection:
    """``sock`` is non-blocking; None while it is still being connected (at a node).

    What waits to be written, and the flags about it, are guarded by the writer's lock; the rest
    belongs to the reader's thread, which also closes the socket.
    """

    __slots__ = (
        "sock",
        "stream_id",
        "pieces",
        "held",
        "scheduled",
        "output_ended",
        "cut",
        "dropped",
        "written",
        "moved_at",
        "input_ended_at",
        "check_at",
        "check_after",
        "closed",
    )

    def __init__(self, sock: Optional[socket.socket], stream_id: int, now: float) -> None:
        self.sock = sock
        self.stream_id = stream_id
        self.pieces: Deque[bytearray] = deque()
        self.held = 0  # bytes that the peer has not taken
        self.scheduled = False  # at the writer
        self.output_ended = False  # nothing more will come for it
        self.cut = False  # what came is not all: its peer is told no end
        self.dropped = False  # nobody takes what comes
        self.written = False  # the writer is done with it
        self.moved_at = now  # when data for it last came or went
        self.input_ended_at: Optional[float] = None
        self.check_at: Optional[float] = None
        self.check_after = 0.0
        self.closed = False

    def append(self, data: bytes) -> None:
        self.held += len(data)
        # The first piece may be half way out; it must not change.
        if len(self.pieces) > 1 and len(self.pieces[-1]) + len(data) <= _JOINED:
            self.pieces[-1] += data
        else:
            self.pieces.append(bytearray(data))

    def remove(self, size: int) -> None:
        """``size`` bytes of the first piece have gone."""
        self.held -= size
        if size == len(self.pieces[0]):
            self.pieces.popleft()
        else:
            del self.pieces[0][:size]

    def clear(self) -> int:
        """Forget what waits; returns how much it was."""
        self.pieces.clear()
        held, self.held = self.held, 0
        return held

    def reset(self) -> None:
        """Let the close to come tell the peer that something is missing (TCP: RST)."""
        if self.sock is not None and self.sock.family != socket.AF_UNIX:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            except OSError:
                pass  # the connection is gone already


class Holdings:
    """Tells the channel by ``delivered(size)`` that there is room for more: at once while less than
    ``reserve`` bytes are kept here, and for the rest once it was written."""

    def __init__(self, delivered: Callable[[int], None], reserve: int = RESERVE) -> None:
        self._delivered = delivered
        self._reserve = reserve
        self._held = 0
        self._lock = threading.Lock()

    def came(self, size: int, kept: int) -> None:
        """``size`` bytes were taken from the channel, ``kept`` of them wait for a peer."""
        self._tell(size - self._add(kept))

    def left(self, size: int) -> None:
        """``size`` bytes do not wait any more."""
        self._tell(-self._add(-size))

    @property
    def is_full(self) -> bool:
        """Whether so much is kept that the channel, once it has stopped, does not read on."""
        return self._held - self._reserve > LOW_WATER

    def _add(self, size: int) -> int:
        """Returns how many more bytes the channel now counts."""
        with self._lock:
            before = max(0, self._held - self._reserve)
            self._held += size
            return max(0, self._held - self._reserve) - before

    def _tell(self, size: int) -> None:
        if size:
            self._delivered(size)
