"""Which targets of a fleet may start, and when. Pure: told what happens, and what time it is (s).

The targets are counted, from 0 on, and start in this order. So many may run at once. ``rolling``
makes batches of them: the next batch starts when all of the former have ended and the pause is
over. Once as many have failed as ``max_errors`` allows, or it is told to stop, no more are started;
those that run go on.

Of those that run, only so many are on their way to their node at one moment. Connecting is work for
this machine, and hundreds of threads that do it at once slow each other down. Waiting for a command
costs nothing.
"""

from typing import Optional

from ..fleet_plan import FleetPlan

# So many may be on their way to their node.
MOST_STARTING = 32


class Schedule:
    """Ask ``may_start`` after whatever was told. ``waiting`` were not started yet."""

    def __init__(self, total: int, plan: FleetPlan) -> None:
        self.total = total
        self.begun = 0
        self.starting = 0
        self.done = 0
        self.failed = 0
        self.stopped = ""
        self._plan = plan
        self._most_failed = plan.max_errors.of(total) if plan.max_errors else total + 1
        self._batch_ends = self._batch_after(0)
        self._paused_until: Optional[float] = None

    @property
    def running(self) -> int:
        return self.begun - self.done - self.failed

    @property
    def waiting(self) -> int:
        return self.total - self.begun

    @property
    def is_over(self) -> bool:
        """Nothing runs, and nothing will start any more."""
        return not self.running and (bool(self.stopped) or not self.waiting)

    def may_start(self, now: float) -> bool:
        """Whether the next target may start now."""
        if self.stopped or not self.waiting or self.running >= self._plan.parallel:
            return False
        if self.starting >= MOST_STARTING:
            return False
        if self.begun < self._batch_ends:
            return True
        if self._paused_until is None or now < self._paused_until:
            return False
        self._batch_ends = self._batch_after(self.begun)
        self._paused_until = None
        return True

    def wake_at(self) -> Optional[float]:
        """When to ask again although nothing happens: at the end of a pause."""
        return None if self.stopped else self._paused_until

    def started(self) -> None:
        self.begun += 1
        self.starting += 1

    def arrived(self) -> None:
        """A command that was started has reached its node, or is over."""
        self.starting -= 1

    def ended(self, has_failed: bool, now: float) -> None:
        """A command that had arrived has ended."""
        if has_failed:
            self.failed += 1
        else:
            self.done += 1
        if self.failed >= self._most_failed:
            self.stop("%d had failed" % self._most_failed)
        if self.waiting and not self.running and self.begun == self._batch_ends:
            self._paused_until = now + self._plan.pause

    def stop(self, why: str) -> None:
        """Start no more. The first reason counts."""
        self.stopped = self.stopped or why

    def _batch_after(self, begun: int) -> int:
        size = self._plan.rolling or self.total
        return min(self.total, begun + size)
