"""The command line that starts a relay at a node, with what is there to run it."""

import re
from typing import List

from ..jobs.remote_line import quote
from ..named_tuple import NamedTuple
from . import node_perl, node_python

# What a relay has ready for connections to come. It makes a new secret for each that is used.
SPARE_SECRETS = 64

# $0 $1: the sources for Python and for perl. $2 $3 $4: their arguments. Each interpreter must show
# that it works before it takes the place of this shell: the end of the session kills nobody else.
_LAUNCH = """\
for p in python3 /usr/libexec/platform-python python2.7 python2 python; do
"$p" -ESs -c "import binascii,fcntl,select,socket,struct,threading" </dev/null >/dev/null 2>&1 &&
exec "$p" -ESs -c "$0" "$2" "$3" "$4" </dev/null; done
perl -e "use IO::Poll; use MIME::Base64; use Socket qw(getaddrinfo)" </dev/null >/dev/null 2>&1 &&
exec perl -e "$1" "$2" "$3" "$4" </dev/null
printf "\\n@%s none\\n" "$2\""""


class Launch(NamedTuple):
    """``token`` begins the line by which the relay says where it listens. It is no secret."""

    token: str
    lease: float

    @property
    def line(self) -> str:
        """The document's command. A relay that has heard nothing from us for ``lease`` s ends."""
        words = [compact(node_python.SOURCE), compact(node_perl.SOURCE)]
        return quote(["sh", "-c", _LAUNCH] + words + arguments(self.token, self.lease))


def arguments(token: str, lease: float, spare: int = SPARE_SECRETS) -> List[str]:
    """Those of the relay's source."""
    return [token, "%d" % lease, "%d" % spare]


def compact(source: str) -> str:
    """Without what is only for readers."""
    lines = (line for line in source.splitlines() if not re.match(r"\s*(#|\Z)", line))
    return "\n".join(lines)
