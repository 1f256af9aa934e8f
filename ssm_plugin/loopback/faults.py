"""Faults on the way between client and agent. Pure: the time (s) and the seed are given.

:class:`DirectionFaults` alters the messages of one direction; :class:`ConnectionFaults` decides
about the session as a whole. ``channel_closed`` is never touched here.
"""

import heapq
import random
from typing import List, Optional, Sequence, Tuple

from ..named_tuple import NamedTuple
from ..wire import message
from . import control
from .fault_plan import Amount, DirectionPlan, FaultPlan

DROP = "drop"
BYE = "bye"

# What may pass, and then DROP or BYE if that is the end of the connection.
Passed = Tuple[List[bytes], Optional[str]]

HELD_LIMIT = 65536  # messages that one direction may hold back; beyond it they go at once
_REORDER_TIME = 0.02  # seconds after which a message goes even if no other one overtakes it

_TYPE = slice(4, 36)
_DIGEST = 80
_DIGEST_END = 112
_PAYLOAD_LENGTH = 8  # bytes between the digest and the payload: its type and its length


class Dice:
    """Decides message by message, as an amount asks."""

    def __init__(self, amount: Amount, numbers: random.Random) -> None:
        self._rate = amount.rate
        self._left = amount.first
        self._numbers = numbers

    def roll(self) -> bool:
        if self._left is not None:
            self._left -= 1
            return self._left >= 0
        return self._rate > 0 and self._numbers.random() < self._rate


class _Held(NamedTuple):
    """Sorts by time, then in the order of arrival."""

    due: float
    order: int
    message: bytes


class DirectionFaults:
    """Messages of one direction go through ``apply``; what was held back comes out of ``due``."""

    def __init__(self, plan: DirectionPlan, seed: str) -> None:
        numbers = random.Random(seed)
        self._plan = plan
        self._numbers = numbers
        self._idle = plan == DirectionPlan()
        self._lose = Dice(plan.lose, numbers)
        self._double = Dice(plan.double, numbers)
        self._reorder = Dice(plan.reorder, numbers)
        self._corrupt = Dice(plan.corrupt, numbers)
        self._no_acknowledge = Dice(plan.no_acknowledge, numbers)
        self._delay = Dice(plan.delay, numbers)
        self._held: List[_Held] = []
        self._overtaken: Optional[_Held] = None
        self._order = 0
        self._seen = 0

    def apply(self, messages: Sequence[bytes], now: float) -> List[bytes]:
        """What goes on now, in place of ``messages``."""
        if self._idle:
            return list(messages)
        ready = self.due(now)
        for one in messages:
            ready.extend(self._apply_one(one, now))
        return ready

    def due(self, now: float) -> List[bytes]:
        """What was held back until now."""
        ready = []
        while self._held and self._held[0].due <= now:
            ready.append(heapq.heappop(self._held).message)
        if self._overtaken is not None and self._overtaken.due <= now:
            ready.append(self._release())
        return ready

    def flush(self) -> List[bytes]:
        """Everything that is still held back, in the order of its time."""
        return self.due(float("inf"))

    def next_timer(self) -> Optional[float]:
        """When ``due`` has something to give; None for never."""
        times = [held.due for held in self._held[:1]]
        if self._overtaken is not None:
            times.append(self._overtaken.due)
        return min(times) if times else None

    def _apply_one(self, one: bytes, now: float) -> List[bytes]:
        if one[_TYPE] == message.PADDED[message.CHANNEL_CLOSED]:
            return [one]
        controls = self._pause(now)
        if self._is_lost(one):
            return controls
        if self._corrupt.roll():
            one = self._flip_bit(one)
        if self._delay.roll() and len(self._held) < HELD_LIMIT:
            self._hold(now + self._plan.delay_time, one)
            return controls
        if self._overtaken is None and self._reorder.roll():
            self._overtaken = self._numbered(now + _REORDER_TIME, one)
            return controls
        copies = [one, one] if self._double.roll() else [one]
        if self._overtaken is not None:
            copies.append(self._release())
        return controls + copies

    def _is_lost(self, one: bytes) -> bool:
        acknowledges = one[_TYPE] == message.PADDED[message.ACKNOWLEDGE]
        if acknowledges and self._no_acknowledge.roll():
            return True
        return self._lose.roll()

    def _flip_bit(self, one: bytes) -> bytes:
        # In the payload or its digest: nothing guards the rest of the prefix.
        if len(one) < message.PREFIX.size:
            return one
        spot = self._numbers.randrange(_DIGEST, len(one) - _PAYLOAD_LENGTH)
        if spot >= _DIGEST_END:
            spot += _PAYLOAD_LENGTH
        flipped = one[spot] ^ 1 << self._numbers.randrange(8)
        return one[:spot] + bytes((flipped,)) + one[spot + 1:]

    def _pause(self, now: float) -> List[bytes]:
        self._seen += 1
        pause = self._plan.pause
        if pause is None or self._seen != pause.after + 1:
            return []
        self._hold(now + pause.duration, control.start_publication())
        return [control.pause_publication()]

    def _hold(self, due: float, one: bytes) -> None:
        heapq.heappush(self._held, self._numbered(due, one))

    def _release(self) -> bytes:
        assert self._overtaken is not None
        held, self._overtaken = self._overtaken, None
        return held.message

    def _numbered(self, due: float, one: bytes) -> _Held:
        self._order += 1
        return _Held(due, self._order, one)


class ConnectionFaults:
    """What happens to the session's connections. ``quiet_until`` is the end of a silence."""

    def __init__(self, plan: FaultPlan) -> None:
        numbers = random.Random("%d/connection" % plan.seed)
        self._plan = plan
        self._refuse_token = Dice(plan.refuse_token, numbers)
        self._refuse_upgrade = Dice(plan.refuse_upgrade, numbers)
        limits = (plan.drop_after, plan.drop_every, plan.bye_after, plan.bye_every, plan.silent)
        self._idle = all(limit is None for limit in limits)
        self._total = 0
        self._on_this_connection = 0
        self._silence_begun = False
        self.quiet_until = 0.0

    def connected(self) -> None:
        self._on_this_connection = 0

    def refuses_token(self) -> bool:
        return self._refuse_token.roll()

    def refuses_upgrade(self) -> bool:
        return self._refuse_upgrade.roll()

    def relay(self, messages: List[bytes], now: float) -> Passed:
        """Count the messages of both directions, and cut where a limit says so."""
        if self._idle:
            return messages, None
        if self._is_silent(now):
            return [], None
        left, ending = self._next_ending()
        if left is None or left > len(messages):
            left, ending = len(messages), None
        self._total += left
        self._on_this_connection += left
        return messages[:left], ending

    def _is_silent(self, now: float) -> bool:
        silent = self._plan.silent
        if silent is not None and not self._silence_begun and self._total >= silent.after:
            self._silence_begun = True
            self.quiet_until = now + silent.duration
        return now < self.quiet_until

    def _next_ending(self) -> Tuple[Optional[int], Optional[str]]:
        """How many more messages may pass before the nearest ending, if there is one."""
        plan = self._plan
        candidates = [
            (limit - passed, ending)
            for limit, passed, ending in (
                (plan.drop_after, self._total, DROP),
                (plan.bye_after, self._total, BYE),
                (plan.drop_every, self._on_this_connection, DROP),
                (plan.bye_every, self._on_this_connection, BYE),
            )
            if limit is not None and limit > passed
        ]
        return min(candidates) if candidates else (None, None)
