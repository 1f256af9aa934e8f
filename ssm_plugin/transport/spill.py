"""Output that waits for a slow reader, in a temporary file: a node that ends a command gives its
last output four seconds to be acknowledged, so that must not wait for the reader.

The events stay in their queue, in their order; what is in the file is only their data. Neighbours
of one type become one event.
"""

import errno
import os
import threading
from typing import IO, List, Optional, Union

from ..channel.events import Output

# Bytes in one file, which goes as soon as all of it has been read.
SEGMENT = 16 * 1024 * 1024

# Bytes that one event may stand for.
PIECE = 256 * 1024


class _Segment:
    """One file, without a name. The lock of the spill guards it."""

    def __init__(self) -> None:
        import tempfile  # takes long to load, and most readers are fast enough

        self.file: IO[bytes] = tempfile.TemporaryFile(buffering=0, prefix="ssm-plugin-")
        self.written = 0
        self.unread = 0

    @property
    def is_full(self) -> bool:
        return self.written >= SEGMENT

    def add(self, data: bytes) -> None:
        self.file.seek(self.written)
        if self.file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += len(data)
        self.unread += len(data)

    def take(self, start: int, size: int) -> bytes:
        self.file.seek(start)
        data = self.file.read(size)
        self.unread -= size
        return data


class Spilled:
    """The event: output whose data is in the file. :meth:`load` it once, in its turn."""

    def __init__(self, spill: "Spill", segment: _Segment, payload_type: int) -> None:
        self.payload_type = payload_type
        self.start = segment.written
        self.size = 0
        self.segment = segment
        self._spill = spill

    def load(self) -> Output:
        return Output(self.payload_type, self._spill.read(self))


class Spill:
    """Any thread may :meth:`keep`, one reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: List[_Segment] = []
        self._last: Optional[Spilled] = None
        self._closed = False

    def keep(self, event: Output) -> "Union[Output, Spilled, None]":
        """What is to be put into the queue in place of ``event``: a :class:`Spilled`, or nothing if
        the one before it stands for this one too, or ``event`` itself where the file takes no more.
        """
        with self._lock:
            if self._closed:
                return event
            try:
                return self._keep(event)
            except (OSError, ImportError):  # a full disk: memory has to do
                self._last = None
                return event

    def other(self) -> None:
        """Another event comes into the queue: what follows it is not to be put before it."""
        with self._lock:
            self._last = None

    def read(self, spilled: Spilled) -> bytes:
        with self._lock:
            if self._last is spilled:
                self._last = None
            if self._closed:
                return b""
            segment = spilled.segment
            data = segment.take(spilled.start, spilled.size)
            if not segment.unread:
                self._segments.remove(segment)
                segment.file.close()
            return data

    def close(self) -> None:
        """Drop what was not read."""
        with self._lock:
            self._closed = True
            self._last = None
            for segment in self._segments:
                segment.file.close()
            self._segments = []

    def _keep(self, event: Output) -> "Optional[Spilled]":
        if not self._segments or self._segments[-1].is_full:
            self._segments.append(_Segment())
            self._last = None
        segment, last = self._segments[-1], self._last
        if last and (last.payload_type != event.payload_type or last.size >= PIECE):
            last = None
        spilled = last or Spilled(self, segment, event.payload_type)
        segment.add(event.data)
        spilled.size += len(event.data)
        self._last = spilled
        return None if last else spilled
