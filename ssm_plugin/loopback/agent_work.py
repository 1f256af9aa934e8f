"""What an agent does while its session is open, one class for each kind of session.

All methods are called in the agent's own thread, except where they say otherwise.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .agent import Agent


class WorkDone(NamedTuple):
    """The event: the session is over from the agent's side; ``reason`` is empty if all is well."""

    reason: str = ""


class Work:
    """Threads of a work send with ``agent.channel.send_input_data``, which waits while the window
    is full and raises ``SessionLost`` once the session is over. Its end is a :class:`WorkDone` in
    ``agent.events``, after the last output was sent.
    """

    def __init__(self, agent: "Agent") -> None:
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
