"""One local port that leads to a node, over one session after the other.

The listening sockets are the tunnel's and stay open from its beginning to its end. Sessions come
and go: when one ends (maximum duration, idle time-out, a node that restarts, a connection that
could not be resumed) a new one is started behind the same sockets. New connections that come
meanwhile, or while a lost connection is being resumed, wait in their backlog, and are reset when
that takes too long.

What goes wrong before the first session has opened is an error and ends the tunnel: a mistake or a
missing permission is to be seen at once. What goes wrong later is reported, and tried again.
"""

import queue
import threading
import time
from typing import Callable, Optional

from ..errors import RemoteError, SessionInterrupted, SsmPluginError
from ..net.local_end import LocalEnd
from ..net.timing import delays
from ..relay.relay import Relay
from ..session.environment import Environment
from ..session.events import EndRequested, SessionEvent
from ..session.lifecycle import EXIT_LOST, Outcome
from ..session.session_thread import TIMED_OUT
from ..session.starting import SessionRequest, make_session, start_session
from ..transport.worker import Worker
from ..units import counted
from .doorkeeper import Doorkeeper
from .fast import SharedRelay, TunnelRelayRunner, target_of, way_up
from .reports import ENDED, ERROR, READY, RECONNECTED, Report, ReportedTunnel, local_address
from .runner import Tell, TunnelSession
from .specification import advice_for

# Seconds. A session that lived so long, or had a connection, was of use, and the next one is
# started without delay.
USEFUL_AFTER = 30.0

# The longest delay after a session that had opened but was of no use.
LONGEST_AFTER_OPENING = 5.0

# A start that failed may have made a session all the same, whose id nobody knows. The node ends it
# when its handshake gets no answer for 15 s. Only then another one is started: there are never two.
AFTER_UNCERTAIN_START = 20.0

# How long new connections wait while nobody serves them, from the loss on. Then they are reset.
PATIENCE = 30.0

# How long a session may take to end once it is told to.
LEAVE_LIMIT = 4.3


