"""Sessions in the foreground: the main thread waits, the process's signals are the session's."""

import queue
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Tuple

from ..aws.client import StartedSession
from ..errors import SessionLost
from ..session.environment import Environment
from ..session.events import SessionEvent
from ..session.lifecycle import Outcome
from ..session.protocols import RunnerFactory
from ..session.session import Session
from ..session.starting import SessionRequest, make_session, start_session
from ..shortage import prepare_for_ends_of_threads
from ..terminal.signals import Signalled, SignalWatch
from ..transport.worker import Worker, WorkerFailed

Preparation = Callable[
    ["queue.Queue[SessionEvent]"],
    Tuple[SessionRequest, Optional[RunnerFactory], Optional[StartedSession]],
]


def run_new_session(
    request: SessionRequest,
    environment: Environment,
    runner: Optional[RunnerFactory] = None,
    what: str = "",
    prepare: Optional[Preparation] = None,
) -> int:
    """Start, connect, wait; the exit status. Raises what went wrong.

    With notices dropped, an end that nobody here asked for is an error: one line says why, of
    ``what``, or of the session's id. ``prepare`` may change what is started, or
    start it itself; it blocks as ``start_session`` does."""
    events: "queue.Queue[SessionEvent]" = queue.Queue()
    assert environment.service is not None, "sessions are started at the service"
    session: Optional[Session] = None

    def tell(event: Signalled) -> None:
        if session is None:
            events.put(event)
        else:
            session.signal(event)

    try:
        with signals_into(tell, events.put):
            started: Optional[StartedSession] = None
            if prepare is not None:
                request, runner, started = prepare(events)
            started = started or start_session(
                environment.service, request, events, environment.waiting
            )
            session = make_session(request, started, environment, events, runner)
            outcome = session.run_to_end()
    # A safety net: there may have been neither descriptors nor threads, and now there are.
    except BaseException:
        if session:
            session.ensure_terminated()
        raise
    if environment.silent and outcome.reason:
        subject = what or "SessionId: %s :" % session.session_id
        raise SessionLost("%s %s" % (subject, outcome.reason))
    return outcome.status


def run_in_foreground(session: Session) -> Outcome:
    """Connect and wait for a session that exists already; how it ended."""
    try:
        with signals_into(session.signal, session.events.put):
            return session.run_to_end()
    # A safety net: there may have been neither descriptors nor threads, and now there are.
    except BaseException:
        session.ensure_terminated()
        raise


@contextmanager
def signals_into(
    tell: Callable[[Signalled], object], failed: Callable[[WorkerFailed], object]
) -> Iterator[None]:
    """``tell`` gets this process's signals, from the first moment on: also while connecting."""
    prepare_for_ends_of_threads()
    with SignalWatch(tell) as watch:
        signals = Worker("signals", watch.forward, failed)
        signals.start()
        yield
    signals.join(1.0)
