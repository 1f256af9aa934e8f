"""The same work on many nodes, each in a session and thread of its own, so many at a time."""

import queue
import signal
import time
from typing import Callable, Dict, Optional, Sequence, Set, Union

from ..errors import SessionInterrupted, SsmPluginError
from ..fleet_plan import DEFAULT_PLAN, FleetPlan
from ..named_tuple import NamedTuple
from ..nodes.targets import Found
from ..session.streams import EXIT_OUTPUT_GONE
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..terminal.status_line import INTERVAL
from ..transport.worker import Worker, WorkerFailed
from .fleet_progress import FleetProgress
from .request import UNREAD, CommandResult, FleetOutcome
from .schedule import Schedule

EXIT_NOT_BEGUN = 255

# A signal that comes again sooner, in seconds, is the same one: timeout(1) sends each twice.
AGAIN = 0.1

# Seconds without any end, after a signal, before we leave without those that still run: one may be
# stuck in writing to a pipe that nobody reads.
LEAVE_LIMIT = 6.0

# Seconds that the service has to end the sessions of those.
GIVE_UP_LIMIT = 1.0


class Arrived(NamedTuple):
    """The event: the work of this number has reached its node, or waits for it."""

    number: int


class Finished(NamedTuple):
    """The event: the work on the node of this number has ended."""

    number: int
    result: CommandResult


class Broken(NamedTuple):
    """The event: the work on the node of this number raised what it never should."""

    number: int
    error: BaseException


class EngineEvent:
    """Base of what another engine than this one tells itself."""


FleetEvent = Union[Arrived, Finished, Broken, WorkerFailed, Signalled, EngineEvent]


class FleetMember:
    """What a fleet runs: a command, or other work that one session after the other does at a node.
    ``run`` blocks, in a thread of the fleet, and never raises an ``SsmPluginError``: it is in
    the result. ``signal`` ends it, from any thread. ``session_id`` is empty until there is one.
    ``arrived`` is called, by any thread and as often as it likes, once the work waits for its node
    more than for this machine: then others may be started."""

    session_id = ""
    arrived: Callable[[], object] = staticmethod(lambda: None)

    def run(self) -> CommandResult:
        raise NotImplementedError

    def signal(self, event: Signalled) -> None:
        raise NotImplementedError

    def give_up(self) -> Callable[[float], object]:
        """Nobody waits for this any longer: begin to end it at the service. The function that is
        returned waits for that end, at most so many seconds."""
        return lambda seconds: None


