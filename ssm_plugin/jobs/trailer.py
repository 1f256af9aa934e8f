"""The exit status as the last thing in a command's output: found, taken out, never shown."""

import re
from typing import Optional

# A status of at most three digits, a plus and the line's end.
_TAIL = 5

# Bytes. So much of a marker cannot be anything else.
_CERTAIN = 16


class Trailer:
    """``marker`` is random, and nobody but the wrapper around the command can print it: the
    command line holds its two halves the other way round. What follows it is ``:STATUS``, a plus
    where output is live (``was_live``), and a newline.

    The stream goes through :meth:`feed` piece by piece; only what may be the beginning of the
    trailer is held back, so output stays live. Memory is bounded by the length of the trailer.
    """

    def __init__(self, marker: bytes) -> None:
        self.status: Optional[int] = None
        self.was_live = False
        self._marker = marker
        self._trailer = re.compile(re.escape(marker) + br":([0-9]{1,3})(\+?)\n")
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream so far is output for certain, and was not returned before."""
        if self.status is not None:
            return data
        data = self._held + data
        found = self._trailer.search(data)
        if found:
            self._held = b""
            self.status = int(found.group(1)) & 0xFF
            self.was_live = bool(found.group(2))
            return data[:found.start()] + data[found.end():]
        keep = self._undecided(data)
        self._held = data[keep:]
        return data[:keep]

    def rest(self) -> bytes:
        """At the end of the stream: what was held back and is no trailer, not even half of one."""
        rest, self._held = self._held, b""
        return b"" if len(rest) >= _CERTAIN else rest

    def _undecided(self, data: bytes) -> int:
        """Where the earliest beginning of a trailer stands that may still be completed."""
        longest = len(self._marker) + 1 + _TAIL
        start = data.find(self._marker[:1], max(0, len(data) - longest + 1))
        while start >= 0:
            piece = data[start:start + len(self._marker)]
            if self._marker.startswith(piece):
                return start
            start = data.find(self._marker[:1], start + 1)
        return len(data)
