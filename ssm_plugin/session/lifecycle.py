"""A session's life: what can happen to it, what follows, and what is known of it meanwhile.

This is the one place that decides. It does no input or output and has no thread: those of the
session tell it what happened and what time it is, and do what it answers.

A session lives in two worlds at once. *Here* it is a connection, a plugin's runner, a thread. *At
the service* it is a record that outlives our connection: it ends when the node's program ends,
when its time is over, or when somebody calls TerminateSession. Most of what can go wrong is that
the two worlds disagree, so every state says where the session stands in both::

    state         here                                        at the service
    CREATED       nothing yet                                 waits for a client
    CONNECTING    the first connection is being made          waits for a client
    OPENING       connected; the node has not said yet        goes on
                  what kind of session this is
    RUNNING       a runner is at work                         goes on
    REOPENING     the connection was lost while OPENING       goes on, we believe
    RESUMING      the connection was lost while RUNNING       goes on, we believe
    LEAVING       we end it: threads, terminal, connection    goes on, and is to be terminated
    CLOSING       the same                                    is over: nothing is left to do there
    TERMINATED    nothing is left                             is over
    FAILED        nothing is left, and something went wrong   is over

**The way of a good session** is CREATED, CONNECTING, OPENING, RUNNING, CLOSING, TERMINATED.
CLOSING is reached when the service says that the session is over, in ``channel_closed`` or in its
answer to ResumeSession.

**A lost connection is not the end.** The session asks the service for a new token and connects
again, with growing pauses, until ``reconnect`` seconds have passed since the loss. A connection
that was lost again before it had been of any use does not start that time afresh. Losses that no
attempt can heal (no credentials, a presigned URL, a service that says no) are failures at once.

**Silence** is judged by what is awaited. Connecting has a limit, and so has a handshake that has
begun. A node that says nothing at all has a limit where nobody waits at a terminal. Where silence
is normal, since a command may print nothing, the session counts as open after a while.

**Every end goes through LEAVING or CLOSING**, where threads are ended and the terminal is
restored, whatever the reason. The first reason counts: it is the outcome. An error while
cleaning up turns a good end into a failure.

**Ends overtake each other.** The service hangs up once it knows that we leave; a resumption
succeeds after the end; several parties ask for the end at once. Such pairs of state and event
change nothing, and are listed. Any other that is not in the table is a mistake of ours: an error.
"""

import enum
import threading
from typing import Dict, FrozenSet, Iterator, Optional, Tuple

from ..errors import DeadlineError, HandshakeError, SessionLost, StateError
from ..named_tuple import NamedTuple
from ..net.timing import delays
from .types import SessionStatus


class State(enum.Enum):
    CREATED = "created"
    CONNECTING = "connecting"
    OPENING = "opening"
    RUNNING = "running"
    REOPENING = "reopening"
    RESUMING = "resuming"
    LEAVING = "leaving"
    CLOSING = "closing"
    TERMINATED = "terminated"
    FAILED = "failed"


class Event(enum.Enum):
    EXECUTE = "be executed"
    CONNECT = "be connected"
    START = "be started by its node"
    LOSE = "lose its connection"
    CLOSE = "be closed by the service"
    END = "be ended"  # by us, for whatever reason
    CLEAN = "be cleaned up"
    BREAK = "break while it is cleaned up"


S, E = State, Event

