"""Starts a session at the service, in a way that a signal or our own program can end."""

import queue
import time
from functools import partial
from typing import Callable, Mapping, Optional, Sequence

from ..aws.client import ServiceClient, StartedSession
from ..aws.ecs import ContainerTarget, execute_command
from ..errors import SessionInterrupted, SsmPluginError
from ..named_tuple import NamedTuple
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.worker import Worker, WorkerFailed
from ..wire.message import random_id
from .environment import Environment
from .events import EndRequested, SessionEvent, StartAnswered, StartFailed
from .protocols import RunnerFactory
from .session import Session
from .termination import terminate_unwanted
from .types import ClientConfig, SessionConfig, SessionType
from .waiting import Waiting, may_connect_later, pause_before, start_in_turn

# The exit status after a time limit, as of timeout(1).
EXIT_TIME_UP = 124

# Seconds in which a start that is not wanted any more may still bring a session, which is then
# terminated.
ABANDON_LIMIT = 3.0

_NEVER = float("inf")


class SessionRequest(NamedTuple):
    """What StartSession is called with, and the type of session that is expected. ``command`` is
    what ECS is to run, if the target is a container of it."""

    target: str
    session_type: SessionType
    document_name: Optional[str] = None
    parameters: Mapping[str, Sequence[str]] = {}
    reason: Optional[str] = None
    command: str = ""


def start_session(
    service: ServiceClient,
    request: SessionRequest,
    events: "queue.Queue[SessionEvent]",
    waiting: Optional[Waiting] = None,
) -> StartedSession:
    """Call the service for this request by :func:`wait_for_start`."""
    start = partial(call_start, service, request)
    return wait_for_start(service, start, events, waiting=waiting, target=request.target)


def call_start(service: ServiceClient, request: SessionRequest) -> StartedSession:
    """The call itself: ExecuteCommand of ECS for a command in a container, else StartSession."""
    if request.command and isinstance(request.target, ContainerTarget):
        return execute_command(service, request.target, request.command)
    return service.start_session(
        request.target, request.document_name, request.parameters, request.reason
    )


def ending_status(event: SessionEvent) -> Optional[int]:
    """The exit status if this event ends what is going on, else None."""
    if isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
        return 128 + event.signum
    return event.status if isinstance(event, EndRequested) else None


def wait_for_start(
    service: ServiceClient,
    start: Callable[[], StartedSession],
    events: "queue.Queue[SessionEvent]",
    timeout: Optional[float] = None,
    waiting: Optional[Waiting] = None,
    target: str = "",
) -> StartedSession:
    """Call ``start`` in another thread when its turn has come, and again if the service throttles
    it, or with ``waiting`` if ``target`` is not connected yet. Takes events meanwhile, and raises
    SessionInterrupted if one of them ends the start, or if ``timeout`` s have passed (124). If the
    call still makes a session, that one is terminated."""
    watch = _Watch(events, _NEVER if timeout is None else time.monotonic() + timeout)
    if waiting is None:
        return _start_in_turn(service, start, watch)
    give_up_at: Optional[float] = None
    attempts = 0
    try:
        while True:
            attempts += 1
            try:
                return _start_in_turn(service, start, watch)
            except SsmPluginError as error:
                now = time.monotonic()
                give_up_at = give_up_at or now + waiting.limit
                pause = pause_before(attempts, give_up_at - now)
                if pause is None or not may_connect_later(error):
                    raise
            waiting.waits(target, pause, give_up_at - now - pause)
            watch.sleep(pause, "interrupted while waiting for %s to connect" % target)
    finally:
        waiting.over(target)


class _Watch:
    """The events that may end a start, and its time limit."""

    def __init__(self, events: "queue.Queue[SessionEvent]", deadline: float) -> None:
        self.events = events
        self._deadline = deadline

    def next(self, interrupted: str, until: float = _NEVER) -> Optional[SessionEvent]:
        """The next event; None at ``until``. One that ends the start, and the time limit, raise
        SessionInterrupted with this text, and a thread that failed raises its error."""
        event = _next(self.events, min(until, self._deadline))
        if isinstance(event, WorkerFailed):
            raise event.as_error()
        if event is not None:
            status = ending_status(event)
        else:
            status = EXIT_TIME_UP if time.monotonic() >= self._deadline else None
        if status is not None:
            raise SessionInterrupted(interrupted, status)
        return event

    def sleep(self, seconds: float, interrupted: str) -> None:
        """Take events meanwhile, as :meth:`next` does."""
        until = time.monotonic() + seconds
        while self.next(interrupted, until) is not None:
            pass


def _start_in_turn(
    service: ServiceClient, start: Callable[[], StartedSession], watch: _Watch
) -> StartedSession:
    def sleep(seconds: float) -> None:
        watch.sleep(seconds, "interrupted while the session waited for its turn to start")

    return start_in_turn(service, lambda: _start_once(service, start, watch), sleep)


def _start_once(
    service: ServiceClient, start: Callable[[], StartedSession], watch: _Watch
) -> StartedSession:
    events = watch.events

    def errand() -> None:
        try:
            events.put(StartAnswered(start()))
        except SsmPluginError as error:
            events.put(StartFailed(error))

    Worker("start", errand, events.put).start()
    event: Optional[SessionEvent] = None
    try:
        while not isinstance(event, (StartAnswered, StartFailed)):
            event = watch.next("interrupted while the session was being started")
    except SsmPluginError:
        _abandon(service, events)
        raise
    if isinstance(event, StartFailed):
        raise event.error
    return event.started


def make_session(
    request: SessionRequest,
    started: StartedSession,
    environment: Environment,
    events: "Optional[queue.Queue[SessionEvent]]" = None,
    runner: Optional[RunnerFactory] = None,
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
    return Session(config, client_config, None, environment, runner, events)


def _next(events: "queue.Queue[SessionEvent]", deadline: float) -> Optional[SessionEvent]:
    """None at the deadline."""
    left = None if deadline == _NEVER else max(0.0, deadline - time.monotonic())
    try:
        return events.get(timeout=left)
    except queue.Empty:
        return None


def _abandon(service: ServiceClient, events: "queue.Queue[SessionEvent]") -> None:
    """Terminate the session if the call under way still makes one."""
    deadline = time.monotonic() + ABANDON_LIMIT
    event = _next(events, deadline)
    while event is not None and not isinstance(event, (StartAnswered, StartFailed)):
        event = _next(events, deadline)
    if isinstance(event, StartAnswered):
        terminate_unwanted(service, event.started.session_id)
