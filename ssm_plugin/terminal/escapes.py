"""Escape sequences typed at a terminal, as OpenSSH has them: ``~.`` ends the session, and so on.

They count only at the start of a line: after ``\\r`` or ``\\n``, or as the very first keys. For
what a person types at a terminal only; data from a file or a pipe must not pass through here.
"""

from typing import List, Optional, Union

from ..named_tuple import NamedTuple

# Lines end as a terminal in raw mode needs them.
HELP_TEXT = (
    "~?\r\n"
    "Escape sequences, at the start of a line:\r\n"
    " ~.  end this session\r\n"
    " ~^Z suspend this program, where a shell can bring it back\r\n"
    " ~-  no more escape sequences in this session\r\n"
    " ~?  this help\r\n"
    " ~~  send one ~\r\n"
)

_TILDE = ord("~")
_END = ord(".")
_HELP = ord("?")
_SUSPEND = ord("Z") & 0x1F
_OFF = ord("-")
_LINE_ENDS = b"\r\n"


class Send(NamedTuple):
    """Bytes for the node; never empty."""

    data: bytes


class End(NamedTuple):
    """The user wants the session ended. Nothing typed after it counts."""


class Help(NamedTuple):
    """Show :data:`HELP_TEXT` here; nothing goes to the node."""


class Suspend(NamedTuple):
    """Give the terminal back to the shell that started this program, until it is brought back."""


Action = Union[Send, End, Help, Suspend]


class EscapeFilter:
    """What was typed goes in, actions come out, in order; neighbouring bytes make one ``Send``."""

    def __init__(self) -> None:
        self._line_start = True
        self._held = False  # a tilde at the start of a line, waiting for its second key
        self._off = False
        self._ended = False

    def feed(self, data: bytes) -> List[Action]:
        actions: List[Action] = []
        out = bytearray()
        for byte in data:
            if self._ended:
                break
            action = self._key(byte, out)
            if action is not None:
                _flush(out, actions)
                actions.append(action)
        _flush(out, actions)
        return actions

    def finish(self) -> List[Action]:
        """The input has ended: a tilde that is still held was just a tilde."""
        held, self._held = self._held, False
        return [Send(b"~")] if held else []

    def _key(self, byte: int, out: bytearray) -> Optional[Action]:
        if self._held:
            self._held = False
            return self._after_tilde(byte, out)
        if byte == _TILDE and self._line_start and not self._off:
            self._held = True
            return None
        self._send(byte, out)
        return None

    def _after_tilde(self, byte: int, out: bytearray) -> Optional[Action]:
        if byte == _END:
            self._ended = True
            return End()
        if byte == _HELP:
            return Help()
        if byte == _SUSPEND:
            return Suspend()
        if byte == _OFF:
            self._off = True
            return None
        if byte != _TILDE:
            out.append(_TILDE)
        self._send(byte, out)
        return None

    def _send(self, byte: int, out: bytearray) -> None:
        out.append(byte)
        self._line_start = byte in _LINE_ENDS


def _flush(out: bytearray, actions: List[Action]) -> None:
    if out:
        actions.append(Send(bytes(out)))
        out.clear()
