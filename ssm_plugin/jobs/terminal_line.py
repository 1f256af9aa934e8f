"""A command where sessions are interactive only, as in containers of ECS: the line for it, and what
comes back.

All that runs shares one terminal, and one process group in its foreground: a typed key becomes a
signal for all of it, and the end of the session hangs all of it up. The script

- sets the terminal so that it echoes nothing and changes no byte. Where no ``stty`` is there, it
  says so: the terminal then writes each newline as CR LF, which is undone here;
- runs the command with pipes in place of the terminal. A ``cat`` takes its output to the terminal.
  Its errors go there in frames, each in one single write, which no other one can come into;
- tells the exit status once the command has ended, then that all output is out; and waits for an
  interrupt, which says that all of it has arrived, for as long as a lost connection may take.
  Input that nobody wanted is read away, as the interrupt comes behind it;
- has a second process that ends what outlives a hangup.

It needs ``sh`` and ``cat``; errors come apart where there is ``dd``. Input needs ``stty``,
``sed`` and ``base64``: it comes as base64 lines, and a line with a dot, which the end of the
command brings, too.
"""

from typing import List, Optional, Sequence, Tuple

from ..wire.message import Buffer
from .remote_line import RemoteLine, check_words, line_of, new_marker
from .trailer_runner import CERTAIN, beginning_of

# $1 $2: the marker's halves, the second one first. $3: i if there is input, or nothing.
_SCRIPT = """\
m=$2$1 d=$3; shift 3; exec 5>&1 2>/dev/null
trap : INT QUIT
(trap "" TERM INT QUIT; trap "kill -TERM 0; sleep 1; kill -KILL 0; exit" HUP
while kill -0 $$; do sleep 1 & wait $!; done) </dev/null >/dev/null 2>&1 5>&- & w=$!
t=c; stty -echo -opost -icanon -icrnl -ixon min 1 && t=r
printf "%s=%s\\n" "$m" "$t"
frame() { trap "" INT QUIT
command -v dd >/dev/null || exec cat >&5
while r=$({ { printf "%s<" "$m"; dd bs=65536 count=1 2>&4; printf "%s>" "$m"; } |
dd obs=131072 2>/dev/null >&5; } 4>&1); do case $r in 0+0*) break; esac; done; }
run() { trap : INT QUIT; (exec 2>&3 3>&- 5>&-; eval 'exec "$@"'); printf "%s:%d\\n" "$m" "$?" >&5; }
{ { if [ "$d" ]; then sed -n "/^[.]/q;p" | base64 -d | run "$@"
else run "$@" </dev/null; fi; } | (trap "" INT QUIT; exec cat >&5 3>&-); } 3>&1 | frame
[ -z "$d" ] || cat <&5 >/dev/null &
trap 'exit' INT QUIT; printf "%s.\\n" "$m"
kill -KILL "$w"; n=0; while [ $n -lt 900 ]; do sleep 1 >/dev/null & wait $!; n=$((n+1)); done"""

OUTPUT, ERRORS = "output", "errors"

# Bytes of what the script says of itself behind a marker. A line that is longer is not its own.
_LONGEST_WORD = 16

Pieces = List[Tuple[str, bytes]]


def terminal_line(argv: Sequence[str], has_input: bool = False) -> RemoteLine:
    """:raises UsageError: for what no command line of a session can hold"""
    check_words(argv)
    marker, halves = new_marker()
    words = ["sh", "-c", _SCRIPT, "sh", *halves, "i" if has_input else ""]
    return RemoteLine(line_of(words + list(argv)), marker)


class TerminalStream:
    """What the terminal writes, taken apart. ``before`` is what came before the script began, to
    explain why it did not; ``status`` is the command's; ``is_complete``: nothing more comes."""

    def __init__(self, marker: bytes) -> None:
        self.before = b""
        self.is_ready = False
        self.is_exact = True
        self.status: Optional[int] = None
        self.is_complete = False
        self._marker = marker
        self._held = b""
        self._kind = OUTPUT
        self._carriage_return = b""

    def feed(self, data: Buffer) -> Pieces:
        """The pieces of output that are certain now, in their order."""
        data = self._held + data
        pieces: Pieces = []
        while True:
            start = data.find(self._marker)
            if start < 0:
                break
            end = self._end_of_word(data, start + len(self._marker))
            if end < 0:
                self._held = data[start:]
                self._put(pieces, data[:start])
                return pieces
            self._put(pieces, data[:start])
            self._take_word(data[start + len(self._marker):end])
            data = data[end:]
        keep = beginning_of(self._marker, data, len(self._marker))
        self._held = data[keep:]
        self._put(pieces, data[:keep])
        return pieces

    def rest(self) -> Pieces:
        """At the end of the stream: what was held back, unless it is certain to be a part of what
        the script says."""
        rest, self._held = self._held, b""
        pieces: Pieces = []
        self._put(pieces, b"" if len(rest) >= CERTAIN else rest)
        return pieces

    def _end_of_word(self, data: bytes, start: int) -> int:
        """The end of a word: of ``<``, ``>``, or one that goes on to the end of the line. Negative
        if it has not come yet."""
        if data[start:start + 1] in (b"<", b">"):
            return start + 1
        end = data.find(b"\n", start, start + _LONGEST_WORD) + 1
        return end or (start if len(data) >= start + _LONGEST_WORD else -1)

    def _take_word(self, word: bytes) -> None:
        kind, rest = word[:1], word[1:].strip()
        if kind == b"<":
            self._kind = ERRORS
        elif kind == b">":
            self._kind = OUTPUT
        elif kind == b"=":
            self.is_ready, self.is_exact = True, rest == b"r"
        elif kind == b":" and rest.isdigit():
            self.status = int(rest[:9]) & 0xFF
        elif kind == b".":
            self.is_complete = True

    def _put(self, pieces: Pieces, data: bytes) -> None:
        if not self.is_ready:
            self.before = (self.before + data)[-4096:]
            return
        if not self.is_exact:
            data = self._without_returns(data)
        if data:
            pieces.append((self._kind, data))

    def _without_returns(self, data: bytes) -> bytes:
        """The terminal has put one CR in front of each LF, also of one that had a CR before."""
        data = self._carriage_return + data
        self._carriage_return = b"\r" if data.endswith(b"\r") else b""
        return data[:len(data) - len(self._carriage_return)].replace(b"\r\n", b"\n")