TRANSITIONS: Dict[Tuple[State, Event], State] = {
    (S.CREATED, E.EXECUTE): S.CONNECTING,
    (S.CREATED, E.END): S.LEAVING,
    (S.CONNECTING, E.CONNECT): S.OPENING,
    (S.CONNECTING, E.END): S.LEAVING,
    (S.OPENING, E.START): S.RUNNING,
    (S.OPENING, E.LOSE): S.REOPENING,
    (S.OPENING, E.CLOSE): S.CLOSING,
    (S.OPENING, E.END): S.LEAVING,
    (S.RUNNING, E.LOSE): S.RESUMING,
    (S.RUNNING, E.CLOSE): S.CLOSING,
    (S.RUNNING, E.END): S.LEAVING,
    (S.REOPENING, E.CONNECT): S.OPENING,
    (S.REOPENING, E.START): S.RESUMING,  # it came before the loss, but was reported later
    (S.REOPENING, E.CLOSE): S.CLOSING,
    (S.REOPENING, E.END): S.LEAVING,
    (S.RESUMING, E.CONNECT): S.RUNNING,
    (S.RESUMING, E.CLOSE): S.CLOSING,
    (S.RESUMING, E.END): S.LEAVING,
    (S.LEAVING, E.CLOSE): S.CLOSING,  # the service was faster: nothing is left to be done there
    (S.LEAVING, E.CLEAN): S.TERMINATED,
    (S.LEAVING, E.BREAK): S.FAILED,
    (S.CLOSING, E.CLEAN): S.TERMINATED,
    (S.CLOSING, E.BREAK): S.FAILED,
}

_ENDING = (S.LEAVING, S.CLOSING)
_ENDED = (S.TERMINATED, S.FAILED)

IGNORED: FrozenSet[Tuple[State, Event]] = frozenset(
    [(state, event) for state in _ENDING for event in (E.CONNECT, E.START, E.LOSE, E.END)]
    + [(S.CLOSING, E.CLOSE)]
    + [(state, event) for state in _ENDED for event in E if event is not E.EXECUTE]
)

EXIT_LOST = 255

# Seconds. The agent waits 15 s for our part of the handshake, and for each of its own steps.
HANDSHAKE_LIMIT = 30.0

# Seconds after which a connection counts as good even if nothing got through on it.
GOOD_AFTER = 30.0


class Limits(NamedTuple):
    """Seconds, each.

    Attributes:
        connect: for the first connection, from finding credentials to the open message
        first_output: for the node's first message; None where a person may wait as they like
        quiet_start: after so much silence the session counts as open without a handshake; None
            where silence can only mean that something is wrong
        reconnect: for all attempts after one loss
        attempt: for one of them, which may be under way when ``reconnect`` is over
    """

    connect: float = 60.0
    first_output: Optional[float] = 60.0
    quiet_start: Optional[float] = None
    reconnect: float = 900.0
    attempt: float = 20.0


class Outcome(NamedTuple):
    """How a session ended.

    Attributes:
        status: what a program that ran the session exits with
        exit_code: of the command in it, as the node reports it; None if it reports none
        reason: in the service's words; empty for a normal end
        error: what went wrong, if something did
    """

    status: int
    exit_code: Optional[int] = None
    reason: str = ""
    error: Optional[BaseException] = None


class Awaited(enum.Enum):
    """What a session waits for, if nothing happens before."""

    CONNECT = "the first connection"
    FIRST_MESSAGE = "the node's first message"
    QUIET_START = "a handshake that may not come"
    HANDSHAKE = "the handshake's end"
    GIVE_UP = "the last attempt's end"


