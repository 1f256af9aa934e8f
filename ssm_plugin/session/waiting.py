"""A start that is tried again: of a node that is not connected yet, or at a service that throttles.

A node that has just booted may be Online in every list and still be refused for a minute or two.
Each start waits for its turn, and one that the service throttles waits for another.
"""

import time
from threading import Event
from typing import Callable, Optional

from ..aws.client import ServiceClient, StartedSession
from ..aws.service_errors import is_throttled
from ..errors import ServiceError, SsmPluginError
from ..named_tuple import NamedTuple

NOT_CONNECTED = "TargetNotConnected"

# Seconds: the first pause, and the longest. Each is longer than the one before by half.
FIRST = 1.0
LONGEST = 15.0
GROWTH = 1.5

# Seconds that one start may be throttled again and again before that is its failure.
PATIENCE = 300.0

# Seconds after which a start asks again when it is due: the queue may have become faster.
_GLANCE = 1.0


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


def start_in_turn(
    service: ServiceClient,
    start: Callable[[], StartedSession],
    sleep: Callable[[float], object] = Event().wait,
    patience: float = PATIENCE,
) -> StartedSession:
    """What ``start`` gives, at the pace of all threads that start sessions at ``service``.
    ``sleep`` gets seconds, and raises what is to end this. ``patience``: the seconds for which one
    start may be throttled."""
    throttled_since = None
    while True:
        turn = service.pacer.turn()
        wait = turn.wait()
        while wait > 0:
            sleep(min(wait, _GLANCE))
            wait = turn.wait()
        try:
            started = start()
        except SsmPluginError as error:
            if not is_throttled(error):
                raise
            turn.throttled()
            now = time.monotonic()
            throttled_since = now if throttled_since is None else throttled_since
            if now - throttled_since >= patience:
                raise
        else:
            turn.succeeded()
            return started
