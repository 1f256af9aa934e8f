"""Many commands at once, each in its own session and thread, so many at a time."""

import queue
import signal
import time
from typing import List, Optional, Sequence, Union

from ..errors import SessionInterrupted
from ..named_tuple import NamedTuple
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.worker import Worker, WorkerFailed
from .member import FleetMember
from .request import CommandResult

PARALLEL = 10

# Seconds that commands may take to end after a signal, before we leave without them: one may be
# stuck in writing to a pipe that nobody reads.
LEAVE_LIMIT = 6.0


class Finished(NamedTuple):
    """The event: the command of this number has ended."""

    number: int
    result: CommandResult


FleetEvent = Union[Finished, WorkerFailed, Signalled]


class Fleet:
    """``run`` gives the results in the order of ``commands``; a failure of one is in its result
    and stops no other. A ``Signalled`` in ``events`` ends those that run, and no more are begun."""

    def __init__(
        self,
        commands: Sequence[FleetMember],
        parallel: int = PARALLEL,
        events: "Optional[queue.Queue[FleetEvent]]" = None,
    ) -> None:
        self._commands = list(commands)
        self._parallel = max(1, min(parallel, len(self._commands)))
        self._events: "queue.Queue[FleetEvent]" = events or queue.Queue()
        self._waiting: "queue.Queue[int]" = queue.Queue()
        self._results: List[Optional[CommandResult]] = [None] * len(self._commands)
        self._ended_by: Optional[int] = None
        self._failure: Optional[BaseException] = None

    def run(self) -> List[CommandResult]:
        for number in range(len(self._commands)):
            self._waiting.put(number)
        workers = [
            Worker("command %d" % number, self._work, self._events.put)
            for number in range(self._parallel)
        ]
        for worker in workers:
            worker.start()
        self._wait(workers)
        if self._failure is not None:
            raise self._failure
        return [
            result or self._without_result(number) for number, result in enumerate(self._results)
        ]

    def _work(self) -> None:
        while self._ended_by is None:
            try:
                number = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._events.put(Finished(number, self._commands[number].run()))

    def _wait(self, workers: Sequence[Worker]) -> None:
        leave_at: Optional[float] = None
        while None in self._results:
            timeout = None if leave_at is None else max(0.0, leave_at - time.monotonic())
            try:
                self._react(self._events.get(timeout=timeout))
            except queue.Empty:
                return
            if self._ended_by is None:
                continue
            leave_at = leave_at or time.monotonic() + LEAVE_LIMIT
            if not any(worker.is_alive for worker in workers):
                self._collect()
                return

    def _react(self, event: FleetEvent) -> None:
        if isinstance(event, Finished):
            self._results[event.number] = event.result
        elif isinstance(event, WorkerFailed):
            self._failure = self._failure or event.error
            self._end(Signalled(signal.SIGTERM))
        elif event.signum in ENDING_SIGNALS:
            self._end(event)

    def _end(self, event: Signalled) -> None:
        self._ended_by = 128 + event.signum
        for command, result in zip(self._commands, self._results):
            if result is None:
                command.signal(event)

    def _collect(self) -> None:
        """What the workers told before they ended."""
        while not self._events.empty():
            event = self._events.get()
            if not isinstance(event, Signalled):
                self._react(event)

    def _without_result(self, number: int) -> CommandResult:
        """Of a command that was not begun, or not waited for, as a signal ended all."""
        command, now = self._commands[number], time.time()
        status = self._ended_by or 255
        reason = "given up" if command.session_id else "not begun"
        error = SessionInterrupted("the command on %s was %s" % (command.name, reason), status)
        return CommandResult(
            command.name,
            status,
            reason,
            command.session_id,
            now,
            now,
            0,
            0,
            error,
            command.target,
        )
