"""Calls that fail because the service was asked to behave so: throttled, or not permitted."""

import random
import threading
import time
from typing import Optional

from .diagnosis_api import USER
from .fault_plan import CallRate, FaultPlan
from .faults import Dice
from .json_api import ApiError

_LOOK_UPS = ("DescribeInstanceInformation", "DescribeInstances")


class CallFaults:
    """For all APIs of one service together. Any thread may ask."""

    def __init__(self, plan: FaultPlan) -> None:
        self._denied = plan.deny
        self._left = plan.throttle.after
        self._dice = Dice(plan.throttle.amount, random.Random("%d throttle" % plan.seed))
        self._rate = _Rate(plan.calls) if plan.calls else None
        self._lock = threading.Lock()

    def fault(self, service: str, operation: str) -> Optional[ApiError]:
        """What this call is to fail with."""
        if operation in self._denied:
            return _denied(service, operation)
        if operation in _LOOK_UPS and self._throttles():
            return ApiError("ThrottlingException", "Rate exceeded")
        if self._rate is not None and not self._takes(operation, self._rate):
            return ApiError("ThrottlingException", "Rate exceeded")
        return None

    def _takes(self, operation: str, rate: "_Rate") -> bool:
        with self._lock:
            return rate.takes(operation, time.monotonic())

    def _throttles(self) -> bool:
        with self._lock:
            if self._left > 0:
                self._left -= 1
                return False
            return self._dice.roll()


class _Rate:
    """A bucket of tokens, which holds as many as a second brings. Times are given."""

    def __init__(self, plan: CallRate) -> None:
        self._plan = plan
        self._tokens = float(plan.rate)
        self._counted_at: Optional[float] = None

    def takes(self, operation: str, now: float) -> bool:
        if self._plan.names and operation not in self._plan.names:
            return True
        if self._counted_at is not None:
            earned = (now - self._counted_at) * self._plan.rate
            self._tokens = min(float(self._plan.rate), self._tokens + earned)
        self._counted_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _denied(service: str, operation: str) -> ApiError:
    if service == "ec2":
        text = "You are not authorized to perform this operation. Encoded authorization failure "
        return ApiError("AccessDeniedException", text + "message: " + "x" * 900)
    text = "User: %s is not authorized to perform: %s:%s"
    return ApiError("AccessDeniedException", text % (USER, service, operation))
