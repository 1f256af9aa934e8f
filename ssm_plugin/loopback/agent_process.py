"""What the programs that an agent starts have in common."""

import os
from typing import Dict

# Seconds between asking a program to end and killing it.
KILL_AFTER = 1.0

# Of whoever runs the local service: the size of another terminal, and what a session starts with.
_NOT_PASSED_ON = ("COLUMNS", "LINES", "AWS_SSM_START_SESSION_RESPONSE")


def environment(**more: str) -> Dict[str, str]:
    """The environment of a program at the node."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
    }
    variables.update(more)
    return variables


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group, if there still is one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended; macOS says the latter of a group of zombies
