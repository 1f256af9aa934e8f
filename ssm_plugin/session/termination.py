"""Ends a session at the service, whatever else fails here."""

import time
from typing import Callable, Iterable, Optional

from .. import logs
from ..aws.client import ServiceClient
from ..errors import LocalError, SsmPluginError
from ..shortage import explain
from ..transport.worker import Worker, WorkerFailed
from .protocols import IDataChannel, IRunner
from .streams import OutputGone

log = logs.logger(__name__)

# Seconds. For all that is to be done at the end, and for the service to confirm it.
FINISH_LIMIT = 4.0
TERMINATE_LIMIT = 3.0
# Of a session that came when nobody wanted it any more.
_UNWANTED_LIMIT = 1.0


def close_session(
    termination: "Optional[Termination]",
    runner: Optional[IRunner],
    channel: Optional[IDataChannel],
    deadline: float,
) -> None:
    """End the session at the service, if that is needed, and close its channel meanwhile.

    ``runner`` has been stopped; ``deadline`` is of ``time.monotonic``."""
    try:
        if termination:
            termination.begin()
        if termination and runner and runner.needs_termination:
            termination.finish(deadline - time.monotonic())
            if not termination.confirmed:
                runner.not_terminated()
    finally:
        try:
            if channel:
                channel.close()
        finally:
            if termination:
                termination.finish(deadline - time.monotonic())


class Termination:
    """TerminateSession, in a thread of its own while the owner ends other things; or, if that one
    failed for want of threads, descriptors or memory, once more in the owner's thread.

    Attributes:
        confirmed: the service has agreed
        fell_short: it could not be asked, for want of threads, descriptors or memory, as it seems
    """

    def __init__(self, service: ServiceClient, session_id: str) -> None:
        self.confirmed = False
        self.fell_short = False
        self._service = service
        self._session_id = session_id
        self._error: Optional[BaseException] = None
        self._worker: Optional[Worker] = None
        self._is_finished = False

    def begin(self) -> None:
        worker = Worker("terminate", self._terminate, self._failed)
        try:
            worker.start()
            self._worker = worker
        except LocalError as error:
            log.info("the session is ended without a thread: %s", error)

    def finish(self, seconds: float) -> None:
        """Wait for the service to confirm it, at most so long. A failure changes nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._worker is None:
            self.once_more(seconds)
        elif not self._worker.join(seconds):
            log.warning("the service did not confirm the end of the session in time")
        elif self._error is not None and _seems_short(self._error):
            self.once_more(seconds)
        elif self._error is not None:
            log.warning("the session could not be ended at the service: %s", self._error)

    def once_more(self, seconds: float) -> None:
        """In this thread. A failure changes nothing but :attr:`fell_short`."""
        self.fell_short = False
        try:
            self._service.terminate_session(self._session_id, max(0.5, seconds))
            self.confirmed = True
        except Exception as error:  # a safety net: the session's own error is the one to report
            self.fell_short = _seems_short(error)
            log.warning("the session could not be ended at the service: %s", error)

    def _terminate(self) -> None:
        self._service.terminate_session(self._session_id)
        self.confirmed = True

    def _failed(self, event: WorkerFailed) -> None:
        self._error = event.error


def _seems_short(error: BaseException) -> bool:
    """Whether ``error`` may be a shortage. A module that was half loaded for want of descriptors
    fails in ways that nobody can list, but never as one of ours."""
    return explain(error) is not None or not isinstance(error, SsmPluginError)


def terminate_unwanted(
    service: ServiceClient, session_id: str, seconds: float = _UNWANTED_LIMIT
) -> None:
    """Of a session that was started and will not be used."""
    termination = Termination(service, session_id)
    termination.begin()
    termination.finish(seconds)


def do_all(steps: Iterable[Callable[[], object]]) -> Optional[BaseException]:
    """Take all steps, whatever one of them raises. Returns the first error, if there is one;
    OutputGone does not count."""
    error: Optional[BaseException] = None
    for step in steps:
        try:
            step()
        except BaseException as raised:  # a safety net: the rest is to be done all the same
            error = error if isinstance(raised, OutputGone) else error or raised
    return error
