"""How fast a process may start sessions: nobody has published AWS's rate, so it is found out.

At first there is no limit. When the service throttles a start, the rate is lowered for all threads
together, to a part of what has just succeeded; each success then raises it a little. That is AIMD,
as TCP does it: additive increase, multiplicative decrease. Nothing here waits: a start takes a
``Turn``, which says how many seconds it still has to wait.

One lowering answers for all the starts that were under way at that moment: they all met the same
limit. So a start that took its turn before the latest lowering lowers nothing more.
"""

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Optional, Tuple

# A lowered rate is this part of the one before.
DECREASE = 0.7

# What successes at the present rate add to it within a second: so many starts a second.
INCREASE = 1.0

# Starts a second that are always allowed.
SLOWEST = 0.5

# Seconds over which successes are counted for the first lowering.
_SEEN_FOR = 1.0


class Turn:
    """A start's place in the queue. ``wait`` tells the seconds until it is due. The queue may
    become slower meanwhile, or faster, so ask again."""

    def __init__(self, pacer: "Pacer", number: float, epoch: int) -> None:
        self._pacer = pacer
        self.number = number
        self.epoch = epoch

    def wait(self) -> float:
        """0 or less: now."""
        return self._pacer.wait_of(self)

    def succeeded(self) -> None:
        self._pacer.succeeded()

    def throttled(self) -> None:
        self._pacer.throttled(self)


class Pacer:
    """Any thread may call. ``clock`` gives seconds. ``rate`` is in starts a second, None for as
    many as come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.rate: Optional[float] = None
        self._epoch = 0
        # Turn number ``_due`` is due at ``_due_at``; those behind it follow at the rate.
        self._due = 0.0
        self._due_at = 0.0
        self._next = 0.0
        self._successes: Deque[float] = deque()

    def turn(self) -> Turn:
        with self._lock:
            # After a time without starts nobody is in front: the next start is due at once.
            number = max(self._next, self._position(self._clock()))
            self._next = number + 1.0
            return Turn(self, number, self._epoch)

    def wait_of(self, turn: Turn) -> float:
        with self._lock:
            if self.rate is None:
                return 0.0
            left = self._due_at + (turn.number - self._due) / self.rate - self._clock()
            if left <= 0:
                turn.epoch = self._epoch
            return left

    def succeeded(self) -> None:
        with self._lock:
            now = self._clock()
            if self.rate is None:
                self._successes.append(now)
                self._forget(now)
            else:
                self._set(self.rate + INCREASE / self.rate, now)

    def throttled(self, turn: Turn) -> None:
        with self._lock:
            if turn.epoch != self._epoch:
                return
            now = self._clock()
            rate = self.rate
            if rate is None:
                self._forget(now)
                rate = len(self._successes) / _SEEN_FOR
                self._successes.clear()
            self._set(max(SLOWEST, rate * DECREASE), now)
            # The service has nothing left at this moment: the next one is not due at once.
            self._due_at = max(now, self._due_at) + 1.0 / (self.rate or SLOWEST)
            self._epoch += 1

    def _position(self, now: float) -> float:
        """The number that is due now."""
        if self.rate is None:
            return self._next
        return self._due + (now - self._due_at) * self.rate

    def _set(self, rate: float, now: float) -> None:
        """Set the rate from now on. Starts that are due already stay due."""
        self._due, self._due_at = self._position(now), now
        self.rate = rate

    def _forget(self, now: float) -> None:
        while self._successes and now - self._successes[0] > _SEEN_FOR:
            self._successes.popleft()


_shared: Dict[Tuple[str, str], Pacer] = {}
_lock = threading.Lock()


def shared_pacer(region: str, endpoint_url: str = "") -> Pacer:
    """The one of this process for that region and endpoint: the service counts them apart."""
    with _lock:
        return _shared.setdefault((region, endpoint_url), Pacer())
