"""Starts the way up while the relay is still on its way: the port is known before it listens."""

import queue
from functools import partial
from typing import Callable, Optional, Union

from ..aws.client import CALL_TIMEOUT, ServiceClient, StartedSession
from ..errors import SsmPluginError
from ..session.starting import ABANDON_LIMIT, SessionRequest, call_start
from ..session.termination import terminate_unwanted
from ..session.waiting import start_in_turn
from ..transport.worker import Worker, WorkerFailed


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
            answer = self._answers.get(timeout=ABANDON_LIMIT)
        except queue.Empty:
            return
        if isinstance(answer, StartedSession):
            terminate_unwanted(self._service, answer.session_id)

    def _run(self) -> None:
        start = partial(call_start, self._service, self._request)
        try:
            self._answers.put(start_in_turn(self._service, start, patience=CALL_TIMEOUT))
        except SsmPluginError as error:
            self._answers.put(error)
