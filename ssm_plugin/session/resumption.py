"""When to try again after a lost connection, and when to give up."""

import random
from typing import Optional

from ..errors import ConfigurationError, ServiceError, SsmPluginError, UsageError
from ..transport.backoff import delays

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


class Resumption:
    """The attempts after one loss. ``limit`` is in seconds from ``now``."""

    def __init__(self, now: float, limit: float, source: Optional[random.Random] = None) -> None:
        self.gives_up_at = now + limit
        self.attempts = 0
        self._delays = delays(source)

    def next_delay(self, now: float) -> Optional[float]:
        """Seconds until the next attempt, the last one at the limit; None if it is too late."""
        if now >= self.gives_up_at:
            return None
        self.attempts += 1
        return min(next(self._delays), self.gives_up_at - now)


def cannot_heal(error: SsmPluginError) -> bool:
    if isinstance(error, ServiceError):
        return error.code.split(":")[0] in _FINAL_CODES
    return isinstance(error, (UsageError, ConfigurationError))
