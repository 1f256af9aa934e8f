"""Run Command as the engine of a fleet: what the sessions' engine does, done by AWS.

The order is the same, and so are the results. A lost terminal (SIGHUP) ends nothing: the command
goes on at AWS, and :mod:`attaching` finds it again.
"""

import queue
from typing import Any, Callable, Dict, Optional, Sequence

from ..aws.client import ServiceClient
from ..jobs.engine import FleetEngine, FleetOrder, StreamsOf, Tell, ignore
from ..jobs.fleet import FleetEvent
from ..jobs.fleet_progress import FleetProgress
from ..jobs.request import FleetOutcome
from ..session.environment import Environment
from ..session.streams import OutputGone, say
from .attaching import Attached
from .errands import Errands
from .patience import PatientCalls
from .sending import DELIVERY, Bucket, check_order, request_of, shipments
from .supervision import Supervision


class RunCommandEngine(FleetEngine):
    """``targets`` are SendCommand's, where they mean the nodes of the order. ``bucket`` takes the
    whole output. ``attached``: nothing is sent. ``quiet``: no notices."""

    def __init__(
        self,
        environment: Environment,
        targets: Sequence[Dict[str, Any]] = (),
        bucket: Optional[Bucket] = None,
        attached: Optional[Attached] = None,
        quiet: bool = False,
    ) -> None:
        self._environment = environment
        self._targets = targets
        self._bucket = attached.bucket if attached else bucket
        self._attached = attached
        self._quiet = quiet

    def run(
        self,
        order: FleetOrder,
        streams: StreamsOf,
        events: "queue.Queue[FleetEvent]",
        progress: Optional[FleetProgress] = None,
        tell: Tell = ignore,
    ) -> FleetOutcome:
        """:raises UsageError: for what Run Command cannot do; then nothing was sent"""
        progress = progress or FleetProgress(len(order.nodes), quiet=True)
        waiting = self._environment.waiting
        delivery = waiting.limit if waiting else DELIVERY
        script = "" if self._attached else check_order(order)
        to_send = () if self._attached else shipments(order.nodes, order.plan, self._targets)
        errands = Errands(
            self._calls,
            lambda shipment: request_of(shipment, script, order, delivery, self._bucket),
            events.put,
            order.plan.parallel,
            self._bucket,
        )
        return Supervision(
            order,
            to_send,
            errands,
            None if self._attached else delivery,
            streams,
            events,
            progress,
            tell,
            writer(progress),
            self._quiet,
            self._attached.commands if self._attached else (),
        ).run()

    def _calls(self) -> PatientCalls:
        service: Optional[ServiceClient] = self._environment.service
        assert service is not None, "commands are sent to the service"
        return PatientCalls(service)


def writer(progress: FleetProgress) -> Callable[[str], object]:
    """Writes a line on stderr beside the progress."""

    def write(text: str) -> None:
        try:
            with progress:
                say(text)
        except OutputGone:
            pass  # a terminal that is gone: the command goes on all the same

    return write
