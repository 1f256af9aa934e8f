"""A node that is not connected yet: whether its start is tried again, and when.

A node that has just booted may be Online in every list and still be refused for a minute or two.
"""

from typing import Callable, Optional

from ..errors import ServiceError
from ..named_tuple import NamedTuple

NOT_CONNECTED = "TargetNotConnected"

# Seconds: the first pause, and the longest. Each is longer than the one before by half.
FIRST = 1.0
LONGEST = 15.0
GROWTH = 1.5


class Waiting(NamedTuple):
    """``limit`` is in seconds, from the first refusal on. ``waits`` is told of each pause: target,
    its length, and the seconds left after it; ``over`` of the end, whatever it is."""

    limit: float
    waits: Callable[[str, float, float], object] = lambda target, pause, left: None
    over: Callable[[str], object] = lambda target: None


def pause_before(attempt: int, left: float) -> Optional[float]:
    """Seconds before another attempt, of which ``attempt`` were made; None: no more of them. The
    last one is made when the time is just over."""
    if left <= 0:
        return None
    # Beyond some ten attempts it is the longest anyway, and the power would overflow.
    return min(FIRST * GROWTH ** min(attempt - 1, 20), LONGEST, left)


def may_connect_later(error: BaseException) -> bool:
    return isinstance(error, ServiceError) and error.code.startswith(NOT_CONNECTED)
