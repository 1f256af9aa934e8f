"""One line of a terminal that is written again and again, and wiped in the end."""

from typing import Callable

from ..display import cut, encoded, shown, width_of
from .tty import window_size
from .wake import writable

# Seconds between two looks of a line that changes all the time.
INTERVAL = 0.2

_ERASE = b"\r\x1b[K"


class StatusLine:
    """On the terminal behind ``fd``, by way of ``write``. For one thread at a time."""

    def __init__(self, fd: int, write: Callable[[bytes], object]) -> None:
        self._fd = fd
        self._write = write
        self._is_there = False

    def show(self, text: str, hint: str = "") -> None:
        """``text``, cut where it is longer than the line. The ``hint`` behind it goes first."""
        # One that reaches the edge would begin a second line, as would the ``^C`` behind it.
        room = window_size((self._fd,)).cols - 3
        text, hint = shown(text), shown(hint)
        if width_of(text + hint) <= room:
            text += hint
        self._is_there = True
        self._write(_ERASE + encoded(cut(text, room)))

    def wipe(self) -> None:
        """Does nothing where no line is."""
        if self._is_there:
            self._is_there = False
            self._write(_ERASE)

    @property
    def is_stopped(self) -> bool:
        """Whether a write would wait: for Ctrl-Q, or for a slow line."""
        return not writable(self._fd)
