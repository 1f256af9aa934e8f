"""A command of Run Command, and its invocations: one for each node.

Plain state. Whoever reads or changes it holds the engine's lock. Times are as of ``time.time``.
"""

import time
from collections import deque
from typing import Deque, Dict, List, Sequence

from ..named_tuple import NamedTuple
from ..wire.message import random_id
from .nodes import LocalNode
from .run_command_request import CommandRequest, share_of

PENDING = "Pending"
IN_PROGRESS = "InProgress"
DELAYED = "Delayed"
SUCCESS = "Success"
CANCELLING = "Cancelling"
CANCELLED = "Cancelled"
TIMED_OUT = "TimedOut"
FAILED = "Failed"

# Further details. Each belongs to one of the above.
UNDELIVERABLE = "Undeliverable"
TERMINATED = "Terminated"
DELIVERY_TIMED_OUT = "DeliveryTimedOut"
EXECUTION_TIMED_OUT = "ExecutionTimedOut"
INVALID_PLATFORM = "InvalidPlatform"
ACCESS_DENIED = "AccessDenied"
NO_INSTANCES = "NoInstancesInTag"
INCOMPLETE = "Incomplete"

_STATUS_OF = {
    UNDELIVERABLE: FAILED,
    TERMINATED: FAILED,
    INVALID_PLATFORM: FAILED,
    ACCESS_DENIED: FAILED,
    INCOMPLETE: FAILED,
    DELIVERY_TIMED_OUT: TIMED_OUT,
    EXECUTION_TIMED_OUT: TIMED_OUT,
    NO_INSTANCES: SUCCESS,
}

PLUGIN_FOLDER = "awsrunShellScript/0.awsrunShellScript"

NOT_RUN = -1  # the response code of what has not ended

# What counts towards MaxErrors.
_ERRORS = frozenset([FAILED, EXECUTION_TIMED_OUT])
_OVER = frozenset([SUCCESS, CANCELLED, TIMED_OUT, FAILED])


class Output(NamedTuple):
    """What an agent tells of its script: texts that are cut already."""

    code: int = NOT_RUN
    stdout: str = ""
    stderr: str = ""
    both: str = ""


NOTHING = Output()


class Invocation:
    """``started`` and ``ended`` are 0 until then."""

    __slots__ = ("command", "node", "details", "started", "ended", "output", "deadline")

    def __init__(self, command: "Command", node: LocalNode) -> None:
        self.command = command
        self.node = node
        self.details = PENDING
        self.started = 0.0
        self.ended = 0.0
        self.output = NOTHING
        self.deadline = 0.0  # of its delivery, once that was tried

    @property
    def status(self) -> str:
        return _STATUS_OF.get(self.details, self.details)

    @property
    def is_over(self) -> bool:
        return self.status in _OVER

    @property
    def s3_folder(self) -> str:
        prefix = self.command.request.prefix.rstrip("/")
        names = [prefix] if prefix else []
        return "/".join(names + [self.command.command_id, self.node.node_id, PLUGIN_FOLDER])


class Command:
    """``waiting`` are the invocations that were not sent yet, ``delayed`` those whose node does not
    answer. ``running`` counts the others that are not over. ``requested_at`` and
    ``expires_at`` are of ``time.monotonic``."""

    def __init__(self, request: CommandRequest, nodes: Sequence[LocalNode]) -> None:
        self.command_id = random_id()
        self.request = request
        self.requested = time.time()
        self.requested_at = time.monotonic()
        seconds = request.timeout + request.execution_timeout
        self.expires = self.requested + seconds
        self.expires_at = self.requested_at + seconds
        self.invocations = [Invocation(self, node) for node in nodes]
        self.by_id: Dict[str, Invocation] = {one.node.node_id: one for one in self.invocations}
        self.waiting: Deque[Invocation] = deque(self.invocations)
        self.delayed: List[Invocation] = []
        self.running = 0
        self.over = 0
        self.counts: Dict[str, int] = {}
        self.is_cancelled = False
        self.script = ""
        self.concurrency = share_of(request.concurrency, len(nodes), 1)
        self.max_errors = share_of(request.max_errors, len(nodes), 0)

    @property
    def is_over(self) -> bool:
        return self.over == len(self.invocations)

    @property
    def errors(self) -> int:
        return sum(self.counts.get(details, 0) for details in _ERRORS)

    def end(self, invocation: Invocation, details: str, output: Output = NOTHING) -> None:
        """The invocation is over, and in no list any more. With one error too many, all that were
        not sent are over too."""
        self._end(invocation, details, output)
        if self.errors > self.max_errors:
            self.end_waiting(TERMINATED)
            delayed, self.delayed = self.delayed, []
            for one in delayed:
                self._end(one, TERMINATED)

    def end_waiting(self, details: str) -> None:
        waiting, self.waiting = self.waiting, deque()
        for invocation in waiting:
            self._end(invocation, details)

    def cancel(self, ids: Sequence[str]) -> List[Invocation]:
        """Those that run, and are to be ended now. Without ``ids`` all are meant."""
        meant = frozenset(ids) if ids else frozenset(self.by_id)
        self.is_cancelled = self.is_cancelled or len(meant) == len(self.by_id)
        unsent = list(self.waiting) + self.delayed
        self.waiting = deque(one for one in self.waiting if one.node.node_id not in meant)
        self.delayed = [one for one in self.delayed if one.node.node_id not in meant]
        for invocation in unsent:
            if invocation.node.node_id in meant:
                self._end(invocation, CANCELLED)
        running = [self.by_id[one] for one in meant if self.by_id[one].details == IN_PROGRESS]
        for invocation in running:
            invocation.details = CANCELLING
        return running

    def _end(self, invocation: Invocation, details: str, output: Output = NOTHING) -> None:
        invocation.details = details
        invocation.ended = time.time()
        invocation.output = output
        self.over += 1
        self.counts[details] = self.counts.get(details, 0) + 1

    @property
    def details(self) -> str:
        """The status details of the command as a whole."""
        if not self.invocations:
            return NO_INSTANCES
        if not self.is_over:
            return self._progress()
        if self.is_cancelled and self.counts.get(CANCELLED):
            return CANCELLED
        for details in (FAILED, EXECUTION_TIMED_OUT, DELIVERY_TIMED_OUT):
            if self.counts.get(details, 0) > self.max_errors:
                return details
        if self.errors > self.max_errors:
            return FAILED
        # A node that cannot be reached at all does not count.
        rest = len(self.invocations) - self.counts.get(UNDELIVERABLE, 0)
        return SUCCESS if self.counts.get(SUCCESS, 0) == rest else INCOMPLETE

    @property
    def status(self) -> str:
        return _STATUS_OF.get(self.details, self.details)

    def _progress(self) -> str:
        if self.is_cancelled:
            return CANCELLING
        begun = self.running or self.over or self.delayed
        return IN_PROGRESS if begun else PENDING
