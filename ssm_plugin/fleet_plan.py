"""How a fleet goes about its work, as an option, a key of the configuration or an argument says."""

import re
from typing import Optional, Union

from .errors import UsageError
from .named_tuple import NamedTuple

PARALLEL = 10
MOST_PARALLEL = 1000


class ErrorLimit(NamedTuple):
    """``amount`` failures, or with ``is_part`` so many percent of the targets, rounded up."""

    amount: int
    is_part: bool = False

    def of(self, total: int) -> int:
        """How many failures of ``total`` targets reach the limit."""
        return max(1, -(-total * self.amount // 100)) if self.is_part else self.amount


class FleetPlan(NamedTuple):
    """``parallel``: so many at once. ``max_errors``: once so many have failed, no more are started.
    ``rolling``: in batches of so many, with ``pause`` seconds after each."""

    parallel: int = PARALLEL
    max_errors: Optional[ErrorLimit] = None
    rolling: Optional[int] = None
    pause: float = 0.0

    def check(self) -> "FleetPlan":
        """Itself. :raises UsageError: for a pause that makes no sense"""
        if self.pause < 0:
            raise UsageError("a pause cannot be negative")
        if self.pause and self.rolling is None:
            raise UsageError("a pause comes between batches: give the size of one (rolling)")
        return self


DEFAULT_PLAN = FleetPlan()


def parse_max_errors(text: str) -> ErrorLimit:
    """``3``, ``10%``. :raises UsageError: for what is neither"""
    number, is_part = (text[:-1], True) if text.endswith("%") else (text, False)
    if not re.match(r"[0-9]{1,9}\Z", number):
        raise UsageError(
            "%r is neither a number of failures such as 3, nor a part such as 10%%" % text[:20]
        )
    if not int(number):
        raise UsageError("%r would start nothing; 1 stops after the first failure" % text[:20])
    if is_part and int(number) > 100:
        raise UsageError("%r is more than all targets" % text[:20])
    return ErrorLimit(int(number), is_part)


def error_limit(given: Union[None, int, str]) -> Optional[ErrorLimit]:
    """As :func:`parse_max_errors`, for an argument of a Python call, which may be a number."""
    return None if given is None else parse_max_errors(str(given))
