"""Calls that are made again, for minutes, when the service throttles them or cannot be reached."""

import threading
import time
from typing import Any, Dict, Mapping

from ..aws.client import ServiceClient
from ..aws.service_errors import is_expired, is_throttling_or_fault
from ..errors import CertificateError, NetworkError, ServiceError, SsmPluginError
from ..net.timing import delays

# Seconds from the first failure on.
PATIENCE = 900.0


class PatientCalls:
    """For many threads. When a call is throttled, all others wait, too: they would be throttled
    next.

    ``stop`` ends the waiting: a call then fails with its latest error."""

    def __init__(self, service: ServiceClient, patience: float = PATIENCE) -> None:
        self.service = service
        self._patience = patience
        self._stopped = threading.Event()
        self._resume_at = 0.0

    def stop(self) -> None:
        self._stopped.set()

    def call(
        self, action: str, request: Mapping[str, Any], subject: str = "", repeatable: bool = True
    ) -> Dict[str, Any]:
        """As :meth:`ServiceClient.call`. A call that is not ``repeatable`` is made again only if
        the answer says that nothing was done."""
        return self.perform(
            lambda: self.service.call(action, request, subject, repeatable), repeatable
        )

    def perform(self, attempt: Any, repeatable: bool = True) -> Any:
        pauses = delays()
        next(pauses)  # the first one is none
        give_up_at = None
        while True:
            self._hold()
            try:
                return attempt()
            except SsmPluginError as error:
                now = time.monotonic()
                give_up_at = give_up_at or now + self._patience
                pause = next(pauses)
                uncertain = error.uncertain and not repeatable
                if uncertain or not may_repeat(error) or now + pause > give_up_at:
                    raise
                if isinstance(error, ServiceError):
                    self._resume_at = max(self._resume_at, now + pause)
                if self._stopped.wait(pause):
                    raise

    def _hold(self) -> None:
        left = self._resume_at - time.monotonic()
        if left > 0:
            self._stopped.wait(left)


def may_repeat(error: SsmPluginError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ServiceError):
        return is_throttling_or_fault(error) or is_expired(error)
    return isinstance(error, NetworkError) and not isinstance(error, CertificateError)
