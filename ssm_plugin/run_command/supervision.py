"""Brings the commands of one order to their end: one thread decides, others make the calls.

What is to be sent waits until there is room for it. What was sent is looked at, again and again; a
node that has ended has its output fetched. Limits and signals cancel. Every node gets one result.
"""

import queue
import signal
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Set

from ..errors import SsmPluginError
from ..jobs.engine import FleetOrder, StreamsOf, Tell
from ..jobs.fleet import AGAIN
from ..jobs.fleet_progress import FleetProgress
from ..jobs.request import CommandResult, FleetOutcome
from ..named_tuple import NamedTuple
from ..nodes.targets import Found
from ..session.streams import EXIT_OUTPUT_GONE
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..terminal.status_line import INTERVAL
from ..transport.worker import WorkerFailed
from .errands import Errands
from .events import (
    Looked,
    NotCancelled,
    NotLooked,
    NotSent,
    OutputCame,
    RoundOver,
    RunEvent,
    Sent,
)
from .following import Interval, SentCommand
from .sending import Shipment, at_once, split
from .statuses import (
    EXIT_FAILED,
    NOBODY,
    Cause,
    Verdict,
    given_up,
    left_behind,
    not_chosen,
    signalled,
    stopped,
    verdict,
)

# Seconds without any end, after a signal, before we leave without those that still run.
LEAVE_LIMIT = 20.0


class Limits(NamedTuple):
    """Seconds that a node may run, and that AWS may try to reach it; None: without end."""

    time: Optional[float] = None
    delivery: Optional[float] = None


