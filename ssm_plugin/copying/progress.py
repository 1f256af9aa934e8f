"""The line that a person sees while a file is copied: as scp's and rsync's."""

import os
import threading
import time
from typing import Callable, Optional, Tuple

from ..display import cut, encoded, fitted, shown, width_of
from ..terminal.status_line import INTERVAL
from .options import CopyProgress

# Columns for the name, on a narrow terminal fewer, and for the figures behind it.
NAME, LEAST_NAME, FIGURES = 36, 8, 38

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(size: float) -> str:
    """``1.5 MiB``: at most four digits."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return ("%d %s" if unit == 0 else "%.1f %s") % (size, _UNITS[unit])


def time_text(seconds: float) -> str:
    """``01:05``, or with hours ``1:01:05``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    text = "%02d:%02d" % divmod(rest, 60)
    return "%d:%s" % (hours, text) if hours else text


def progress_line(
    progress: CopyProgress, seconds: float, is_over: bool, columns: int = 80
) -> str:
    """Name, part, bytes, rate, and the time left or, at the end, taken. ``seconds`` since it began;
    what was there before counts for the part, not for the rate."""
    new = progress.done - progress.resumed
    rate = new / seconds if seconds > 0 else 0.0
    part, left = "", ""
    if progress.total is not None:
        whole = max(progress.total, progress.done, 1)
        part = "%3d%%" % (100 if is_over else min(99, progress.done * 100 // whole))
        if rate > 0:
            left = time_text((whole - progress.done) / rate)
    left = time_text(seconds) if is_over else left
    name = shown(os.path.basename(progress.source.rstrip("/")) or progress.source)
    room = min(NAME, max(LEAST_NAME, columns - 1 - FIGURES))
    return "%s %4s %10s %12s %8s" % (
        fitted(name, room), part, size_text(progress.done), size_text(rate) + "/s", left
    )


class ProgressDisplay:
    """Writes with ``write``, which a terminal with so many ``columns`` stands behind. Any thread
    may tell."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        columns: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._columns = columns
        self._clock = clock
        self._lock = threading.Lock()
        self._file: Optional[Tuple[str, str]] = None
        self._began = self._next = 0.0
        self._last: Optional[CopyProgress] = None
        self._width = 0

    def tell(self, progress: CopyProgress) -> None:
        with self._lock:
            now = self._clock()
            if self._file != (progress.target, progress.source):
                self._file = (progress.target, progress.source)
                self._began, self._next = now, 0.0
            self._last = progress
            if now >= self._next:
                self._next = now + INTERVAL
                self._show(progress, now, False, b"")

    def finish(self, copied: bool) -> None:
        """The file is over: its line stays. One that was not copied keeps what it had."""
        with self._lock:
            if self._last is not None:
                self._show(self._last, self._clock(), copied, b"\n")
            self._file = self._last = None
            self._width = 0

    def _show(self, progress: CopyProgress, now: float, is_over: bool, end: bytes) -> None:
        columns = self._columns()
        text = progress_line(progress, now - self._began, is_over, columns).rstrip()
        if not end:  # one that reaches the edge would begin a second line
            room = max(0, columns - 1)
            text, self._width = cut(text, room), min(self._width, room)
        self._write(b"\r" + encoded(fitted(text, max(self._width, width_of(text)))) + end)
        self._width = width_of(text)