class Tunnel(ReportedTunnel):
    """``make_environment`` is called for each session, so that credentials are looked for afresh;
    it may raise. ``tell`` gets every ``Report`` and ``Notice``. ``once``: with one session only.
    With ``relay`` the tunnel is fast, where that is possible.

    ``destination`` is what the tunnel leads to, in words. ``patience`` (s) is how long new
    connections wait while nobody serves them. The local end belongs to the caller, who closes it
    after :meth:`join`."""

    def __init__(
        self,
        request: SessionRequest,
        destination: str,
        local_end: LocalEnd,
        make_environment: Callable[[], Environment],
        tell: Tell,
        once: bool = False,
        patience: float = PATIENCE,
        relay: Optional[SharedRelay] = None,
    ) -> None:
        self.destination = destination
        self.local_end = local_end
        self.address = local_address(local_end)
        self.request = request
        self._advice = advice_for(request.parameters.get("host", [None])[0])
        self._make_environment = make_environment
        self._tell = tell
        self._once = once
        self._relay = relay
        self._lock = threading.Lock()
        self._events: "queue.Queue[SessionEvent]" = queue.Queue()
        self._stopped: Optional[int] = None
        self._opened = 0  # sessions before the current one
        self._accepted = 0  # connections of those sessions
        self._current: Optional[TunnelSession] = None
        self.patience = patience
        self._trouble = ""
        self._worker = Worker("tunnel %s" % (self.address,), self._run, tell)

    def start(self) -> None:
        self._worker.start()

    def stop(self, status: int) -> None:
        """End, with this status. From any thread; returns at once."""
        with self._lock:
            if self._stopped is None:
                self._stopped = status
                self._events.put(EndRequested(status))
        if self._relay is not None:
            self._relay.close()

    def join(self, seconds: float = LEAVE_LIMIT) -> bool:
        """Wait for the end, and whether it came."""
        return self._worker.join(seconds)

    def __str__(self) -> str:
        return "%s to %s" % (self.address, self.destination)

    def state(self, now: float) -> str:
        """The state in words. ``now`` as of ``time.monotonic``."""
        current = self._current
        if current is None or current.ready_at is None:
            return "%s: no session%s; %s so far" % (
                self,
                self._trouble and ", as " + self._trouble,
                counted(self._accepted, "connection"),
            )
        if current.lost_at is not None:
            return "%s: lost for %d s and being resumed, session %s; %s open" % (
                self,
                now - current.lost_at,
                current.opening.session_id,
                counted(current.open_connections, "connection"),
            )
        return "%s: open for %d s, session %s, number %d; %s open, %d so far" % (
            self,
            now - current.ready_at,
            current.opening.session_id,
            self._opened + 1,
            counted(current.open_connections, "connection"),
            self._accepted + current.accepted,
        )

    # The tunnel's thread

    def _run(self) -> None:
        status, error = EXIT_LOST, None
        try:
            with Doorkeeper(self.local_end.sockets, self.patience, self._tell) as doorkeeper:
                status = self._stay_up(doorkeeper)
        except SessionInterrupted as interruption:
            status = interruption.exit_status
        except SsmPluginError as failure:
            error = failure
        self._tell(Report(ENDED, self, status=status, error=error))

    def _stay_up(self, doorkeeper: Doorkeeper) -> int:
        waits = delays()
        while self._stopped is None:
            least = 0.0
            try:
                outcome = self._one_session(doorkeeper)
            except SsmPluginError as error:
                if self._stopped is None and (self._once or not self._has_opened):
                    raise
                self._trouble = str(error)
                least = AFTER_UNCERTAIN_START if error.uncertain else least
            else:
                self._trouble = self._ending(outcome)
                if self._once and self._stopped is None:
                    return outcome.status
            doorkeeper.shut()
            former, self._current = self._current, None
            if self._was_useful(former):
                waits = delays()
            self._wait(max(least, _delay(next(waits), former)))
        return self._stopped

    @property
    def _has_opened(self) -> bool:
        current = self._current
        return self._opened > 0 or bool(current and current.ready_at is not None)

    def _one_session(self, doorkeeper: Doorkeeper) -> Outcome:
        """How it ended; raises what it failed with."""
        environment = self._make_environment()
        assert environment.service is not None, "tunnels start their sessions at the service"
        while True:
            events = self._fresh_events()
            relay = self._relay.get(events) if self._relay else None
            try:
                return self._run_session(doorkeeper, environment, events, relay)
            except SsmPluginError as error:
                opened = self._current is not None and self._current.ready_at is not None
                if self._relay is None or relay is None or opened:
                    raise
                if isinstance(error, SessionInterrupted):
                    raise
                if not self._relay.not_reached(relay, error):
                    raise

    def _run_session(
        self,
        doorkeeper: Doorkeeper,
        environment: Environment,
        events: "queue.Queue[SessionEvent]",
        relay: Optional[Relay],
    ) -> Outcome:
        """Run one session, over ``relay`` if it is given."""
        assert environment.service is not None
        request = way_up(self.request, relay) if relay else self.request
        # Later on, whatever is wrong is tried again for ever.
        waiting = None if self._has_opened else environment.waiting
        started = start_session(environment.service, request, events, waiting)
        kind = RECONNECTED if self._opened else READY
        opening = Report(kind, self, started.session_id)
        current = TunnelSession(self._tell, opening, self.destination, doorkeeper, self._advice)
        environment = environment._replace(
            listener=self.local_end,
            streams=current.streams,
            aside=False,  # warnings are errors here, other lines are not
            silent=False,
            tells_end=False,
        )
        if relay is not None:
            target = target_of(self.request)
            current.make_kind = lambda session, started, current: TunnelRelayRunner(
                session, started, current, relay, target, not self._once
            )
        session = make_session(request, started, environment, events, current.make_runner)
        self._current = current
        return session.run_to_end()

    def _ending(self, outcome: Outcome) -> str:
        """Why it ended. Raises RemoteError if it is better not to start another one."""
        current = self._current
        assert current is not None
        reason = current.retired or _reason(outcome)
        text = "session %s ended: %s" % (current.opening.session_id, reason)
        first = not (current.accepted or self._opened or self._stopped)
        told = outcome.reason and outcome.reason != TIMED_OUT
        if told and first and (self._once or _was_refused(current)):
            advice = self._advice and "; " + self._advice
            raise RemoteError("%s: %s%s" % (self, text, advice))
        return text

    def _was_useful(self, former: Optional[TunnelSession]) -> bool:
        """Counts it, too, if it has opened."""
        if former is None or former.ready_at is None:
            return False
        self._opened += 1
        self._accepted += former.accepted
        return former.accepted > 0 or time.monotonic() - former.ready_at >= USEFUL_AFTER

    def _wait(self, seconds: float) -> None:
        """Wait before the next session."""
        if self._stopped is not None:
            return
        events = self._fresh_events()
        self._tell(Report(ERROR, self, message=self._trouble, retry_in=seconds))
        until = time.monotonic() + seconds
        while self._stopped is None and time.monotonic() < until:
            try:
                events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return

    def _fresh_events(self) -> "queue.Queue[SessionEvent]":
        """Each session has a queue of its own: late events of one are not another's."""
        with self._lock:
            self._events = queue.Queue()
            if self._stopped is not None:
                self._events.put(EndRequested(self._stopped))
            return self._events


def _reason(outcome: Outcome) -> str:
    if outcome.reason and outcome.reason != TIMED_OUT:
        return outcome.reason
    return "it is over at the service" if outcome.status else "no reason was given"


def _was_refused(session: TunnelSession) -> bool:
    """Whether the node did not want this session, which had a reason and no connection. Agents look
    at the host when a session starts, old ones connect then, and end it when they cannot."""
    assert session.ready_at is not None, "only a session that has opened can end"
    return not session.multiplexed or time.monotonic() - session.ready_at < USEFUL_AFTER


def _delay(seconds: float, former: Optional[TunnelSession]) -> float:
    opened = former is not None and former.ready_at is not None
    return min(seconds, LONGEST_AFTER_OPENING) if opened else seconds
