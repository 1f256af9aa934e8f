"""What follows from the request alone: how long the session may be silent, its type where the
node does not say one, and its exit status when a signal ends it."""

from typing import Optional, Tuple

from ..channel.events import Started
from . import notices
from .environment import Environment
from .lifecycle import Limits
from .types import ClientConfig, SessionConfig, SessionType

# Seconds. A command that waits for input prints nothing, and input waits for the node's first
# message. A handshake would have begun within a second or two.
QUIET_COMMAND_LIMIT = 10.0

# Seconds for finding credentials, which come between connecting and the upgrade.
SIGNING_LIMIT = 20.0

# Documents that open a shell. What others open is not known before the agent says so, if it does.
_SHELL_DOCUMENTS = (None, "", "SSM-SessionManagerRunShell")


def may_be_silent(config: SessionConfig, expected: SessionType) -> bool:
    """Whether silence is normal: a shell prints a prompt, a command may print nothing."""
    if expected is SessionType.INTERACTIVE_COMMANDS:
        return True
    if expected is not SessionType.STANDARD_STREAM:
        return False  # these begin with a handshake, which comes at once
    return config.document_name not in _SHELL_DOCUMENTS


def limits_of(
    config: SessionConfig,
    client_config: ClientConfig,
    environment: Environment,
    has_foreign_channel: bool = False,
) -> Limits:
    """The limits of the session's lifecycle."""
    network, expected = environment.network, client_config.session_type
    first_output: Optional[float] = network.first_output_timeout
    quiet_start: Optional[float] = None
    if expected is SessionType.INTERACTIVE_COMMANDS:
        quiet_start = QUIET_COMMAND_LIMIT
    elif may_be_silent(config, expected):
        quiet_start = first_output
    elif expected is SessionType.STANDARD_STREAM and environment.streams.is_watched:
        first_output = None  # a person sees that nothing comes, and can end it
    if has_foreign_channel:
        first_output = None  # it may never report any output
    return Limits(
        connect=2 * network.connect_timeout + SIGNING_LIMIT,
        first_output=first_output,
        quiet_start=quiet_start,
        reconnect=network.reconnect_timeout,
        attempt=network.connect_timeout,
    )


def type_of(started: Started, expected: SessionType) -> str:
    """The session's type: as the node said, or, without a handshake, what was asked for."""
    if started.session_type:
        return started.session_type
    if expected is SessionType.INTERACTIVE_COMMANDS:
        return expected.value
    return SessionType.STANDARD_STREAM.value


def signal_end(
    environment: Environment, expected: SessionType, signum: int
) -> Tuple[int, Optional[str]]:
    """The exit status of a session that this signal ends, and the notice in place of the usual
    one."""
    status = environment.port_signal_status
    if status is None or expected is not SessionType.PORT:
        return 128 + signum, None
    return status, notices.TERMINATE_SIGNAL + notices.END
