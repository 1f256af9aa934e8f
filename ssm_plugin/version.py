"""Our version, the protocol version that we claim, and how agents' versions compare.

Imports nothing: the AWS CLI asks for the version before each session.
"""

__version__ = "0.1.0"

# What ``ClientVersion`` says on the wire and ``--version`` prints to the AWS CLI, which wants at
# least 1.2.764.0. The agent reads it too: 1.1.70 turned multiplexed ports on, 1.2.331.0 turned
# the agent's smux keep-alive off.
PROTOCOL_VERSION = "1.2.896.0"

# Agents newer than these behave differently (strictly newer, as AWS's client compares).
MULTIPLEXED_PORTS_AFTER = "3.0.196.0"
KEEP_ALIVE_OFF_AFTER = "3.1.1511.0"
TERMINATE_FLAG_AFTER = "2.3.722.0"


def newer_than(version: str, limit: str) -> bool:
    """Whether the dotted ``version`` is above ``limit``. What cannot be parsed counts as old."""
    return _parse(version) > _parse(limit)


def _parse(version: str) -> tuple:
    parts = version.strip().split(".")
    try:
        return tuple(int(part) for part in parts if len(part) < 10)
    except ValueError:
        return ()
