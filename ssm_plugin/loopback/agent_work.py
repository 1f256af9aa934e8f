"""What an agent does while its session is open, one class for each kind of session; and what the
programs that it starts have in common.

All methods are called in the agent's own thread, except where they say otherwise.
"""

import os
import queue
import signal
from typing import Dict, Iterable, List, Mapping, Optional, Tuple, Union

from ..named_tuple import NamedTuple
from ..session.events import RunnerEvent
from ..transport.data_channel import ChannelEvent, DataChannel
from .agent_documents import Assignment, Document
from .agent_handshake import Encryption
from .agent_link import AgentLink
from .gateway_session import RunningAgent

# The kind of terminal that programs are told, unless it is chosen.
TERM = "xterm-256color"

# Seconds between asking a program to end and killing it.
KILL_AFTER = 1.0

# Variables of the local service's own environment: the size of another terminal, and the response
# that starts a session.
_NOT_PASSED_ON = ("COLUMNS", "LINES", "AWS_SSM_START_SESSION_RESPONSE")


class AgentOptions(NamedTuple):
    """``shell`` is an argv, else ``$SHELL`` or ``/bin/sh``. ``documents`` are known besides AWS's
    own. ``handshake_limit`` is in seconds. ``paces_commands``: the
    fault ``pace`` is for them too, which no real node does. ``term`` is the kind of terminal that
    programs are told."""

    shell: Optional[Tuple[str, ...]] = None
    documents: Mapping[str, Document] = {}
    encryption: Optional[Encryption] = None
    agent_version: str = "3.3.0.0"
    handshake_limit: float = 15.0
    paces_commands: bool = False
    term: str = TERM


class WorkDone(NamedTuple):
    """The event: the session is over from the agent's side; ``reason`` is empty if all is well."""

    reason: str = ""


# A ``RunnerEvent`` is what threads that the agent shares with the client's runners tell.
AgentEvent = Union[ChannelEvent, RunnerEvent, WorkDone]


class WorkingAgent(RunningAgent):
    """The agent as its :class:`Work` sees it."""

    options: AgentOptions
    assignment: Assignment
    client_version: str
    events: "queue.Queue[AgentEvent]"
    link: AgentLink
    channel: DataChannel

    def taken(self, size: int) -> None:
        """``size`` bytes of input have arrived at their target. From any thread."""
        raise NotImplementedError


class Work:
    """Threads of a work send with ``agent.channel.send_input_data``, which waits while the window
    is full and raises ``SessionLost`` once the session is over. Its end is a :class:`WorkDone` in
    ``agent.events``, after the last output was sent.
    """

    def __init__(self, agent: WorkingAgent) -> None:
        self.agent = agent

    def start(self) -> None:
        """The session is open. What is raised here ends it, and is the reason."""

    def output(self, payload_type: int, data: bytes) -> None:
        """Take input of the client, without waiting. ``agent.taken(len(data))`` follows, from any
        thread, once its target has it, or at once where it has none."""
        self.agent.taken(len(data))

    @property
    def is_deaf(self) -> bool:
        """Whether the agent hears nothing for now, the end of its session included."""
        return False

    def sweep(self) -> None:
        """The local service ends: so does what a real node would let live on. From any thread."""

    def stop(self) -> None:
        """End what runs, wake all threads. Called once, on every way out, before the channel is
        closed: do not wait for a thread that may be sending."""

    def join(self, seconds: float) -> None:
        """Wait for the threads, free what they used. The channel is closed by now."""


def environment(**more: str) -> Dict[str, str]:
    """The environment of a program at the node."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
    }
    variables.update(more)
    return variables


def encoded(words: Iterable[str]) -> List[bytes]:
    """A program's arguments. Where the locale is C, Python 3.6 would make ASCII of them."""
    return [bytes(word, "utf-8", "surrogateescape") for word in words]


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group, if there still is one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended; macOS says the latter of a group of zombies


def kill_sessions(leaders: Iterable[int]) -> None:
    """Kill what is left of the sessions of leaders that have ended, where /proc tells.

    A leader's number is given to another process only when nobody of the session is left."""
    gone = frozenset(leader for leader in leaders if not _exists(leader))
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for number in numbers:
        try:
            if os.getsid(number) in gone:
                os.kill(number, signal.SIGKILL)
        except OSError:
            pass  # it has ended, or is another user's


def _exists(number: int) -> bool:
    try:
        os.getsid(number)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is not for us to know more
    return True
