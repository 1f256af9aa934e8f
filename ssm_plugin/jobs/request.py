"""What to run where, and how it went."""

from typing import Callable, NamedTuple, Optional, Tuple

from ..errors import SsmPluginError

DEFAULT_DOCUMENT = "AWS-StartNonInteractiveCommand"

# Blocks; 1 or more bytes, ``b""`` at the end of the input, None once nobody wants it any more.
ReadInput = Callable[[], Optional[bytes]]


class CommandRequest(NamedTuple):
    """``target`` is what the service knows; ``name`` what the user calls it. ``timeout`` is in
    seconds, over all. ``retries`` count for starting only: a command that ran is not run again."""

    target: str
    argv: Tuple[str, ...]
    name: str = ""
    document_name: str = DEFAULT_DOCUMENT
    timeout: Optional[float] = None
    retries: int = 0
    read_input: Optional[ReadInput] = None
    reason: Optional[str] = None


class CommandResult(NamedTuple):
    """``status`` as the exit status is; ``reason`` is empty if the command ended by itself. Times
    are seconds since the epoch. ``error`` is what went wrong on our side, if anything did."""

    name: str
    status: int
    reason: str
    session_id: str
    started_at: float
    ended_at: float
    stdout_bytes: int
    stderr_bytes: int
    error: Optional[SsmPluginError] = None

    @property
    def seconds(self) -> float:
        return self.ended_at - self.started_at


def shell_argv(line: str) -> Tuple[str, ...]:
    """The words that run a shell's command line."""
    return ("sh", "-c", line)
