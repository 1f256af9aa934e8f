"""Calls that fail because the service was asked to behave so: throttled, or not permitted."""

import random
import threading
import time
from typing import Optional

from .diagnosis_api import USER
from .fault_plan import CallRate, FaultPlan
from .faults import Dice
from .json_api import ApiError
from .throttle import TokenBucket

_LOOK_UPS = ("DescribeInstanceInformation", "DescribeInstances")


class CallFaults:
    """For all APIs of one service together. Any thread may ask."""

    def __init__(self, plan: FaultPlan) -> None:
        self._denied = plan.deny
        self._left = plan.throttle.after
        self._dice = Dice(plan.throttle.amount, random.Random("%d throttle" % plan.seed))
        self._limited = plan.calls
        rate = plan.calls.rate if plan.calls else 0.0
        self._bucket = TokenBucket(rate, rate)  # it holds as many as a second brings
        self._lock = threading.Lock()

    def fault(self, service: str, operation: str) -> Optional[ApiError]:
        """What this call is to fail with."""
        if operation in self._denied:
            return _denied(service, operation)
        if operation in _LOOK_UPS and self._throttles():
            return ApiError("ThrottlingException", "Rate exceeded")
        if self._limited is not None and self._exceeds(operation, self._limited):
            return ApiError("ThrottlingException", "Rate exceeded")
        return None

    def _exceeds(self, operation: str, limited: CallRate) -> bool:
        if limited.names and operation not in limited.names:
            return False
        with self._lock:
            self._bucket.earn(time.monotonic())
            if self._bucket.tokens < 1.0:
                return True
            self._bucket.tokens -= 1.0
            return False

    def _throttles(self) -> bool:
        with self._lock:
            if self._left > 0:
                self._left -= 1
                return False
            return self._dice.roll()


def _denied(service: str, operation: str) -> ApiError:
    if service == "ec2":
        text = "You are not authorized to perform this operation. Encoded authorization failure "
        return ApiError("AccessDeniedException", text + "message: " + "x" * 900)
    text = "User: %s is not authorized to perform: %s:%s"
    return ApiError("AccessDeniedException", text % (USER, service, operation))
