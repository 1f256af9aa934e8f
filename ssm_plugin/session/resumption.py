"""When to try again after a lost connection, and when to give up."""

from typing import TYPE_CHECKING, Optional

from ..errors import (
    ConfigurationError,
    NoCredentialsError,
    ServiceError,
    SsmPluginError,
    UsageError,
)
from ..transport.backoff import delays

if TYPE_CHECKING:
    import random

# What the service says of a session that is over, or not ours to resume. Throttling, faults and an
# expired token (which the next attempt finds anew) may heal.
_FINAL_CODES = (
    "AccessDenied",
    "AccessDeniedException",
    "DoesNotExistException",
    "InvalidSessionId",
    "TargetNotConnected",
    "UnrecognizedClientException",
    "ValidationException",
)


# Seconds after which a connection on which nothing moved has been a good one all the same.
GOOD_AFTER = 30.0


class Resumption:
    """The attempts of one session. ``limit`` (s) is for those after one loss.

    A connection that is lost again before it has been of any use counts as one more attempt that
    failed: delays go on growing, and the limit comes nearer. ``progress`` is the channel's.
    """

    def __init__(self, limit: float, source: "Optional[random.Random]" = None) -> None:
        self.gives_up_at = float("inf")
        self.attempts = 0
        self._limit = limit
        self._source = source
        self._delays = delays(source)
        self._failing = False
        self._connected_at = 0.0
        self._progress = 0

    def connected(self, now: float, progress: int) -> None:
        self._connected_at = now
        self._progress = progress

    def lost(self, now: float, progress: int) -> None:
        good = progress != self._progress or now - self._connected_at >= GOOD_AFTER
        if good or not self._failing:
            self._failing = True
            self.attempts = 0
            self._delays = delays(self._source)
            self.gives_up_at = now + self._limit

    def next_delay(self, now: float) -> Optional[float]:
        """Seconds until the next attempt, the last one at the limit; None if it is too late."""
        if now >= self.gives_up_at:
            return None
        self.attempts += 1
        return min(next(self._delays), self.gives_up_at - now)


def cannot_heal(error: SsmPluginError) -> bool:
    """Whether another attempt would fail in the same way. A source of credentials that fails for
    the moment, or whose login has expired, may work again; where there is none, none will come."""
    if isinstance(error, ServiceError):
        return error.code.split(":")[0] in _FINAL_CODES
    return isinstance(error, (NoCredentialsError, UsageError, ConfigurationError))
