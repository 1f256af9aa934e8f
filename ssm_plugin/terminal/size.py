"""How many columns and rows the node's pty should have."""

import os
from typing import Mapping, NamedTuple, Optional, Sequence


class WindowSize(NamedTuple):
    """In characters, as the Size message wants them; both are above 0."""

    cols: int
    rows: int


# What a terminal has that does not know its size: a serial console, a fresh pty.
UNKNOWN_TERMINAL = WindowSize(80, 24)
# Without any terminal the output is read by a program, and a narrow pty would cut its lines:
# AWS's client asks for this size then.
NO_TERMINAL = WindowSize(300, 100)


def window_size(
    fds: Sequence[int] = (1, 0, 2), environ: Optional[Mapping[str, str]] = None
) -> WindowSize:
    """The size of the first terminal of ``fds`` that knows its own.

    Else ``COLUMNS`` and ``LINES`` (each on its own), and for what they leave open 80x24 with a
    terminal and 300x100 without. The controlling terminal is not asked: with all three standard
    streams elsewhere, what it shows is not this session.
    """
    for fd in fds:
        size = _ask(fd)
        if size is not None:
            return size
    names = os.environ if environ is None else environ
    default = UNKNOWN_TERMINAL if any(os.isatty(fd) for fd in fds) else NO_TERMINAL
    return WindowSize(
        _positive(names.get("COLUMNS", "")) or default.cols,
        _positive(names.get("LINES", "")) or default.rows,
    )


def _ask(fd: int) -> Optional[WindowSize]:
    try:
        cols, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return WindowSize(cols, rows) if cols > 0 and rows > 0 else None


def _positive(text: str) -> Optional[int]:
    # The kernel keeps a size in 16 bits.
    if text.isdecimal() and len(text) <= 5 and 0 < int(text) <= 0xFFFF:
        return int(text)
    return None
