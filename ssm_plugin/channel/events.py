"""What the protocol core tells its owner, in the order in which it happened."""

from typing import Mapping, Union

from ..errors import SsmPluginError
from ..named_tuple import NamedTuple


class Output(NamedTuple):
    """Data of one payload type, opened and joined: bytes for Output and StdErr.

    ``payload_type`` is OUTPUT, STDERR, EXIT_CODE, or anything that the core does not handle itself
    (FLAG, SIZE, for the agent's side the handshake response).
    """

    payload_type: int
    data: bytes

    def __repr__(self) -> str:
        return "Output(type %d, %d bytes)" % (self.payload_type, len(self.data))


class KeyRequested(NamedTuple):
    """The agent wants encryption: answer with ``provide_key`` or ``refuse_key``.

    ``challenge`` is empty if the agent sent none; else it belongs into the encryption context.
    """

    key_id: str
    challenge: str


class Started(NamedTuple):
    """The session is open. ``session_type`` is the agent's word; empty if it sent no handshake."""

    session_type: str
    properties: Mapping[str, object]
    agent_version: str
    customer_message: str
    encrypted: bool


class Acknowledged(NamedTuple):
    """The agent has got the control message of this number, whose sender wanted to know."""

    sequence: int


class ChannelClosed(NamedTuple):
    """The service ended the session. ``reason`` is empty on a normal end."""

    reason: str


class Terminating:
    """The agent has told the service, and by some relay us too, that it leaves the session."""


class Failed(NamedTuple):
    """The session cannot go on."""

    error: SsmPluginError


Event = Union[
    Output, KeyRequested, Started, Acknowledged, ChannelClosed, Terminating, Failed
]

