"""The end of a session at the service, which is owed whatever happens here."""

import queue
from typing import Any, Optional

from .. import logs
from ..errors import LocalError, SsmPluginError
from ..shortage import explain
from ..transport.worker import Worker
from .background import in_background

log = logs.logger(__name__)


class Termination:
    """TerminateSession, in a thread of its own while the owner ends other things; or, if that one
    failed for want of threads, descriptors or memory, once more in the owner's thread.

    Attributes:
        confirmed: the service has agreed
        fell_short: it could not be asked, for want of threads, descriptors or memory
    """

    def __init__(self, service: Any, session_id: str) -> None:
        self.confirmed = False
        self.fell_short = False
        self._service = service
        self._session_id = session_id
        self._done: "queue.Queue[Any]" = queue.Queue()
        self._worker: Optional[Worker] = None
        self._is_finished = False

    def begin(self) -> None:
        try:
            self._worker = in_background("terminate", self._terminate, self._done)
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
        elif not self._done.empty() and explain(self._done.get().error):
            self.once_more(seconds)

    def _terminate(self) -> None:
        self._service.terminate_session(self._session_id)
        self.confirmed = True

    def once_more(self, seconds: float) -> None:
        """In this thread. A failure changes nothing but :attr:`fell_short`."""
        self.fell_short = False
        try:
            self._service.terminate_session(self._session_id, max(0.5, seconds))
            self.confirmed = True
        # Whatever it is, the session's own error is the one to be told.
        except (SsmPluginError, OSError, ImportError, RuntimeError, MemoryError) as error:
            self.fell_short = explain(error) is not None
            log.warning("the session could not be ended at the service: %s", error)
