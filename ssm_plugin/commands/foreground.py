"""Runs a session on the main thread, with this process's signals."""

from ..session.session import Session
from ..terminal.signals import SignalWatch
from ..transport.worker import Worker


def run_in_foreground(session: Session) -> int:
    """Connect and run to the end; returns the exit status. Signals end the session from its first
    moment on, also while it is connecting."""
    with SignalWatch(session.events) as watch:
        signals = Worker("signals", watch.forward, session.events)
        signals.start()
        session.execute()
        status = session.run()
    signals.join(1.0)
    return status
