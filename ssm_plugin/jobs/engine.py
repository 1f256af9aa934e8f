"""What runs a command on many nodes: an engine. Whoever asks need not know which one it is."""

import queue
from typing import Callable, Optional, Sequence, Tuple

from ..fleet_plan import FleetPlan
from ..named_tuple import NamedTuple
from ..nodes.targets import Found
from ..session.environment import Environment
from ..session.streams import Streams
from .fleet import Fleet, FleetEvent
from .fleet_progress import FleetProgress
from .remote_command import RemoteCommand
from .request import (
    DEFAULT_DOCUMENT,
    CommandRequest,
    CommandResult,
    FleetOutcome,
    ReadInput,
)

# Gives the streams that take the output of a node. They are asked for when its command starts, and
# finished when it has ended.
StreamsOf = Callable[[Found], Streams]

Tell = Callable[[CommandResult], object]


def ignore(result: CommandResult) -> None:
    pass


class FleetOrder(NamedTuple):
    """``timeout`` is in seconds, for each node. ``retries`` count for starting only. ``read_input``
    is for one node alone."""

    nodes: Sequence[Found]
    argv: Tuple[str, ...]
    plan: FleetPlan = FleetPlan()
    document_name: str = DEFAULT_DOCUMENT
    timeout: Optional[float] = None
    retries: int = 0
    read_input: Optional[ReadInput] = None
    reason: Optional[str] = None

    def request(self, node: Found) -> CommandRequest:
        """The request for one node."""
        return CommandRequest(
            node.target,
            self.argv,
            node.name,
            self.document_name,
            self.timeout,
            self.retries,
            self.read_input,
            self.reason,
        )


class FleetEngine:
    """An engine implements this."""

    def run(
        self,
        order: FleetOrder,
        streams: StreamsOf,
        events: "queue.Queue[FleetEvent]",
        progress: Optional[FleetProgress] = None,
        tell: Tell = ignore,
    ) -> FleetOutcome:
        """Blocks until all have ended, with one result for each node of the order.

        A ``Signalled`` in ``events`` ends what runs and begins nothing more; a second one leaves at
        once. ``tell`` gets each result, in the order in which they end, in this thread. What a node
        fails with is in its result; what ``streams`` or ``tell`` raise ends all and comes out."""
        raise NotImplementedError


class SessionsEngine(FleetEngine):
    """A session for each node, so many at once."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def run(
        self,
        order: FleetOrder,
        streams: StreamsOf,
        events: "queue.Queue[FleetEvent]",
        progress: Optional[FleetProgress] = None,
        tell: Tell = ignore,
    ) -> FleetOutcome:
        def make(node: Found) -> RemoteCommand:
            return RemoteCommand(order.request(node), self._environment, streams(node))

        return Fleet(order.nodes, make, order.plan, events, progress, tell).run()
