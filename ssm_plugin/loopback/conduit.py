"""One direction of a session: messages in, faults upon them, what remains out, in order.

A message that is held back leaves by a timer thread, which is started with the first such message;
the relaying threads themselves never wait for a moment to come.
"""

import queue
import threading
import time
from typing import Callable, List, Optional, Sequence

from ..transport.worker import Worker, WorkerFailed
from .throttle import AnyFaults


class Conduit:
    """``deliver`` gets what goes on, from one thread at a time, and may block."""

    def __init__(
        self,
        name: str,
        faults: AnyFaults,
        deliver: Callable[[List[bytes]], None],
        failures: "queue.Queue[WorkerFailed]",
    ) -> None:
        self._name = name
        self._faults = faults
        self._deliver = deliver
        self._failures = failures
        self._in_order = threading.Lock()
        self._changed = threading.Event()
        self._timer: Optional[Worker] = None
        self._closed = False

    def push(self, messages: Sequence[bytes]) -> None:
        with self._in_order:
            self._deliver_some(self._faults.apply(messages, time.monotonic()))
            if self._faults.next_timer() is not None:
                self._wake_timer()

    def misbehave(self, faults: AnyFaults) -> None:
        """Follow these faults from now on. What was held back is delivered first."""
        with self._in_order:
            self._deliver_some(self._faults.flush())
            self._faults = faults
            if faults.next_timer() is not None:
                self._wake_timer()

    def flush(self) -> None:
        """Let everything go that is still held back."""
        with self._in_order:
            self._deliver_some(self._faults.flush())

    def close(self) -> None:
        """Stop the timer; ``join`` waits for it."""
        self._closed = True
        self._changed.set()

    def join(self, seconds: float) -> None:
        with self._in_order:
            timer = self._timer
        if timer is not None:
            timer.join(seconds)

    def _deliver_some(self, messages: List[bytes]) -> None:
        if messages:
            self._deliver(messages)

    def _wake_timer(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = Worker(self._name + " timer", self._run_timer, self._failures.put)
            self._timer.start()
        self._changed.set()

    def _run_timer(self) -> None:
        while not self._closed:
            self._changed.clear()
            with self._in_order:
                self._deliver_some(self._faults.due(time.monotonic()))
                next_timer = self._faults.next_timer()
            left = None if next_timer is None else max(0.0, next_timer - time.monotonic())
            if not self._closed:
                self._changed.wait(left)
