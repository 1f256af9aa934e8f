"""The script for the node: it runs the words as they are, and tells the exit status.

The agent writes it into a file that ``sh`` reads. Two statuses mean something of their own to the
agent: 137 that it killed the command itself, and 194 that the machine is to be restarted. A
command that ends with one of these is told in a line on stderr, which is taken out here.
"""

import json
import re
from typing import Dict, List, Sequence, Tuple

from ..errors import UsageError
from ..jobs.remote_line import check_words, quote

# Bytes of the parameters. A document may have 64 KiB together with them, and AWS-RunShellScript
# itself has some of these.
MAXIMUM = 63 * 1024

# The status in place of those that have a meaning of their own for the agent.
_STAND_IN = 255

_SCRIPT = """\
exec 4>&2 2>/dev/null
(exec 2>&4 4>&-; exec %s)
s=$?
case $s in 137|194) echo "ssm-plugin: exit status $s" >&4; s=%d;; esac
exit "$s"
"""
# The last line if the nodes are named by their ids: ``exec --attach`` then names them so, too.
_BY_ID = "# nodes by id\n"

# What the agent adds to the standard error of what failed.
_COMPLAINT = re.compile(
    rb"(?:ssm-plugin: exit status (137|194)\r?\n)?"
    rb"failed to run commands: (?:exit status ([0-9]{1,3})|signal: ([a-z ]{1,40})|([^\n]*))\Z"
)
_OWN_STATUS = re.compile(rb"ssm-plugin: exit status (137|194)\r?\n\Z")

# As Go calls them.
_SIGNALS: Dict[bytes, int] = {
    b"hangup": 1,
    b"interrupt": 2,
    b"quit": 3,
    b"illegal instruction": 4,
    b"aborted": 6,
    b"floating point exception": 8,
    b"killed": 9,
    b"segmentation fault": 11,
    b"broken pipe": 13,
    b"alarm clock": 14,
    b"terminated": 15,
}

# Bytes at the end of the standard error that may be the agent's.
TAIL = 4096


def script_of(argv: Sequence[str], named_by_id: bool = False) -> str:
    """:raises UsageError: for what Run Command cannot carry"""
    check_words(argv)
    script = _SCRIPT % (quote(argv), _STAND_IN) + (_BY_ID if named_by_id else "")
    size = len(json.dumps([script], ensure_ascii=False).encode("utf-8"))
    if size > MAXIMUM:
        raise UsageError(
            "the command line has %d bytes, but Run Command takes %d: put the data where the nodes "
            "can fetch it, or use sessions (--via sessions)" % (size, MAXIMUM)
        )
    return script


def is_by_id(commands: object) -> bool:
    """Whether a command that was sent named its nodes by their ids. ``commands`` is its
    parameter."""
    lines: List[object] = commands if isinstance(commands, list) else []
    return bool(lines) and str(lines[-1]).endswith("\n" + _BY_ID)


def own_part(tail: bytes, code: int) -> Tuple[bytes, int, str]:
    """Splits the end of a failed command's standard error: what the command wrote, its exit status,
    and why there is none. ``code`` is what the agent told."""
    found = _COMPLAINT.search(tail)
    if found is None:
        own = _OWN_STATUS.search(tail) if code == _STAND_IN else None
        return (tail[: own.start()], int(own.group(1)), "") if own else (tail, code, "")
    kept = tail[: found.start()]
    if found.group(1) and code == _STAND_IN:
        return kept, int(found.group(1)), ""
    if found.group(2):  # else the command itself wrote it
        return (kept if int(found.group(2)) == code else tail), code, ""
    if found.group(3) in _SIGNALS:
        return kept, 128 + _SIGNALS[found.group(3)], ""
    said = found.group(3) or found.group(4)
    return kept, code, said.decode("utf-8", "replace")[:200] or "no reason was given"
