"""The command line for the node: it keeps every argument as it is, and reports the exit status.

The agent splits the document's command into words as a shell would, but runs no shell. So the line
is ``sh -c …`` around a script, in words that are quoted for that splitting; an interactive
command's line is read by a shell, which the same quoting suits. The script

- runs the command in a process group of its own. An interrupt, or what else ends the script,
  reaches only the script itself: it ends the whole group, in three steps within two seconds;
- has a second process watch over it, from before the command begins, which ends the group when the
  script was killed, as the agent does with a terminated session;
- has the directory for its input made by a process that outlives it, in a group of its own, and
  removes it: whatever moment the script is killed at, nothing stays behind;
- prints the trailer with the exit status, which the plain form of a document does not report, and
  a ``+`` behind it where output is live, that is where the document separates it;
- where output is live, then waits for an interrupt, which says that all of it has arrived, for as
  long as a lost connection may take to come back. Once a command has ended, the agent gives its
  last output four seconds to arrive, which is not much after megabytes on a bad line.

It needs ``sh`` and, for all of this, ``bash``: a plain shell has no job control without a terminal.
There ``setsid`` makes the group; the command then ignores SIGINT, so it is SIGTERM that ends it.
The process that watches looks into /proc every half a second whether the command is still the
script's child.
"""

import os
import re
import shlex
from typing import List, Sequence, Tuple

from ..errors import UsageError
from ..named_tuple import NamedTuple

# What the service takes as one parameter, in characters.
MAXIMUM = 65535

_LAUNCH = 's=sh; command -v bash >/dev/null && s=bash; exec "$s" -c "$0" "$s" "$@"'

# $1 $2: the marker's halves, the second one first. $3: a directory for the input, or nothing.
# The script waits for a program that sleeps until that directory is made: ``make`` kills it, since
# another signal is lost on one that has only just been forked.
# A shell tells the line of a command that is not there. So that it is not one of ours, ``bash -c``
# begins anew for it, and others take it from ``eval``.
_SCRIPT = """\
m=$2$1 d=$3; shift 3
p= g= x= o=
stop() { [ "$g" ] || { [ "$o" ] && [ "$!" != "$o" ] && p=$! && g=-$p; } || {
[ -z "$d" ] || rm -rf "$d"; exit 130; }
trap "" INT QUIT TERM HUP; x=1
for s in "$1" TERM; do kill "-$s" "$g"; n=0
while [ $n -lt 7 ] && kill -0 "$g"; do sleep .1 || sleep 1; n=$((n+1)); done; done
kill -KILL "$g"; }
for s in INT QUIT TERM HUP; do trap "stop $s" "$s"; done
exec 4>&2 2>/dev/null
make='[ -z "$d" ] || mkdir -m 700 "$d" 2>&4 || d=
kill -KILL "$z"; exec 4>&-'
sleep 20 >/dev/null 4>&- & z=$!
if [ "$BASH_VERSION" ]; then
eval 'exec 9> >(exec >/dev/null; set -m; (trap "" INT QUIT TERM HUP; eval "$make"
read -r g && read -r x; s=$?; [ -z "$d" ] || rm -rf "$d"; [ "$s" = 0 ] || { kill -TERM "$g"; n=0
while [ $n -lt 10 ] && kill -0 "$g"; do sleep .1 || sleep 1; n=$((n+1)); done
kill -KILL "$g"; }) <&0 &)'
elif [ "$d" ] && command -v setsid >/dev/null; then
z=$z make=$make setsid sh -c 'trap "" INT QUIT TERM HUP; d=$2; eval "$make"
while q=; while read -r k v; do [ "$k" != PPid: ] || q=$v; done </proc/self/status
[ "$q" = "$1" ]; do sleep .5 || sleep 1; done
[ -z "$d" ] || rm -rf "$d"' ssm-plugin "$$" "$d" >/dev/null &
else (eval "$make"); fi
wait "$z"
if [ "$d" ]; then mkfifo -m 600 "$d/i" 2>&4 && exec 3<>"$d/i" || exit 255; fi
o=$!
if [ "$BASH_VERSION" ]; then set -m
(echo "-${BASHPID:-$(exec sh -c 'echo "$PPID"')}" >&9
exec 2>&4 3>&- 4>&- 9>&-; exec "$BASH" -c 'exec -- "$@"' "$0" "$@") & p=$! g=-$p
elif command -v setsid >/dev/null; then
setsid sh -c '(setsid sh -c "$3" ssm-plugin "$$" "$1" "$2" >/dev/null 3>&- 4>&- &); \
shift 3; exec 2>&4 3>&- 4>&-; exec "$@"' sh "$$" "$d" 'trap "" INT QUIT TERM HUP
while q=; while read -r k v; do [ "$k" != PPid: ] || q=$v; done <"/proc/$1/status"
[ "$q" = "$2" ]; do sleep .5 || sleep 1; done; [ "$q" ] || exit
kill -TERM "-$1"; [ "$3" ] && rm -rf "$3"; n=0
while [ $n -lt 10 ] && kill -0 "-$1"; do sleep .1 || sleep 1; n=$((n+1)); done
kill -KILL "-$1"' "$@" & p=$! g=-$p
else (exec 2>&4 3>&- 4>&-; eval 'exec "$@"') & p=$! g=$p; fi
wait "$p"; s=$?
[ -z "$x" ] || { wait "$p"; s=$?; }
[ -z "$d" ] || rm -rf "$d"
[ -z "$BASH_VERSION" ] || echo >&9
z= n=900 l=
[ ! -p /dev/fd/1 ] || l=+
if [ -z "$x" ] && [ -p /dev/fd/1 ]; then n=0
trap '[ -z "$z" ] || kill "$z"; exit "$s"' INT QUIT TERM HUP; fi
printf "%s:%d%s\\n" "$m" "$s" "$l"
while [ $n -lt 900 ]; do
sleep 1 >/dev/null 3>&- 4>&- 9>&- & z=$!; wait "$z"; n=$((n+1)); done; exit "$s\""""

