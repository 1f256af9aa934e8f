"""Starts the session of a command, in a way that a signal or a time limit can end."""

import queue
from typing import Optional

from ..aws.client import ServiceClient, StartedSession
from ..errors import ServiceError
from ..session.events import SessionEvent
from ..session.starting import wait_for_start
from .request import CommandRequest

# How the service may say that a document does not know a parameter.
_REFUSED = ("InvalidParameters", "ValidationException")


def start_command(
    service: ServiceClient,
    request: CommandRequest,
    line: str,
    events: "queue.Queue[SessionEvent]",
    timeout: Optional[float],
) -> StartedSession:
    """Start the session of a command. Takes events while it waits; SessionInterrupted if one ends
    it, or ``timeout`` s have passed. A document that does not know how to separate the outputs is
    asked without."""

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

    return wait_for_start(service, start, events, timeout=timeout)
