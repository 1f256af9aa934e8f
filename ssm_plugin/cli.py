"""Entry point: which of the two faces of this program is wanted.

Called ``session-manager-plugin``, or in the AWS CLI's positional form under any name, it is the
drop-in for AWS's plugin; else it is our own command line. The AWS CLI starts us twice for each
session, the first time only for the version: that path imports nothing.
"""

import os
import sys

from .version import PROTOCOL_VERSION, __version__

DROP_IN = "session-manager-plugin"
RESPONSE_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"
INSTALLED = (
    "\nThe Session Manager plugin was installed successfully. "
    "Use the AWS CLI to start a session.\n\n"
)

COMMANDS = ("shell", "exec", "forward", "ssh", "run", "demo")


def main() -> int:
    """Run what ``sys.argv`` asks for; returns the exit status."""
    arguments = sys.argv[1:]
    drop_in = os.path.basename(sys.argv[0]).startswith(DROP_IN)
    if arguments == ["--version"]:
        sys.stdout.write((PROTOCOL_VERSION if drop_in else "ssm-plugin " + __version__) + "\n")
        return 0
    if drop_in and not arguments:
        sys.stdout.write(INSTALLED)
        return 0
    from .commands import frame

    if is_positional(arguments) or (drop_in and arguments[0] not in COMMANDS + ("-h", "--help")):
        return frame.run("dropin", arguments)
    return frame.run("own", arguments)


def is_positional(arguments: list) -> bool:
    """Whether these are what the AWS CLI passes: a response, or the variable that holds it."""
    return bool(arguments) and arguments[0].lstrip().startswith(("{", RESPONSE_VARIABLE))
