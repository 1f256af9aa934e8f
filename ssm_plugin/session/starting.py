"""Starts a session at the service, in a way that a signal or our own program can end."""

import queue
import time
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence

from ..aws.client import ServiceClient, StartedSession
from ..errors import SessionInterrupted
from ..shortage import explain
from ..terminal.signals import Signalled
from ..transport.worker import WorkerFailed
from ..wire.message import random_id
from .background import Completed, in_background
from .environment import Environment
from .loop import EndRequested
from .registry import SessionPluginRegistry
from .session import ENDING_SIGNALS, Session
from .termination import Termination
from .types import ClientConfig, SessionConfig, SessionType

# Seconds that an interrupted start may take to tell us the session that it made, so that it can
# be terminated, and that this may take.
_ABANDON_LIMIT = 3.0
_TERMINATE_LIMIT = 1.0

_TASK = "start"


class SessionRequest(NamedTuple):
    """What StartSession is called with, and the type of session that is expected."""

    target: str
    session_type: SessionType
    document_name: Optional[str] = None
    parameters: Mapping[str, Sequence[str]] = {}
    reason: Optional[str] = None


def start_session(
    service: ServiceClient, request: SessionRequest, events: "queue.Queue[Any]"
) -> StartedSession:
    """Blocks, as :func:`wait_for_start` does."""

    def start() -> StartedSession:
        return service.start_session(
            request.target, request.document_name, request.parameters, request.reason
        )

    return wait_for_start(service, start, events)


def ending_status(event: Any) -> Optional[int]:
    """The exit status if this event ends what is going on, else None."""
    if isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
        return 128 + event.signum
    return event.status if isinstance(event, EndRequested) else None


def wait_for_start(
    service: ServiceClient,
    start: Callable[[], StartedSession],
    events: "queue.Queue[Any]",
    ends: Callable[[Any], Optional[int]] = ending_status,
) -> StartedSession:
    """Call ``start`` aside. Takes events while it waits: SessionInterrupted if one of them ends it,
    as ``ends`` tells by an exit status, and a session that is made all the same is terminated."""
    in_background(_TASK, start, events)
    while True:
        event = events.get()
        if isinstance(event, Completed) and event.task == _TASK:
            if event.error:
                raise event.error
            started: StartedSession = event.value
            return started
        if isinstance(event, WorkerFailed):
            raise explain(event.error) or event.error
        status = ends(event)
        if status is not None:
            _abandon(service, events)
            raise SessionInterrupted("interrupted while the session was being started", status)


def make_session(
    request: SessionRequest,
    started: StartedSession,
    environment: Environment,
    events: "Optional[queue.Queue[Any]]" = None,
    registry: Optional[SessionPluginRegistry] = None,
) -> Session:
    """The session that StartSession answered with."""
    config = SessionConfig(
        started.session_id,
        started.stream_url,
        started.token_value,
        request.target,
        request.document_name,
        dict(request.parameters),
    )
    client_config = ClientConfig(random_id(), request.session_type)
    return Session(config, client_config, registry, environment, events)


def _abandon(service: ServiceClient, events: "queue.Queue[Any]") -> None:
    """Terminate the session if the call under way still makes one."""
    deadline = time.monotonic() + _ABANDON_LIMIT
    event: Any = None
    while not (isinstance(event, Completed) and event.task == _TASK):
        try:
            event = events.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
    if event.error is None:
        terminating = Termination(service, event.value.session_id)
        terminating.begin()
        terminating.finish(_TERMINATE_LIMIT)
