"""Brings the commands of one order to their end: one thread decides, others make the calls.

What is to be sent waits until there is room for it. What was sent is looked at, again and again; a
node that has ended has its output fetched. Limits and signals cancel. Every node gets one result.
"""

import queue
import signal
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Sequence, Set

from ..errors import SsmPluginError
from ..jobs.engine import FleetOrder, StreamsOf, Tell
from ..jobs.fleet import AGAIN, FleetEvent
from ..jobs.fleet_progress import FleetProgress
from ..jobs.request import UNREAD, FleetOutcome
from ..nodes.targets import Found
from ..session.streams import EXIT_OUTPUT_GONE
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..terminal.status_line import INTERVAL
from ..transport.worker import WorkerFailed
from .errands import (
    CallEvent,
    Errands,
    Looked,
    NotLooked,
    NotSent,
    OutputCame,
    RoundOver,
    Sent,
    Told,
)
from .following import Rounds, SentCommand
from .output import Fetched
from .patience import may_repeat
from .results import Results
from .sending import Shipment, at_once, split
from .statuses import (
    EXIT_FAILED,
    NOBODY,
    Cause,
    Verdict,
    not_chosen,
    not_sent,
    verdict,
    without_result,
)

# Seconds without any end, after a signal, before we leave without those that still run.
LEAVE_LIMIT = 20.0