# The input comes as base64 in lines, and a line with a dot. The FIFO itself never ends: its other
# end is lost with a connection, which must not pass for the end of the input. A command that ends
# before its input does writes that line itself: a shell waits for all parts of a pipeline. It may
# come into the middle of another one, which is then wrong, and nobody's concern any more.
_DECODE = """\
command -v base64 >/dev/null || echo "there is no base64 to decode the input" >&2; \
i=$1; shift; sed -n "/^[.]/q;p" <"$i" | base64 -d 2>/dev/null | { (exec "$@"); s=$?
(printf "\\n.\\n.\\n" >"$i") </dev/null >/dev/null 2>&1 & exit "$s"; }"""


# The input comes as it is, and has no end.
_PASS = 'i=$1; shift; exec "$@" <"$i"'


class RemoteLine(NamedTuple):
    """``text`` is the document's command; ``marker`` begins what its script says of itself."""

    text: str
    marker: bytes


def remote_line(
    argv: Sequence[str], input_directory: str = "", raw_input: bool = False
) -> RemoteLine:
    """The line that runs ``argv`` at the node. With ``input_directory``, which must not exist
    there, its standard input is what comes through the FIFO ``i`` in there, as base64 lines ended
    by a dot, or with ``raw_input`` as it is, and without an end; else it has none.

    :raises UsageError: for what no command line of a session can hold
    """
    check_words(argv)
    marker, halves = new_marker()
    words = ["sh", "-c", _LAUNCH, _SCRIPT, *halves, input_directory]
    if input_directory:
        words += ["sh", "-c", _PASS if raw_input else _DECODE, "sh", input_directory + "/i"]
    return RemoteLine(line_of(words + list(argv)), marker)


def new_marker() -> Tuple[bytes, List[str]]:
    """A random word, and its halves, the second one first: a line with these does not hold it."""
    halves = [os.urandom(10).hex() for _ in range(2)]
    return "".join(halves).encode("ascii"), halves[::-1]


def line_of(words: Sequence[str]) -> str:
    """:raises UsageError: if it is too long for a session"""
    text = quote(words)
    if len(text) > MAXIMUM:
        raise UsageError(
            "the command line has %d characters, but a session takes %d: pass data by --stdin"
            % (len(text), MAXIMUM)
        )
    return text


def quote(words: Sequence[str]) -> str:
    """Words for a shell, and for those who split like one. The service fills in what stands in
    double braces, which belong to the user: quotes between the two keep them."""
    quoted = " ".join(shlex.quote(word) for word in words)
    return re.sub(r"\{(?=\{)", "{''", quoted)


def check_words(argv: Sequence[str]) -> None:
    """:raises UsageError: for what no command line of a session can hold"""
    if not argv or not argv[0]:
        raise UsageError("there is no command to run")
    for number, word in enumerate(argv):
        if re.search("[\0\ud800-\udfff]", word):
            raise UsageError(
                "argument %d of the command is not text in UTF-8, which is all that a session "
                "carries: pass such bytes by --stdin" % number
            )
