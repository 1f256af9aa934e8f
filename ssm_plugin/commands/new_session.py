"""Sessions in the foreground: on the main thread, with this process's signals."""

import queue
from contextlib import contextmanager
from typing import Any, Iterator

from ..session.environment import Environment
from ..session.session import Session
from ..session.starting import SessionRequest, make_session, start_session
from ..shortage import prepare_for_ends_of_threads
from ..terminal.signals import SignalWatch
from ..transport.worker import Worker


def run_new_session(request: SessionRequest, environment: Environment) -> int:
    """Start, connect, run; returns the exit status."""
    events: "queue.Queue[Any]" = queue.Queue()
    assert environment.service is not None, "sessions are started at the service"
    with signals_into(events):
        started = start_session(environment.service, request, events)
        session = make_session(request, started, environment, events)
        session.execute()
        return session.run()


def run_in_foreground(session: Session) -> int:
    """Connect and run a session that exists already; returns the exit status."""
    try:
        with signals_into(session.events):
            session.execute()
            return session.run()
    # A safety net: there may have been neither descriptors nor threads, and now there are.
    except BaseException:
        session.ensure_terminated()
        raise


@contextmanager
def signals_into(events: "queue.Queue[Any]") -> Iterator[None]:
    """This process's signals are events, from the first moment on, also while connecting."""
    prepare_for_ends_of_threads()
    with SignalWatch(events) as watch:
        signals = Worker("signals", watch.forward, events)
        signals.start()
        yield
    signals.join(1.0)
