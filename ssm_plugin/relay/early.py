"""Starts the way up while the relay is still on its way: the port is known before it listens."""

import queue
from typing import Callable, Optional, Union

from ..aws.client import CALL_TIMEOUT, ServiceClient, StartedSession
from ..errors import SsmPluginError
from ..session.starting import SessionRequest
from ..session.termination import Termination
from ..session.waiting import start_in_turn
from ..transport.worker import Worker, WorkerFailed

# Seconds for a start that is not wanted any more, and for the end of what it made.
_ABANDON_LIMIT = 3.0
_TERMINATE_LIMIT = 1.0


class EarlyStart:
    """:meth:`begin` may be called once, or never; :meth:`take` and :meth:`discard` then have
    nothing to do."""

    def __init__(
        self,
        service: ServiceClient,
        request: SessionRequest,
        failed: Callable[[WorkerFailed], object],
    ) -> None:
        self._service = service
        self._request = request
        self._answers: "queue.Queue[Union[StartedSession, SsmPluginError]]" = queue.Queue()
        self._has_begun = False
        self._worker = Worker("early start", self._run, failed)

    def begin(self) -> None:
        self._has_begun = True
        self._worker.start()

    def take(self) -> Optional[StartedSession]:
        """What was started; blocks. Raises why it could not be."""
        if not self._has_begun:
            return None
        self._has_begun = False
        answer = self._answers.get()
        if isinstance(answer, SsmPluginError):
            raise answer
        return answer

    def discard(self) -> None:
        """End what was started and not taken."""
        if not self._has_begun:
            return
        self._has_begun = False
        try:
            answer = self._answers.get(timeout=_ABANDON_LIMIT)
        except queue.Empty:
            return
        if isinstance(answer, StartedSession):
            terminating = Termination(self._service, answer.session_id)
            terminating.begin()
            terminating.finish(_TERMINATE_LIMIT)

    def _run(self) -> None:
        request, service = self._request, self._service

        def start() -> StartedSession:
            return service.start_session(
                request.target, request.document_name, request.parameters, request.reason
            )

        try:
            self._answers.put(start_in_turn(service, start, patience=CALL_TIMEOUT))
        except SsmPluginError as error:
            self._answers.put(error)
