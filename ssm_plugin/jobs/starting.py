"""Starts a session at the service, in a way that a signal or a time limit can end."""

import queue
from typing import Any, Callable

from ..aws.client import ServiceClient, StartedSession
from ..errors import ServiceError, SessionInterrupted
from ..session.background import Completed, in_background
from ..session.loop import EndRequested
from ..session.session import ENDING_SIGNALS
from ..terminal.signals import Signalled
from ..transport.worker import WorkerFailed
from .request import CommandRequest
from .time_limit import EXIT_TIME_UP, TimeUp

# Seconds that an interrupted start may take to tell us the session that it made, so that it can
# be terminated, and that this may take.
ABANDON_LIMIT = 3.0

# How the service may say that a document does not know a parameter.
_REFUSED = ("InvalidParameters", "ValidationException")


def start_command(
    service: ServiceClient, request: CommandRequest, line: str, events: "queue.Queue[Any]"
) -> StartedSession:
    """Start the session of a command. Takes events while it waits; SessionInterrupted if one ends
    it. A document that does not know how to separate the outputs is asked without."""

    def start() -> StartedSession:
        parameters = {"command": [line], "separateOutputStream": ["true"]}
        try:
            return service.start_session(
                request.target, request.document_name, parameters, request.reason
            )
        except ServiceError as error:
            if error.code not in _REFUSED:
                raise
        del parameters["separateOutputStream"]
        return service.start_session(
            request.target, request.document_name, parameters, request.reason
        )

    return wait_for_start(service, start, events)


def wait_for_start(
    service: ServiceClient, start: Callable[[], StartedSession], events: "queue.Queue[Any]"
) -> StartedSession:
    in_background("start", start, events)
    while True:
        event = events.get()
        if isinstance(event, Completed) and event.task == "start":
            if event.error:
                raise event.error
            started: StartedSession = event.value
            return started
        if isinstance(event, WorkerFailed):
            raise event.error
        status = ending_status(event)
        if status is not None:
            _abandon(service, events)
            raise SessionInterrupted("ended while the session was being started", status)


def ending_status(event: Any) -> Any:
    """The exit status if this event ends what is going on, else None."""
    if isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
        return 128 + event.signum
    if isinstance(event, TimeUp):
        event.taken.set()
        return EXIT_TIME_UP
    return event.status if isinstance(event, EndRequested) else None


def _abandon(service: ServiceClient, events: "queue.Queue[Any]") -> None:
    """Terminate the session if the call under way still makes one."""
    while True:
        try:
            event = events.get(timeout=ABANDON_LIMIT)
        except queue.Empty:
            return
        if isinstance(event, Completed) and event.task == "start":
            break
    if event.error is None:
        session_id = event.value.session_id
        done: "queue.Queue[Any]" = queue.Queue()
        terminate = in_background(
            "terminate", lambda: service.terminate_session(session_id), done
        )
        terminate.join(ABANDON_LIMIT)
