"""Starts the session of a command, in a way that a signal or a time limit can end."""

import queue
from typing import Any, Optional

from ..aws.client import ServiceClient, StartedSession
from ..errors import ServiceError
from ..session import starting
from .request import CommandRequest
from .time_limit import EXIT_TIME_UP, TimeUp

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

    return starting.wait_for_start(service, start, events, ending_status)


def ending_status(event: Any) -> Optional[int]:
    """The exit status if this event ends what is going on, else None. A time limit does, too."""
    if isinstance(event, TimeUp):
        event.taken.set()
        return EXIT_TIME_UP
    return starting.ending_status(event)
