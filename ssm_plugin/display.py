"""Text from elsewhere, made safe to be shown: on a terminal, in a log, in a message.

A node, the service, a proxy and a file may hold any characters. A terminal obeys some of them: it
goes back and writes over other lines, changes titles and colours, types answers. Others change
the order of what is read, begin a new line, or are not seen at all. All of these become visible
escapes, as Python writes them: ``\\x1b``, ``\\u202e``, ``\\n``. Whatever can be read stays,
whether in Latin, Chinese or emoji.

Text passes here once, where it leaves us. A backslash stays as it is: who sees ``\\x1b`` does not
know whether it was one character or four. Neither does any harm. JSON needs hardly any of this:
``json.dumps`` escapes all that is not printable ASCII.
"""

import os
import re
import sys

# Python takes all spaces but one for unprintable. These do no harm: they are as wide as letters.
_SPACES = frozenset("\xa0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))

# And these, which show nothing, for printable: joiners, fillers, selectors of variants. Two names
# that differ in one of them look the same. FE0E and FE0F stay: emoji need them.
_HIDDEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE0E)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def shown(text: str) -> str:
    """``text`` on one line."""
    return _escaped(text, "")


def shown_lines(text: str) -> str:
    """As :func:`shown`, for a text of several lines; line ends become ``\\n``."""
    return _escaped(text.replace("\r\n", "\n"), "\n")


def shown_output(data: bytes) -> bytes:
    """As :func:`shown`, for a program's output in UTF-8: it keeps its lines and tabs."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return _escaped(text, "\n\t").encode("utf-8")


# In JSON: a backslash, two halves of a surrogate pair, and one half.
_HALVES = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|\\u(d[89a-f]..)")


def json_line(value: object) -> str:
    """``value`` as JSON, in ASCII. Half a surrogate pair, which Python makes of a byte that is not
    UTF-8, becomes a visible escape: many readers refuse the whole line for such a half."""
    import json  # few commands need it

    return _HALVES.sub(_visible_half, json.dumps(value)) + "\n"


def _visible_half(found: "re.Match[str]") -> str:
    half = found.group(1)
    if half is None:
        return found.group()
    code = int(half, 16)
    return "\\\\x%02x" % (code & 0xFF) if 0xDC80 <= code <= 0xDCFF else "\\\\u" + half


def filled(template: str, **fields: object) -> str:
    """``template`` with its ``{fields}`` filled in, each on one line. Other braces stay."""
    return re.sub(
        r"\{(\w+)\}", lambda found: shown(str(fields.get(found.group(1), found.group()))), template
    )


def encoded(text: str) -> bytes:
    """What is shown, as the locale has it. What that cannot write is escaped, too."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(sys.getfilesystemencoding(), "backslashreplace")


def width_of(text: str) -> int:
    """The columns that a terminal gives it: letters of East Asia take two, accents none."""
    if max(text, default="") < "\x80":
        return len(text)
    import unicodedata  # most names are ASCII

    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def cut(text: str, room: int) -> str:
    """As much of the beginning of ``text`` as so many columns hold."""
    while text and width_of(text) > room:
        text = text[:-1]
    return text


def fitted(text: str, room: int) -> str:
    """``text`` in so many columns: filled up with spaces, or cut, which two dots show."""
    if width_of(text) > room:
        text = cut(text, room - 2) + ".."
    return text + " " * (room - width_of(text))


def _escaped(text: str, kept: str) -> str:
    if text.isprintable() and _HIDDEN.isdisjoint(text):
        return text
    return "".join(one if one in kept or _is_readable(one) else _escape(one) for one in text)


def _is_readable(character: str) -> bool:
    return (character.isprintable() or character in _SPACES) and character not in _HIDDEN


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
