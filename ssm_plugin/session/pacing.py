"""A start waits for its turn, and one that the service throttles waits for another."""

import time
from threading import Event
from typing import Callable

from ..aws.client import ServiceClient, StartedSession
from ..aws.service_errors import is_throttled
from ..errors import SsmPluginError

# Seconds that one start may be throttled again and again before that is its failure.
PATIENCE = 300.0

# Seconds after which a start asks again when it is due: the row may have become faster.
_GLANCE = 1.0


def start_in_turn(
    service: ServiceClient,
    start: Callable[[], StartedSession],
    sleep: Callable[[float], object] = Event().wait,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> StartedSession:
    """What ``start`` gives, at the pace of all threads that start sessions at ``service``.
    ``sleep`` gets seconds, and raises what is to end this. ``patience`` (s): see above."""
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
            throttled_since = clock() if throttled_since is None else throttled_since
            if clock() - throttled_since >= patience:
                raise
        else:
            turn.succeeded()
            return started
