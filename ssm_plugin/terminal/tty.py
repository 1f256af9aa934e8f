"""The terminal itself: its raw mode, and its size.

In raw mode every key goes to the node as the bytes that the terminal makes of it. Ctrl-C, Ctrl-Z,
Ctrl-\\, Ctrl-S and Ctrl-Q arrive as bytes, and nothing is echoed or collected into lines. Output is
not touched: the pty at the node already sends ``\\r\\n``, and whoever writes a notice of our own
meanwhile has to do so too. The line's own settings (speed, parity, character size) stay as they
are: on a serial console they are the wire's, not ours.

All changes are made with TCSANOW. TCSADRAIN and TCSAFLUSH wait until the output is out, which on
a stopped or dead terminal is never, and TCSAFLUSH throws away what has been typed ahead.
"""

import os
import signal
import termios
from typing import Any, List, Mapping, Optional, Sequence

from ..named_tuple import NamedTuple

# As ``termios.tcgetattr`` returns them: numbers, and a list of control characters.
Attributes = List[Any]

_IFLAG, _OFLAG, _LFLAG, _CC = 0, 1, 3, 6

_INPUT_OFF = (
    termios.IGNBRK
    | termios.BRKINT
    | termios.PARMRK
    | termios.ISTRIP
    | termios.INLCR
    | termios.IGNCR
    | termios.ICRNL
    | termios.IXON
)
_LOCAL_OFF = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN


class RawMode:
    """Raw mode from :meth:`take_back` to :meth:`restore`, or while entered. Without a terminal it
    does nothing.

    A background job that enters is stopped by SIGTTOU, as is the custom: the terminal is not
    its own to change before the user brings it to the foreground.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: Optional[Attributes] = None

    def __enter__(self) -> "RawMode":
        self.take_back()
        return self

    def __exit__(self, *exception: object) -> None:
        self.restore()

    def take_back(self) -> None:
        """Make it raw. Again, where this program was stopped and a shell had it meanwhile."""
        if self._saved is None:
            self._saved = _attributes(self._fd)
        if self._saved is None:
            return
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, raw_attributes(self._saved))
        except termios.error:
            # Hung up, or an orphaned background job, which may not change it.
            self._saved = None
        # A safety net: ``__exit__`` does not follow an ``__enter__`` that raised.
        except BaseException:
            self.restore()
            raise

    @property
    def active(self) -> bool:
        """Whether the terminal is raw now: a line then ends in ``\\r\\n``."""
        return self._saved is not None

    def restore(self) -> None:
        """Put back what was there before. More calls do nothing; a terminal that is gone, too."""
        saved = self._saved
        if saved is None:
            return
        try:
            _put_back(self._fd, saved)
        # A safety net: a signal handler that raised in the middle must not leave the user without
        # an echo. So the settings are put back again before the exception goes on.
        except BaseException:
            _put_back(self._fd, saved)
            raise
        finally:
            self._saved = None


def raw_attributes(attributes: Attributes) -> Attributes:
    """The raw form of a list as ``termios.tcgetattr`` returns it. The list is not changed."""
    raw = list(attributes)
    raw[_IFLAG] &= ~_INPUT_OFF
    raw[_OFLAG] &= ~termios.OPOST
    raw[_LFLAG] &= ~_LOCAL_OFF
    raw[_CC] = list(attributes[_CC])
    raw[_CC][termios.VMIN] = 1
    raw[_CC][termios.VTIME] = 0
    return raw


def _attributes(fd: int) -> Optional[Attributes]:
    try:
        return termios.tcgetattr(fd) if os.isatty(fd) else None
    except termios.error:
        return None


def _put_back(fd: int, attributes: Attributes) -> None:
    # In the background tcsetattr stops the whole job, unless SIGTTOU is blocked or ignored:
    # an exit would hang there until somebody types "fg".
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error:
        pass  # Hung up or closed: nothing is left to restore.
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class WindowSize(NamedTuple):
    """How many columns and rows the node's pty should have, as the Size message wants
    them; both are above 0."""

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
