"""The calls that an order takes, made by a few threads, each of which does errands one after the
other: each call answers with an event, for the thread that decides."""

import queue
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from ..errors import LocalError, SsmPluginError
from ..jobs.engine import StreamsOf
from ..jobs.fleet import EngineEvent, FleetEvent
from ..named_tuple import NamedTuple
from ..nodes.targets import Found
from ..session.streams import OutputGone
from ..transport.worker import Worker, WorkerFailed
from .listing import Look, look
from .output import Fetched, OutputFetcher
from .patience import PatientCalls
from .sending import MOST_IDS, Bucket, Shipment, send
from .statuses import HAVE_OUTPUT

CANCEL = "ssm:CancelCommand"

# Outputs that are fetched at once, at most; and that may be there before the owner takes them.
FETCHERS = 8
_AHEAD = 2 * FETCHERS

Errand = Callable[[], object]


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


class WorkerPool:
    """At most ``count`` threads, which are started when there is something to do. An errand must
    handle its own errors: what it raises ends its thread, and ``failed`` gets it."""

    def __init__(self, name: str, count: int, failed: Callable[[WorkerFailed], object]) -> None:
        self._name = name
        self._count = count
        self._failed = failed
        self._errands: "queue.Queue[Optional[Errand]]" = queue.Queue()
        self._workers: List[Worker] = []
        self._given = 0
        self._closed = False

    def submit(self, errand: Errand) -> None:
        """Run this in one of the threads. To be called from one thread only."""
        self._errands.put(errand)
        self._given += 1
        if len(self._workers) < min(self._count, self._given):
            worker = Worker("%s %d" % (self._name, len(self._workers)), self._work, self._failed)
            try:
                worker.start()
                self._workers.append(worker)
            except LocalError:  # no more threads: those that there are do it all
                if not self._workers:
                    raise

    def close(self) -> None:
        """Take no more errands, and drop those that wait. Returns at once."""
        self._closed = True
        for _ in self._workers:
            self._errands.put(None)

    def _work(self) -> None:
        while True:
            errand = self._errands.get()
            if errand is None or self._closed:
                return
            errand()


class Errands:
    """``request_of`` gives the fields of SendCommand. ``put`` gets the events, from any thread.
    ``parallel`` bounds the outputs that are fetched at once, besides :data:`FETCHERS`."""

    def __init__(
        self,
        make_calls: Callable[[], PatientCalls],
        request_of: Callable[[Shipment], Dict[str, Any]],
        put: Callable[[FleetEvent], object],
        parallel: int,
        bucket: Optional[Bucket] = None,
    ) -> None:
        self._request_of = request_of
        self._tell = put
        # One for each kind: the waits of one must not end with, or hold up, another's.
        self._send_calls, self._look_calls, self._fetch_calls, self._cancel_calls = (
            make_calls() for _ in range(4)
        )
        self._sender = WorkerPool("send", 1, put)
        self._looker = WorkerPool("look", 1, put)
        self._fetchers = WorkerPool("fetch", max(1, min(parallel, FETCHERS)), put)
        self._canceller = WorkerPool("cancel", 1, put)
        self._room = threading.Semaphore(_AHEAD)
        self._fetcher = OutputFetcher(self._fetch_calls, bucket)

    def send(self, shipment: Shipment) -> None:
        def errand() -> None:
            try:
                command_id = send(self._send_calls, self._request_of(shipment))
                self._put(Sent(shipment, command_id))
            except SsmPluginError as error:
                self._put(NotSent(shipment, error))

        self._sender.submit(errand)

    def stop_sending(self) -> None:
        """What is throttled is not tried again."""
        self._send_calls.stop()

    def look(self, commands: Sequence[Tuple[str, bool]]) -> None:
        """Ask for the state of each command; the flag says whether to ask for the command as a
        whole, too."""

        def errand() -> None:
            began = time.monotonic()
            for command_id, with_whole in commands:
                try:
                    self._put(Looked(command_id, look(self._look_calls, command_id, with_whole)))
                except SsmPluginError as error:
                    self._put(NotLooked(command_id, error))
            self._put(RoundOver(time.monotonic() - began))

        self._looker.submit(errand)

    def fetch(self, command_id: str, node: Found, details: str, streams: StreamsOf) -> None:
        def errand() -> None:
            self._room.acquire()
            came = OutputCame(command_id, node.target, details, None)
            try:
                if details in HAVE_OUTPUT:
                    fetched = self._fetcher.fetch(command_id, node.target, lambda: streams(node))
                    came = came._replace(fetched=fetched)
                elif details != "Terminated":
                    streams(node).finish()
            except SsmPluginError as error:
                came = came._replace(error=error)
            except OutputGone:
                came = came._replace(is_unread=True)
            self._put(came)

        self._fetchers.submit(errand)

    def taken(self) -> None:
        """The owner has taken one output: there is room for another."""
        self._room.release()

    def cancel(self, command_id: str, node_ids: Sequence[str] = ()) -> None:
        """On these nodes; without any on all."""
        parts = [node_ids[at : at + MOST_IDS] for at in range(0, len(node_ids), MOST_IDS)] or [()]

        def errand() -> None:
            try:
                for part in parts:
                    request: Dict[str, Any] = {"CommandId": command_id}
                    if part:
                        request["InstanceIds"] = list(part)
                    self._cancel_calls.call(CANCEL, request, command_id)
            except SsmPluginError as error:
                self._put(NotCancelled(command_id, error))

        self._canceller.submit(errand)

    def _put(self, told: Told) -> None:
        self._tell(CallEvent(told))

    def close(self) -> None:
        self._fetcher.stop()
        for calls in (self._send_calls, self._look_calls, self._fetch_calls, self._cancel_calls):
            calls.stop()
        for _ in range(FETCHERS):
            self._room.release()
        for pool in (self._sender, self._looker, self._fetchers, self._canceller):
            pool.close()
