"""Entry point: answers what the AWS CLI asks before each session, and leaves the rest to others.

Called ``session-manager-plugin``, or in the AWS CLI's positional form under any name, this program
is the drop-in for AWS's plugin; else it is our own command line. The AWS CLI starts us twice for
each session, the first time only for the version: that path imports nothing.
"""

import os
import sys

from .version import PROTOCOL_VERSION, __version__

DROP_IN = "session-manager-plugin"
INSTALLED = (
    "\nThe Session Manager plugin was installed successfully. "
    "Use the AWS CLI to start a session.\n\n"
)
FAILURE = 255


def main() -> int:
    """Run what ``sys.argv`` asks for; returns the exit status."""
    arguments = sys.argv[1:]
    drop_in = os.path.basename(sys.argv[0]).startswith(DROP_IN)
    if arguments in (["--version"], ["-V"]):
        return _answer((PROTOCOL_VERSION if drop_in else "ssm-plugin " + __version__) + "\n")
    if drop_in and not arguments:
        return _answer(INSTALLED)
    from . import unpacked

    unpacked.use()
    from .commands import faces, frame

    return frame.run(faces.choose(arguments, drop_in), arguments)


def _answer(text: str) -> int:
    try:
        os.write(1, text.encode("ascii"))
    except OSError:
        return FAILURE
    return 0
