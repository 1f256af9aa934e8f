"""A gateway that passes on only so much of what a client sends. Pure: times (s) are given.

It is a token bucket with a buffer in front of the agent. When the buffer is half full, the client
is asked to pause; once it has drained, the client may go on. What comes beyond the buffer is lost.
A buffer that stays full ends the session.
"""

from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Union

from ..wire import message
from . import control
from .fault_plan import GatewayPlan
from .faults import DirectionFaults

ENDED = "the client sends more than the gateway can pass on"

_BURST = 0.05  # seconds of the rate that may pass at once
_LEAST_BURST = 2048  # bytes: any message must fit
_DRAINED = 16  # a part of the buffer this small counts as drained
_TICK = 0.002  # seconds; finer steps would cost more than they show


class TokenBucket:
    """Holds ``most`` tokens, which is what it has at first; ``rate`` are earned each second."""

    def __init__(self, rate: float, most: float) -> None:
        self.tokens = most
        self._rate = rate
        self._most = most
        self._counted_at: Optional[float] = None

    def earn(self, now: float) -> None:
        if self._counted_at is not None:
            earned = (now - self._counted_at) * self._rate
            self.tokens = min(self._most, self.tokens + earned)
        self._counted_at = now


class Throttle:
    """Counts bytes of payloads. ``lost`` and ``pauses`` tell how often; ``most`` is the most that
    has waited at once."""

    def __init__(self, plan: GatewayPlan) -> None:
        self.lost = 0
        self.pauses = 0
        self.most = 0
        self._rate = plan.rate
        self._bucket = TokenBucket(plan.rate, max(plan.rate * _BURST, _LEAST_BURST))
        self._buffer = plan.buffer
        self._patience = plan.patience
        self._waiting: Deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._full_since: Optional[float] = None

    def put(self, messages: Sequence[bytes], now: float) -> List[bytes]:
        """Take what the client sends. Returns what is to be said to it."""
        for one in messages:
            if self._size + _size(one) > self._buffer:
                self.lost += 1
                if self._full_since is None:
                    self._full_since = now
                continue
            self._waiting.append(one)
            self._size += _size(one)
        self.most = max(self.most, self._size)
        if self._paused or 2 * self._size < self._buffer:
            return []
        self._paused = True
        self.pauses += 1
        return [control.pause_publication()]

    def take(self, now: float) -> List[bytes]:
        """What the agent gets now."""
        self._bucket.earn(now)
        passed: List[bytes] = []
        while self._waiting and _size(self._waiting[0]) <= self._bucket.tokens:
            one = self._waiting.popleft()
            self._bucket.tokens -= _size(one)
            self._size -= _size(one)
            passed.append(one)
        # One message less is still full: a client that ignores the pause refills it at once.
        if 4 * self._size < 3 * self._buffer:
            self._full_since = None
        return passed

    def answers(self) -> List[bytes]:
        """What is to be said to the client after :meth:`take`."""
        if not self._paused or _DRAINED * self._size > self._buffer:
            return []
        self._paused = False
        return [control.start_publication()]

    def next_timer(self, now: float) -> Optional[float]:
        """When :meth:`take` has something to give; None for never."""
        if not self._waiting:
            return None
        missing = _size(self._waiting[0]) - self._bucket.tokens
        return now + max(_TICK, missing / self._rate)

    def gives_up(self, now: float) -> bool:
        """Whether the buffer was full for too long."""
        return self._full_since is not None and now - self._full_since >= self._patience


class ThrottledFaults:
    """Faults, and a throttle behind them. ``say`` tells the client, ``end`` ends the session."""

    def __init__(
        self,
        faults: DirectionFaults,
        throttle: Throttle,
        say: Callable[[List[bytes]], None],
        end: Callable[[str], None],
    ) -> None:
        self._faults = faults
        self._throttle = throttle
        self._say = say
        self._end = end
        self._now = 0.0

    def apply(self, messages: Sequence[bytes], now: float) -> List[bytes]:
        return self._through(self._faults.apply(messages, now), now)

    def due(self, now: float) -> List[bytes]:
        return self._through(self._faults.due(now), now)

    def next_timer(self) -> Optional[float]:
        times = [self._faults.next_timer(), self._throttle.next_timer(self._now)]
        return min((one for one in times if one is not None), default=None)

    def flush(self) -> List[bytes]:
        """What the bucket holds stays: it has its own time."""
        return self._through(self._faults.flush(), self._now)

    def _through(self, messages: List[bytes], now: float) -> List[bytes]:
        self._now = now
        said = self._throttle.put(messages, now)
        passed = self._throttle.take(now)
        said += self._throttle.answers()
        if said:
            self._say(said)
        if self._throttle.gives_up(now):
            self._end(ENDED)
        return passed


AnyFaults = Union[DirectionFaults, ThrottledFaults]


def _size(one: bytes) -> int:
    return max(0, len(one) - message.PREFIX.size)