class Supervision:
    """``delivery`` is for how many seconds AWS may try to reach a node; None: without end.
    ``attached`` are commands that were sent before, with their nodes. ``complain`` writes a line;
    if ``quiet``, only what has gone wrong."""

    def __init__(
        self,
        order: FleetOrder,
        shipments: Sequence[Shipment],
        errands: Errands,
        delivery: Optional[float],
        streams: StreamsOf,
        events: "queue.Queue[FleetEvent]",
        progress: FleetProgress,
        tell: Tell,
        complain: Callable[[str], object],
        quiet: bool,
        attached: Sequence[SentCommand] = (),
    ) -> None:
        self._order = order
        self._results = Results(order.nodes, tell)
        self._waiting: Deque[Shipment] = deque(shipments)
        self._slots = at_once(len(shipments), order.plan)
        self._errands = errands
        self._time_limit, self._delivery = order.timeout, delivery
        self._streams, self._events, self._progress = streams, events, progress
        self._complain, self._quiet = complain, quiet
        self._is_sending = False
        self._commands: Dict[str, SentCommand] = {one.command_id: one for one in attached}
        for one in attached:
            self._results.sent(one.command_id, one.nodes)
        self._untold: List[str] = []
        self._causes: Dict[str, Cause] = {}
        self._rounds = Rounds(time.monotonic())
        self._limit_at: Optional[float] = None
        self._failed_ids: Set[str] = set()
        self._stop_reason = 0
        self._signal: Optional[int] = None
        self._signalled_at = 0.0
        self._is_detached = False
        self._leave_at: Optional[float] = None
        self._failure: Optional[BaseException] = None

    def run(self) -> FleetOutcome:
        """The results in the order of the nodes. Raises any error but an ``SsmPluginError``."""
        try:
            self._go_on()
        finally:
            self._progress.close()
            self._errands.close()
        if self._failure is not None:
            raise self._failure
        self._tell_ids()
        signum = self._signal or int(signal.SIGTERM)
        for node in self._results.unknown():
            command_id = self._results.command_of(node)
            found = without_result(node.name, signum, command_id, self._is_detached)
            self._results.judged(node, found)
        return FleetOutcome(self._results.all(), self._signal)

    def _go_on(self) -> None:
        while not self._is_left:
            self._send_some()
            if self._results.over == self._results.total:
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
        if self._is_detached and not self._is_sending and not self._waiting:
            return True
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    @property
    def _is_ending(self) -> bool:
        """Nothing more is sent."""
        return bool(self._stop_reason) or (self._signal is not None and not self._is_detached)

    def _patience(self) -> Optional[float]:
        now = time.monotonic()
        moments = [self._leave_at, self._limit_at]
        if self._commands:
            moments.append(self._rounds.due_at)
        if self._progress.is_drawn:
            moments.append(now + INTERVAL)
        left = [moment - now for moment in moments if moment is not None]
        return max(0.0, min(left)) if left else None

    def _show(self) -> None:
        if self._progress.is_drawn:
            known = self._results
            running = sum(len(one.running) for one in self._commands.values())
            waiting = max(0, known.total - known.over - running)
            self._progress.show(waiting, running, known.over - known.failed, known.failed)

    def _react(self, event: FleetEvent) -> None:
        if isinstance(event, CallEvent):
            self._react_to_call(event.told)
        elif isinstance(event, WorkerFailed):
            self._failure = self._failure or event.error
            self._end(signal.SIGTERM)
        elif isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
            self._take_signal(event)

    def _react_to_call(self, told: Told) -> None:
        if isinstance(told, Looked):
            self._take_look(told)
        elif isinstance(told, OutputCame):
            self._take_output(told)
            self._errands.taken()
        elif isinstance(told, RoundOver):
            self._rounds.over(time.monotonic(), told.seconds)
        elif isinstance(told, Sent):
            self._take_sent(told)
        elif isinstance(told, NotSent):
            self._take_refusal(told)
        elif isinstance(told, NotLooked):
            self._lose(told)
        else:
            self._complain("command %s was not cancelled: %s" % told)

    # Sending

    def _send_some(self) -> None:
        """Send one shipment at a time: one that waits here can still be stopped."""
        if self._is_sending:
            return
        if self._waiting and len(self._commands) < self._slots:
            self._is_sending = True
            self._errands.send(self._waiting.popleft())
        else:
            self._tell_ids()

    def _take_sent(self, event: Sent) -> None:
        self._is_sending = False
        shipment, command_id = event
        ids = [node.target for node in shipment.nodes]
        command = SentCommand(command_id, ids, bool(shipment.targets), shipment.concurrency)
        self._commands[command_id] = command
        self._results.sent(command_id, ids)
        self._untold.append(command_id)
        self._rounds.sent(time.monotonic())
        if self._signal is not None and not self._is_detached:
            self._cancel_whole(command, self._signal)
        elif self._stop_reason:
            self._cancel(command, command.not_sent(), Cause(failed=self._stop_reason))

    def _tell_ids(self) -> None:
        """Print the ids, once for all commands that were sent together."""
        ids, self._untold = ",".join(self._untold), []
        if ids and not self._quiet:
            self._complain("sent; 'ssm-plugin exec --attach %s' follows it from anywhere" % ids)

    def _take_refusal(self, event: NotSent) -> None:
        self._is_sending = False
        shipment, error = event
        wrong, others = split(shipment, error)
        if self._is_ending and may_repeat(error) and not error.uncertain:
            wrong, others = [], [shipment]  # nothing is wrong, it only was not tried again
        for node in wrong:
            self._fail(node, str(error), error)
        self._slots += max(0, len(others) - 1)
        self._waiting.extendleft(reversed(others))
        if self._is_ending:
            self._drop_waiting()

    # Following

    def _look_if_due(self) -> None:
        if self._commands and self._rounds.begin(time.monotonic()):
            self._errands.look(
                [(one.command_id, one.asks_for_whole) for one in self._commands.values()]
            )

    def _take_look(self, event: Looked) -> None:
        command = self._commands[event.command_id]
        for entry in event.look.seen:
            self._results.node(entry.node_id)  # one that got the tag meanwhile is waited for, too
        ended, changed = command.take(event.look.seen, time.monotonic())
        self._rounds.saw(changed)
        for entry in ended:
            if entry.details != "Success":
                # Now: nothing more may be sent while its output is fetched.
                self._note_failure(entry.node_id)
            node = self._results.node(entry.node_id)
            self._errands.fetch(command.command_id, node, entry.details, self._streams)
        for node_id in command.missing(event.look.is_over):
            node = self._results.node(node_id)
            self._judge(node, not_chosen(node.name, event.look.details))
        self._plan_limits()
        if command.is_over:
            del self._commands[command.command_id]

    def _lose(self, event: NotLooked) -> None:
        command = self._commands.pop(event.command_id)
        for node_id in sorted(command.open):
            reason = "command %s cannot be followed, and goes on: %s" % event
            self._fail(self._results.node(node_id), reason, event.error)

    def _take_output(self, event: OutputCame) -> None:
        node = self._results.node(event.node_id)
        fetched, cause = event.fetched, self._causes.get(event.node_id, NOBODY)
        if event.details == "Terminated":
            cause = Cause(failed=self._most_failed)
        if event.error is not None:
            self._fail(node, str(event.error), event.error)
        elif event.is_unread:
            self._judge(node, Verdict(EXIT_OUTPUT_GONE, UNREAD))
        elif fetched is None:
            self._judge(node, verdict(node.name, event.details, -1, cause=cause))
        else:
            details, limit = fetched.details or event.details, self._time_limit
            found = verdict(
                node.name, details, fetched.code, fetched.said, fetched.ran, cause, limit
            )
            self._judge(node, found, fetched)
            if fetched.cut:
                self._complain(_cut_line(node.name, fetched.cut))

    @property
    def _most_failed(self) -> Optional[int]:
        limit = self._order.plan.max_errors
        return limit.of(self._results.total) if limit else None

    # Limits

    def _plan_limits(self) -> None:
        moments = [
            one.next_limit(self._time_limit, self._delivery, self._causes)
            for one in self._commands.values()
        ]
        self._limit_at = min((one for one in moments if one is not None), default=None)

    def _check_limits(self) -> None:
        now = time.monotonic()
        if self._limit_at is None or now < self._limit_at:
            return
        for command in self._commands.values():
            late = command.late(now, self._time_limit)
            self._cancel(command, late, Cause(time_limit=self._time_limit))
            unanswered = command.unanswered(now, self._delivery)
            self._cancel(command, unanswered, Cause(delivery=self._delivery))
        self._plan_limits()

    def _cancel(self, command: SentCommand, node_ids: Sequence[str], cause: Cause) -> None:
        fresh = [one for one in node_ids if one not in self._causes]
        for one in fresh:
            self._causes[one] = cause
        if fresh:
            self._errands.cancel(command.command_id, fresh)
            self._rounds.soon(time.monotonic())

    def _cancel_whole(self, command: SentCommand, signum: int) -> None:
        for node_id in command.open:
            self._causes.setdefault(node_id, Cause(signum=signum))
        self._errands.cancel(command.command_id)

    # Ends

    def _fail(self, node: Found, reason: str, error: SsmPluginError) -> None:
        self._judge(node, Verdict(EXIT_FAILED, reason, error))

    def _judge(self, node: Found, found: Verdict, fetched: Optional[Fetched] = None) -> None:
        self._results.judged(node, found, fetched)
        if found.status:
            self._note_failure(node.target)
        if self._leave_at is not None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT

    def _note_failure(self, node_id: str) -> None:
        self._failed_ids.add(node_id)
        limit, failed = self._most_failed, len(self._failed_ids)
        if limit is not None and failed >= limit and not self._stop_reason:
            self._stop(limit)

    def _stop(self, limit: int) -> None:
        """Nothing more is begun; what runs goes on."""
        self._stop_reason = limit
        self._drop_waiting()
        self._errands.stop_sending()
        if self._signal is not None:
            return
        for command in self._commands.values():
            self._cancel(command, command.not_sent(), Cause(failed=limit))

    def _drop_waiting(self) -> None:
        """Give a result to each node that was not sent to: nothing else would."""
        while self._waiting:
            for node in self._waiting.popleft().nodes:
                self._results.judged(node, not_sent(node.name, self._signal, self._stop_reason))

    def _take_signal(self, event: Signalled) -> None:
        if event.signum == signal.SIGHUP and self._is_detached:
            return  # the kernel, the shell and the end of our parent tell of one lost terminal
        if event.signum == signal.SIGHUP and self._signal is None:
            self._signal, self._is_detached = event.signum, True
            # What there is room for is sent all the same.
            room = max(0, self._slots - len(self._commands) - self._is_sending)
            self._waiting = deque(list(self._waiting)[:room])
            self._leave_at = time.monotonic() + LEAVE_LIMIT
        elif self._signal is None:
            self._signal = event.signum
            self._signalled_at = time.monotonic()
            self._end(event.signum)
        elif event.signum in (signal.SIGINT, self._signal):
            if time.monotonic() - self._signalled_at >= AGAIN:
                self._leave_at = 0.0

    def _end(self, signum: int) -> None:
        self._drop_waiting()
        self._errands.stop_sending()
        for command in self._commands.values():
            self._cancel_whole(command, signum)
        self._rounds.soon(time.monotonic())
        if self._leave_at is None:
            self._leave_at = time.monotonic() + LEAVE_LIMIT


def _cut_line(name: str, streams: Sequence[str]) -> str:
    return (
        "%s: the end of %s is missing, as Run Command keeps only the beginning; --output-s3 brings "
        "all" % (name, " and ".join(streams))
    )
