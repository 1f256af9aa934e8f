"""Calls that fail because the service was asked to behave so: throttled, or not permitted."""

import random
import threading
from typing import Optional

from .fault_plan import FaultPlan
from .faults import Dice
from .json_api import ApiError

_LOOK_UPS = ("DescribeInstanceInformation", "DescribeInstances")
_EC2 = "DescribeInstances"


class CallFaults:
    """For all APIs of one service together. Any thread may ask."""

    def __init__(self, plan: FaultPlan) -> None:
        self._denied = plan.deny
        self._left = plan.throttle.after
        self._dice = Dice(plan.throttle.amount, random.Random("%d throttle" % plan.seed))
        self._lock = threading.Lock()

    def fault(self, operation: str) -> Optional[ApiError]:
        """What this call is to fail with."""
        if operation in self._denied:
            return _denied(operation)
        if operation in _LOOK_UPS and self._throttles():
            return _throttled(operation)
        return None

    def _throttles(self) -> bool:
        with self._lock:
            if self._left > 0:
                self._left -= 1
                return False
            return self._dice.roll()


def _denied(operation: str) -> ApiError:
    if operation == _EC2:
        text = "You are not authorized to perform this operation. Encoded authorization failure "
        return ApiError("UnauthorizedOperation", text + "message: " + "x" * 900, 403)
    text = "User: arn:aws:iam::000000000000:user/demo is not authorized to perform: ssm:%s"
    return ApiError("AccessDeniedException", text % operation)


def _throttled(operation: str) -> ApiError:
    if operation == _EC2:
        return ApiError("RequestLimitExceeded", "Request limit exceeded.", 503)
    return ApiError("ThrottlingException", "Rate exceeded")
