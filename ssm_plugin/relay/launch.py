"""The command line that starts a relay at a node, with what is there to run it."""

import re
from typing import List

from ..jobs.remote_line import quote
from . import node_perl, node_python

# What a relay has ready for connections to come. It makes a new secret for each that is used.
SPARE_SECRETS = 64

# $0 $1: the sources for Python and for perl. $2 to $5: their arguments. Each interpreter must show
# that it starts before it takes the place of this shell: the end of the session kills nobody else.
# A Python that lacks a module leaves its place to perl. A connection takes two descriptors.
_LAUNCH = """\
ulimit -S -n "$(ulimit -H -n)" 2>/dev/null
for p in python3 /usr/libexec/platform-python python2.7 python2 python; do
"$p" -V >/dev/null 2>&1 && exec "$p" -ESs -c "$0" "$2" "$3" "$4" "$5" "$1" </dev/null; done
perl -e "use IO::Poll; use MIME::Base64; use Socket qw(getaddrinfo)" </dev/null >/dev/null 2>&1 &&
exec perl -e "$1" "$2" "$3" "$4" "$5" </dev/null
printf "\\n@%s none\\n" "$2\""""


def launch_line(token: str, lease: float, port: int) -> str:
    """The document's command. ``token`` begins the line by which the relay says where it listens:
    at ``port`` if that is free. It is no secret. A relay that has heard nothing from us for
    ``lease`` s ends."""
    sources = [compact(node_python.SOURCE), compact(node_perl.SOURCE)]
    return quote(["sh", "-c", _LAUNCH] + sources + arguments(token, lease, port=port))


def arguments(
    token: str, lease: float, spare: int = SPARE_SECRETS, port: int = 0
) -> List[str]:
    """Those of the relay's source."""
    return [token, "%d" % lease, "%d" % spare, "%d" % port]


def compact(source: str) -> str:
    """The source without comments and empty lines."""
    lines = (line for line in source.splitlines() if not re.match(r"\s*(#|\Z)", line))
    return "\n".join(lines)
