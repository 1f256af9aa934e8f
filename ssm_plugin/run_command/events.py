"""What happens to the commands of one order, as events for the thread that decides."""

from typing import Optional, Union

from ..errors import SsmPluginError
from ..jobs.fleet import EngineEvent
from ..named_tuple import NamedTuple
from .listing import Look
from .output import Fetched
from .sending import Shipment


class Sent(NamedTuple):
    shipment: Shipment
    command_id: str


class NotSent(NamedTuple):
    shipment: Shipment
    error: SsmPluginError


class Looked(NamedTuple):
    command_id: str
    look: Look


class NotLooked(NamedTuple):
    """The command cannot be followed any more."""

    command_id: str
    error: SsmPluginError


class RoundOver(NamedTuple):
    """One look at all commands is over; it took so many seconds."""

    seconds: float


class OutputCame(NamedTuple):
    """A node's output was written, or ``error`` says why not. ``details`` are those of the list."""

    command_id: str
    node_id: str
    details: str
    fetched: Optional[Fetched]
    error: Optional[SsmPluginError] = None
    is_unread: bool = False


class NotCancelled(NamedTuple):
    command_id: str
    error: SsmPluginError


Told = Union[Sent, NotSent, Looked, NotLooked, RoundOver, OutputCame, NotCancelled]


class CallEvent(EngineEvent):
    """One of the above, for the queue that signals come into, too."""

    def __init__(self, told: Told) -> None:
        self.told = told