class Lifecycle:
    """``now`` is in seconds of any monotonic clock. ``progress`` is the channel's count of messages
    that got through, by which a connection shows that it was of use. For any thread: the session's
    own, the one that resumes its connection, and that of an owner who waits no longer.

    Attributes:
        state: where the session stands, as the table above says
        outcome: how it ended, or is ending; None before that
        was_connected: whether it ever was
        retry_at: when to try next to resume it; None while nothing is to be tried
        last_error: why the connection was lost, or the latest attempt to resume it failed
        cleaning_error: what went wrong with the end itself
    """

    def __init__(self, limits: Limits) -> None:
        self.state = State.CREATED
        self.outcome: Optional[Outcome] = None
        self.retry_at: Optional[float] = None
        self._lock = threading.RLock()
        self._limits = limits
        self._timers: Dict[Awaited, float] = {}
        self._delays: Iterator[float] = iter(())
        self._gives_up_at = 0.0
        self._was_lost = False
        self._connected_at, self._progress = 0.0, 0
        self.was_connected = False
        self.last_error: Optional[BaseException] = None
        self.cleaning_error: Optional[BaseException] = None

    # What the session tells

    def execute(self, now: float) -> None:
        """It is being connected for the first time."""
        self._advance(Event.EXECUTE)
        self._timers[Awaited.CONNECT] = now + self._limits.connect

    def connected(self, now: float, progress: int) -> bool:
        """A connection is open, and its first message sent. False if it comes too late."""
        with self._lock:
            before = self.state
            if self._advance(Event.CONNECT) is before:
                return False
            self.tried()
            self._forget(Awaited.CONNECT)
            self._await_first_message(now, before)
            self.was_connected = True
            self._connected_at, self._progress = now, progress
            return True

    def negotiating(self, now: float) -> None:
        """The node has begun a handshake that takes its time, however often it is cut."""
        with self._lock:
            self._forget(Awaited.FIRST_MESSAGE, Awaited.QUIET_START)
            self._timers.setdefault(Awaited.HANDSHAKE, now + HANDSHAKE_LIMIT)

    def started(self) -> None:
        """The node has said what the session is, or has just begun with its output."""
        with self._lock:
            self._advance(Event.START)
            self._forget(Awaited.FIRST_MESSAGE, Awaited.QUIET_START, Awaited.HANDSHAKE)

    def lost(self, now: float, progress: int, error: BaseException) -> None:
        """The connection is gone."""
        with self._lock:
            if self._advance(Event.LOSE) in _ENDING + _ENDED:
                return
            self._forget(Awaited.QUIET_START)
            self.last_error = error
            was_good = progress != self._progress or now - self._connected_at >= GOOD_AFTER
            if was_good or not self._was_lost:
                self._was_lost = True
                self._delays = delays()
                self._gives_up_at = now + self._limits.reconnect
            self._timers[Awaited.GIVE_UP] = self._gives_up_at + self._limits.attempt
            self._retry(now)

    def attempt_failed(self, now: float, error: BaseException) -> None:
        """An attempt to connect again brought no connection, but another one may."""
        with self._lock:
            if not self.is_ending:
                self.last_error = error
                self._retry(now)

    def tried(self) -> None:
        """No more attempts are made. What came of them is on its way to the session."""
        with self._lock:
            self.retry_at = None
            self._forget(Awaited.GIVE_UP)

    def give_up(self, error: Optional[BaseException] = None) -> None:
        """It cannot be resumed: no attempt heals this error, or the time for them is over."""
        with self._lock:
            if not self.is_ending:
                cause = self.last_error = error or self.last_error
                lost = SessionLost("the session was lost and cannot be resumed: %s" % (cause,))
                lost.__cause__ = cause
                self.fail(lost)

    def closed(self, outcome: Outcome) -> None:
        """The service says that it is over."""
        self._conclude(Event.CLOSE, outcome)

    def end(self, outcome: Outcome) -> None:
        """We end it. Of several reasons the first one counts."""
        self._conclude(Event.END, outcome)

    def fail(self, error: BaseException) -> None:
        """We end it, since this went wrong."""
        self.end(Outcome(getattr(error, "exit_status", EXIT_LOST), error=error))

    def cleaned(self, error: Optional[BaseException] = None) -> None:
        """Nothing of it is left here; ``error`` is what went wrong on the way, if anything did. The
        first who says so counts: a thread that was given up may come later."""
        with self._lock:
            if self.has_ended:
                return
            self.cleaning_error = error
            outcome = self.outcome or Outcome(0)
            if error is not None and outcome.error is None:
                outcome = outcome._replace(status=EXIT_LOST, error=error)
            self.outcome = outcome
            self._advance(Event.CLEAN if outcome.error is None else Event.BREAK)

    # What the session asks

    @property
    def status(self) -> SessionStatus:
        """The state in the words that the rest of the world knows."""
        return _STATUS[self.state]

    @property
    def is_ending(self) -> bool:
        """Whether the end has been decided, or is over."""
        return self.state in _ENDING + _ENDED

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED

    @property
    def goes_on_at_service(self) -> bool:
        """Whether TerminateSession is needed for its end there."""
        return self.state not in (State.CLOSING,) + _ENDED

    def next_timer(self) -> Optional[float]:
        """When to call :meth:`due`, if nothing happens before."""
        with self._lock:
            return min(self._timers.values(), default=None)

    def due(self, now: float) -> bool:
        """Take the first timer if its time has come, which may end the session. True if the session
        counts as open from now on, because the node has been silent for long enough."""
        with self._lock:
            timer = min(self._timers, key=lambda one: self._timers[one], default=None)
            if timer is None or self._timers[timer] > now:
                return False
            del self._timers[timer]
            if timer is Awaited.QUIET_START:
                return True
            if timer is Awaited.GIVE_UP or self.state is State.REOPENING:
                self.give_up()
            elif timer is Awaited.HANDSHAKE:
                late = "the node did not finish the handshake within %g s" % HANDSHAKE_LIMIT
                self.fail(HandshakeError(late))
            else:
                self.fail(_too_late(timer, self._limits))
            return False

    # Inside

    def _advance(self, event: Event) -> State:
        """The state after ``event``. StateError, and no change, for what cannot happen."""
        state = self.state  # once: an owner that waits no longer ends it from another thread
        if (state, event) not in IGNORED:
            if (state, event) not in TRANSITIONS:
                raise StateError("a session that is %s cannot %s" % (state.value, event.value))
            self.state = TRANSITIONS[state, event]
        return self.state

    def _conclude(self, event: Event, outcome: Outcome) -> None:
        with self._lock:
            self._advance(event)
            self._timers.clear()
            self.retry_at = None
            if self.outcome is None:
                self.outcome = outcome

    def _await_first_message(self, now: float, before: State) -> None:
        if before in (State.CONNECTING, State.REOPENING) and self._limits.quiet_start is not None:
            self._timers[Awaited.QUIET_START] = now + self._limits.quiet_start
        elif before is State.CONNECTING and self._limits.first_output is not None:
            self._timers[Awaited.FIRST_MESSAGE] = now + self._limits.first_output

    def _forget(self, *timers: Awaited) -> None:
        for timer in timers:
            self._timers.pop(timer, None)

    def _retry(self, now: float) -> None:
        """At once after a good connection, then with growing pauses, last at the limit."""
        in_time = now < self._gives_up_at
        self.retry_at = min(now + next(self._delays), self._gives_up_at) if in_time else None


def _too_late(timer: Awaited, limits: Limits) -> DeadlineError:
    if timer is Awaited.CONNECT:
        return DeadlineError(
            "the data channel did not open within %d s: check the network, the firewall and the "
            "proxy settings" % limits.connect
        )
    return DeadlineError(
        "the node sent nothing within %g s; check that its SSM Agent runs, or allow more by "
        "'first_output_timeout' below 'network' in the configuration" % (limits.first_output or 0)
    )


_STATUS = {
    State.CREATED: SessionStatus.CREATED,
    State.CONNECTING: SessionStatus.CONNECTING,
    State.OPENING: SessionStatus.CONNECTED,
    State.RUNNING: SessionStatus.CONNECTED,
    State.REOPENING: SessionStatus.RESUMING,
    State.RESUMING: SessionStatus.RESUMING,
    State.LEAVING: SessionStatus.TERMINATING,
    State.CLOSING: SessionStatus.TERMINATING,
    State.TERMINATED: SessionStatus.TERMINATED,
    State.FAILED: SessionStatus.FAILED,
}
