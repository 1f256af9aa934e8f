"""Sessions in the foreground: on the main thread, with this process's signals."""

import queue
import time
from contextlib import contextmanager
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

from ..aws.client import ServiceClient, StartedSession
from ..errors import SessionInterrupted
from ..session.background import Completed, in_background
from ..session.environment import Environment
from ..session.session import ENDING_SIGNALS, Session
from ..session.types import ClientConfig, SessionConfig, SessionType
from ..terminal.signals import Signalled, SignalWatch
from ..transport.worker import Worker, WorkerFailed
from ..wire.message import random_id

# Seconds that an interrupted start may take to tell us the session that it made, so that it can
# be terminated.
_ABANDON_LIMIT = 3.0


class SessionRequest(NamedTuple):
    target: str
    session_type: SessionType
    document_name: Optional[str] = None
    parameters: Mapping[str, Sequence[str]] = {}
    reason: Optional[str] = None


def run_new_session(request: SessionRequest, environment: Environment) -> int:
    """Start, connect, run; returns the exit status."""
    events: "queue.Queue[Any]" = queue.Queue()
    with signals_into(events):
        started = _start(request, environment.service, events)
        session = make_session(request, started, environment, events)
        session.execute()
        return session.run()


def run_in_foreground(session: Session) -> int:
    """Connect and run a session that exists already; returns the exit status."""
    with signals_into(session.events):
        session.execute()
        return session.run()


@contextmanager
def signals_into(events: "queue.Queue[Any]") -> Iterator[None]:
    """This process's signals are events, from the first moment on, also while connecting."""
    with SignalWatch(events) as watch:
        signals = Worker("signals", watch.forward, events)
        signals.start()
        yield
    signals.join(1.0)


def make_session(
    request: SessionRequest,
    started: StartedSession,
    environment: Environment,
    events: "Optional[queue.Queue[Any]]" = None,
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
    return Session(config, client_config, environment=environment, events=events)


def _start(
    request: SessionRequest, service: Optional[ServiceClient], events: "queue.Queue[Any]"
) -> StartedSession:
    assert service is not None
    client = service
    in_background(
        "start",
        lambda: client.start_session(
            request.target, request.document_name, request.parameters, request.reason
        ),
        events,
    )
    while True:
        event = events.get()
        if isinstance(event, Completed):
            if event.error:
                raise event.error
            started: StartedSession = event.value
            return started
        if isinstance(event, WorkerFailed):
            raise event.error
        if isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
            _abandon(client, events)
            raise SessionInterrupted("interrupted while starting", 128 + event.signum)


def _abandon(service: ServiceClient, events: "queue.Queue[Any]") -> None:
    """Terminate the session if the call under way still makes one."""
    deadline = time.monotonic() + _ABANDON_LIMIT
    event: Any = None
    while not isinstance(event, Completed):
        try:
            event = events.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
    if event.error is None:
        done: "queue.Queue[Any]" = queue.Queue()
        session_id = event.value.session_id
        in_background("terminate", lambda: service.terminate_session(session_id), done).join(1.0)