class Fleet:
    """``make`` gives the work on a node, when its turn comes and not before; what it raises is the
    result of that node. A failure of one stops no other, unless the plan says so. Once nobody reads
    the output no more are begun.

    A ``Signalled`` in ``events`` ends those that run, and no more are begun; at a second one
    ``run`` returns at once. ``tell`` gets each result, in the order in which they end, in the
    thread of ``run``; those of nodes that were not begun come last.
    """

    def __init__(
        self,
        nodes: Sequence[Found],
        make: Callable[[Found], FleetMember],
        plan: FleetPlan = DEFAULT_PLAN,
        events: "Optional[queue.Queue[FleetEvent]]" = None,
        progress: Optional[FleetProgress] = None,
        tell: Callable[[CommandResult], object] = lambda result: None,
    ) -> None:
        self._nodes = nodes
        self._make = make
        self._events: "queue.Queue[FleetEvent]" = events or queue.Queue()
        self._progress = progress or FleetProgress(len(nodes), quiet=True)
        self._tell = tell
        self._schedule = Schedule(len(nodes), plan)
        self._running: Dict[int, FleetMember] = {}
        self._starting: Set[int] = set()
        self._results: Dict[int, CommandResult] = {}
        self._signal: Optional[int] = None
        self._signalled_at = 0.0
        self._leave_at: Optional[float] = None
        self._failure: Optional[BaseException] = None

    def run(self) -> FleetOutcome:
        """The results in the order of the nodes. Raises any error but an ``SsmPluginError``."""
        try:
            self._go_on()
        finally:
            self._progress.close()
        self._give_up()
        if self._failure is not None:
            raise self._failure
        for number in range(len(self._nodes)):
            if number not in self._results:
                self._keep(number, self._without_result(number))
        results = [self._results[number] for number in range(len(self._nodes))]
        return FleetOutcome(results, self._signal)

    def _go_on(self) -> None:
        while not self._is_left:
            self._start_some()
            if self._schedule.is_over:
                return
            self._show()
            try:
                self._react(self._events.get(timeout=self._patience()))
            except queue.Empty:
                pass  # a pause is over, the line is to be drawn again, or it is time to leave

    @property
    def _is_left(self) -> bool:
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def _start_some(self) -> None:
        while self._schedule.may_start(time.monotonic()):
            number = self._schedule.begun
            self._schedule.started()
            self._starting.add(number)
            try:
                self._start(number)
            except SsmPluginError as error:
                self._events.put(Finished(number, self._failed(number, error)))
                return

    def _start(self, number: int) -> None:
        member = self._make(self._nodes[number])
        worker = Worker(
            "command %d" % number,
            lambda: self._events.put(Finished(number, member.run())),
            lambda failed: self._events.put(Broken(number, failed.error)),
        )
        member.arrived = lambda: self._events.put(Arrived(number))
        self._running[number] = member
        worker.start()

    def _patience(self) -> Optional[float]:
        """Seconds until something is to be done although nothing happens."""
        now = time.monotonic()
        moments = [self._schedule.wake_at(), self._leave_at]
        if self._progress.is_drawn:
            moments.append(now + INTERVAL)
        left = [moment - now for moment in moments if moment is not None]
        return max(0.0, min(left)) if left else None

    def _show(self) -> None:
        now = self._schedule
        self._progress.show(now.waiting, now.running, now.done, now.failed)

    def _react(self, event: FleetEvent) -> None:
        if isinstance(event, Arrived):
            self._arrived(event.number)
        elif isinstance(event, Finished):
            self._keep(event.number, event.result)
            if event.result.reason == UNREAD:
                self._schedule.stop(UNREAD)  # others would be ended in the middle, too
            self._over(event.number, bool(event.result.status))
        elif isinstance(event, Broken):
            self._over(event.number, True)
            self._break(event.error)
        elif isinstance(event, WorkerFailed):
            self._break(event.error)
        elif isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
            self._take_signal(event)

    def _keep(self, number: int, result: CommandResult) -> None:
        self._results[number] = result
        self._tell(result)

    def _arrived(self, number: int) -> None:
        if number in self._starting:
            self._starting.remove(number)
            self._schedule.arrived()

    def _over(self, number: int, has_failed: bool) -> None:
        self._arrived(number)
        self._running.pop(number, None)
        self._schedule.ended(has_failed, time.monotonic())
        if self._leave_at is not None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT

    def _break(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._end(Signalled(signal.SIGTERM))

    def _take_signal(self, event: Signalled) -> None:
        if self._signal is None:
            self._signal = event.signum
            self._end(event)
            self._signalled_at = time.monotonic()
        elif event.signum in (signal.SIGINT, self._signal):
            if time.monotonic() - self._signalled_at >= AGAIN:
                self._leave_at = 0.0

    def _end(self, event: Signalled) -> None:
        self._schedule.stop("signal %d came" % event.signum)
        for member in self._running.values():
            member.signal(event)
        if self._leave_at is None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT

    def _give_up(self) -> None:
        """Leave alone what still runs; the service is asked to end it."""
        leave_at = time.monotonic() + GIVE_UP_LIMIT
        for wait in [member.give_up() for member in self._running.values()]:
            wait(max(0.0, leave_at - time.monotonic()))

    def _failed(self, number: int, error: SsmPluginError) -> CommandResult:
        """The result of work that could not even be made."""
        return self._result(number, EXIT_NOT_BEGUN, str(error), error)

    def _without_result(self, number: int) -> CommandResult:
        """The result of work that was not begun, or not waited for."""
        node, status = self._nodes[number], EXIT_NOT_BEGUN
        if self._signal is not None:
            status = 128 + self._signal
        elif self._schedule.stopped == UNREAD:
            status = EXIT_OUTPUT_GONE
        reason = "not begun: %s" % self._schedule.stopped
        if number in self._running:
            reason = "given up: it did not end after signal %d" % (self._signal or 0)
        error = SessionInterrupted("the command on %s was %s" % (node.name, reason), status)
        return self._result(number, status, reason, error)

    def _result(
        self, number: int, status: int, reason: str, error: SsmPluginError
    ) -> CommandResult:
        node, now = self._nodes[number], time.time()
        member = self._running.get(number)
        session_id = member.session_id if member else ""
        return CommandResult(
            node.name, status, reason, session_id, now, now, 0, 0, error, node.target
        )
