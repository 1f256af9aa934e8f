"""What the programs that an agent starts have in common."""

import os
import signal
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


def kill_session(leader: int) -> None:
    """Kill what is left of the session that a process had begun which has ended. Only where /proc
    tells which processes these are: a number may be another one's by now."""
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for number in numbers:
        try:
            if os.getsid(number) == leader and number != leader:
                os.kill(number, signal.SIGKILL)
        except OSError:
            pass  # it has ended