class Supervision:
    """``attached`` are commands that were sent before, with their nodes. ``say`` writes a notice,
    ``complain`` what also is told to who wants no notices."""

    def __init__(
        self,
        order: FleetOrder,
        shipments: Sequence[Shipment],
        errands: Errands,
        limits: Limits,
        streams: StreamsOf,
        events: "queue.Queue[Any]",
        progress: FleetProgress,
        tell: Tell,
        say: Callable[[str], object],
        complain: Callable[[str], object],
        attached: Sequence[SentCommand] = (),
    ) -> None:
        self._order = order
        self._nodes: List[Found] = list(order.nodes)
        self._numbers = {node.target: at for at, node in enumerate(self._nodes)}
        self._waiting: Deque[Shipment] = deque(shipments)
        self._slots = at_once(len(shipments), order.plan)
        self._errands, self._limits = errands, limits
        self._streams, self._events, self._progress = streams, events, progress
        self._tell, self._say, self._complain = tell, say, complain
        self._sending = 0
        self._commands: Dict[str, SentCommand] = {one.command_id: one for one in attached}
        self._command_of: Dict[str, str] = {
            node_id: one.command_id for one in attached for node_id in one.nodes
        }
        self._untold: List[str] = []
        self._results: Dict[int, CommandResult] = {}
        self._causes: Dict[str, Cause] = {}
        self._interval = Interval()
        self._look_at = time.monotonic()
        self._changed = False
        self._is_looking = False
        self._limit_at: Optional[float] = None
        self._failed = 0
        self._failed_ids: Set[str] = set()
        self._stop_reason = 0
        self._began = time.time()
        self._signal: Optional[int] = None
        self._signalled_at = 0.0
        self._is_detached = False
        self._leave_at: Optional[float] = None
        self._failure: Optional[BaseException] = None

    def run(self) -> FleetOutcome:
        """The results in the order of the nodes. Raises what is no ``SsmPluginError``."""
        try:
            self._go_on()
        finally:
            self._progress.close()
            self._errands.close()
        if self._failure is not None:
            raise self._failure
        self._tell_ids()
        for number in range(len(self._nodes)):
            if number not in self._results:
                self._keep(number, self._without_result(self._nodes[number]))
        return FleetOutcome([self._results[at] for at in range(len(self._nodes))], self._signal)

    def _go_on(self) -> None:
        while not self._is_left:
            self._send_some()
            if len(self._results) == len(self._nodes):
                return
            self._look_if_due()
            self._check_limits()
            self._show()
            try:
                self._react(self._events.get(timeout=self._patience()))
            except queue.Empty:
                pass  # it is time to look again, for a limit, or to leave

    @property
    def _is_left(self) -> bool:
        if self._is_detached and not self._sending:
            return True
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def _patience(self) -> Optional[float]:
        now = time.monotonic()
        moments = [self._leave_at, self._limit_at]
        if self._commands and not self._is_looking:
            moments.append(self._look_at)
        if self._progress.is_drawn:
            moments.append(now + INTERVAL)
        left = [moment - now for moment in moments if moment is not None]
        return max(0.0, min(left)) if left else None

    def _show(self) -> None:
        if self._progress.is_drawn:
            total, over = len(self._nodes), len(self._results)
            running = sum(len(one.running) for one in self._commands.values())
            waiting = max(0, total - over - running)
            self._progress.show(waiting, running, over - self._failed, self._failed)

    def _react(self, event: RunEvent) -> None:
        if isinstance(event, Looked):
            self._take_look(event)
        elif isinstance(event, OutputCame):
            self._take_output(event)
            self._errands.taken()
        elif isinstance(event, RoundOver):
            self._is_looking = False
            self._look_at = self._interval.after(time.monotonic(), event.seconds, self._changed)
            self._changed = False
        elif isinstance(event, Sent):
            self._take_sent(event)
        elif isinstance(event, NotSent):
            self._take_refusal(event)
        elif isinstance(event, NotLooked):
            self._lose(event)
        elif isinstance(event, NotCancelled):
            self._complain("command %s was not cancelled: %s" % event)
        elif isinstance(event, WorkerFailed):
            self._failure = self._failure or event.error
            self._end(signal.SIGTERM)
        elif isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
            self._take_signal(event)

    # Sending

    def _send_some(self) -> None:
        while self._waiting and len(self._commands) + self._sending < self._slots:
            self._sending += 1
            self._errands.send(self._waiting.popleft())

    def _take_sent(self, event: Sent) -> None:
        self._sending -= 1
        shipment, command_id = event
        ids = [node.target for node in shipment.nodes]
        self._commands[command_id] = SentCommand(command_id, ids, bool(shipment.targets))
        self._command_of.update((one, command_id) for one in ids)
        self._untold.append(command_id)
        if not self._sending or self._is_detached:
            self._tell_ids()
        if not self._is_looking:
            self._look_at = time.monotonic() + self._interval.first
        if self._signal is not None and not self._is_detached:
            self._errands.cancel(command_id)

    def _tell_ids(self) -> None:
        """Once for all that were sent together."""
        ids, self._untold = ",".join(self._untold), []
        if ids:
            self._say("sent; 'ssm-plugin exec --attach %s' follows it from anywhere" % ids)

    def _take_refusal(self, event: NotSent) -> None:
        self._sending -= 1
        wrong, others = split(event.shipment, event.error)
        for node in wrong:
            self._fail(node, str(event.error), event.error)
        if self._signal is None and not self._stop_reason:
            self._slots += max(0, len(others) - 1)
            self._waiting.extendleft(reversed(others))

    # Following

    def _look_if_due(self) -> None:
        if self._commands and not self._is_looking and time.monotonic() >= self._look_at:
            self._is_looking = True
            self._errands.look(
                [(one.command_id, one.asks_for_whole) for one in self._commands.values()]
            )

    def _take_look(self, event: Looked) -> None:
        command = self._commands.get(event.command_id)
        if command is None:
            return
        ended, changed = command.take(event.look.seen, time.monotonic())
        self._changed = self._changed or changed
        for entry in ended:
            if entry.details != "Success":
                # Now: nothing more may be sent while its output is fetched.
                self._note_failure(entry.node_id)
            self._errands.fetch(command.command_id, self._node(entry.node_id), entry.details,
                                self._streams)
        for node_id in command.missing(event.look.is_over):
            node = self._node(node_id)
            self._judge(node, not_chosen(node.name, event.look.details))
        self._plan_limits()
        if command.is_over:
            del self._commands[command.command_id]

    def _node(self, node_id: str) -> Found:
        """One that the tag names by now, too, is a node like all others."""
        if node_id not in self._numbers:
            self._numbers[node_id] = len(self._nodes)
            self._nodes.append(Found(node_id, node_id))
        return self._nodes[self._numbers[node_id]]

    def _lose(self, event: NotLooked) -> None:
        command = self._commands.pop(event.command_id, None)
        for node_id in sorted(command.open) if command else ():
            reason = "command %s cannot be followed, and goes on: %s" % event
            self._fail(self._node(node_id), reason, event.error)

    def _take_output(self, event: OutputCame) -> None:
        node = self._node(event.node_id)
        fetched, cause = event.fetched, self._causes.get(event.node_id, NOBODY)
        if event.error is not None:
            self._fail(node, str(event.error), event.error)
            return
        if event.is_unread:
            self._judge(node, Verdict(EXIT_OUTPUT_GONE, "nobody reads the output any more"))
            return
        if event.details == "Terminated":
            cause = Cause(failed=self._most_failed)
        if fetched is None:
            found = verdict(node.name, event.details, -1, cause=cause)
            self._judge(node, found)
            return
        found = verdict(
            node.name, fetched.details or event.details, fetched.code, fetched.said, fetched.ran,
            cause, self._limits.time,
        )
        result = self._result(node, found)
        began = fetched.started_at or result.started_at
        self._finish(node, result._replace(
            started_at=began,
            ended_at=max(began, fetched.ended_at or result.ended_at),
            stdout_bytes=fetched.stdout_bytes,
            stderr_bytes=fetched.stderr_bytes,
            truncated=fetched.cut,
        ))
        if fetched.cut:
            self._complain(_cut_line(node.name, fetched.cut))

    @property
    def _most_failed(self) -> Optional[int]:
        limit = self._order.plan.max_errors
        return limit.of(len(self._nodes)) if limit else None

    # Limits

    def _plan_limits(self) -> None:
        moments = [
            one.next_limit(self._limits.time, self._limits.delivery, self._causes)
            for one in self._commands.values()
        ]
        self._limit_at = min((one for one in moments if one is not None), default=None)

    def _check_limits(self) -> None:
        now = time.monotonic()
        if self._limit_at is None or now < self._limit_at:
            return
        for command in self._commands.values():
            late = command.late(now, self._limits.time)
            self._cancel(command, late, Cause(time_limit=self._limits.time))
            unanswered = command.unanswered(now, self._limits.delivery)
            self._cancel(command, unanswered, Cause(delivery=self._limits.delivery))
        self._plan_limits()

    def _cancel(self, command: SentCommand, node_ids: Sequence[str], cause: Cause) -> None:
        fresh = [one for one in node_ids if one not in self._causes]
        for one in fresh:
            self._causes[one] = cause
        if fresh:
            self._errands.cancel(command.command_id, fresh)
            self._look_soon()

    def _look_soon(self) -> None:
        self._interval = Interval()
        self._look_at = min(self._look_at, time.monotonic() + self._interval.first)

    # Ends

    def _fail(self, node: Found, reason: str, error: SsmPluginError) -> None:
        self._judge(node, Verdict(EXIT_FAILED, reason, error))

    def _judge(self, node: Found, found: Verdict) -> None:
        self._finish(node, self._result(node, found))

    def _result(self, node: Found, found: Verdict) -> CommandResult:
        return CommandResult(
            node.name, found.status, found.reason, "", self._began, time.time(), 0, 0, found.error,
            node.target, command_id=self._command_of.get(node.target, ""),
        )

    def _finish(self, node: Found, result: CommandResult) -> None:
        self._keep(self._numbers[node.target], result)
        if result.status:
            self._failed += 1
            self._note_failure(node.target)
        if self._leave_at is not None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT

    def _keep(self, number: int, result: CommandResult) -> None:
        if number not in self._results:
            self._results[number] = result
            self._tell(result)

    def _note_failure(self, node_id: str) -> None:
        self._failed_ids.add(node_id)
        limit, failed = self._most_failed, len(self._failed_ids)
        if limit is not None and failed >= limit and not self._stop_reason:
            self._stop(limit)

    def _stop(self, limit: int) -> None:
        """Nothing more is begun; what runs goes on."""
        if self._signal is not None:
            return
        self._stop_reason = limit
        dropped, self._waiting = self._waiting, deque()
        for shipment in dropped:
            for node in shipment.nodes:
                self._keep(
                    self._numbers[node.target], self._result(node, stopped(node.name, limit))
                )
        for command in self._commands.values():
            self._cancel(command, command.not_sent(), Cause(failed=limit))

    def _take_signal(self, event: Signalled) -> None:
        if event.signum == signal.SIGHUP and self._signal is None:
            self._signal, self._is_detached = event.signum, True
            self._waiting.clear()
            self._leave_at = time.monotonic() + LEAVE_LIMIT
        elif self._signal is None:
            self._signal = event.signum
            self._signalled_at = time.monotonic()
            self._end(event.signum)
        elif event.signum in (signal.SIGINT, self._signal):
            if time.monotonic() - self._signalled_at >= AGAIN:
                self._leave_at = 0.0

    def _end(self, signum: int) -> None:
        self._waiting.clear()
        self._errands.stop_sending()
        for command in self._commands.values():
            for node_id in command.open:
                self._causes.setdefault(node_id, Cause(signum=signum))
            self._errands.cancel(command.command_id)
        self._look_soon()
        if self._leave_at is None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT

    def _without_result(self, node: Found) -> CommandResult:
        """Of what a signal kept from beginning, or what was not waited for."""
        signum = self._signal or int(signal.SIGTERM)
        command_id = self._command_of.get(node.target)
        if command_id is None:
            return self._result(node, signalled(node.name, signum, ran=False))
        if self._is_detached:
            return self._result(node, left_behind(node.name, signum, command_id))
        return self._result(node, given_up(node.name, signum))


def _cut_line(name: str, streams: Sequence[str]) -> str:
    return "%s: the end of %s is missing, as Run Command keeps only the beginning; --output-s3 " \
        "brings all" % (name, " and ".join(streams))
