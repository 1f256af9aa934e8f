"""Runs one command on one node: starts the session, runs it, and says how it went."""

import os
import queue
import time
from contextlib import ExitStack
from functools import partial
from typing import Callable, Optional, Tuple

from .. import logs
from ..aws.client import ServiceClient, StartedSession
from ..aws.ecs import ContainerTarget, execute_command
from ..errors import (
    CredentialsError,
    DeadlineError,
    ServiceError,
    SessionInterrupted,
    SessionLost,
    SsmPluginError,
    UsageError,
)
from ..net.timing import Stopwatch, delays
from ..session.environment import Environment
from ..session.events import SessionEvent
from ..session.lifecycle import Outcome
from ..session.protocols import RunnerFactory
from ..session.session import Session
from ..session.starting import (
    EXIT_TIME_UP,
    SessionRequest,
    ending_status,
    make_session,
    wait_for_start,
)
from ..session.streams import EXIT_OUTPUT_GONE, Streams
from ..session.termination import Termination
from ..session.types import SessionType
from ..session.waiting import Waiting
from ..terminal.signals import Signalled
from ..transport.worker import WorkerFailed
from .feed import InputFeed
from .fleet import FleetMember
from .remote_line import remote_line
from .request import UNREAD, CommandRequest, CommandResult
from .terminal_line import TerminalStream, terminal_line
from .terminal_runner import TerminalRunner, not_begun
from .trailer_runner import NO_STATUS, CommandRecord, TrailerRunner

log = logs.logger(__name__)

EXIT_FAILED = 255

# Errors that another attempt to start would meet again.
_FINAL = (UsageError, CredentialsError, SessionInterrupted)
_FINAL_CODES = (
    "AccessDenied",
    "InvalidDocument",
    "InvalidParameters",
    "UnrecognizedClient",
    "Validation",
)

# How the service may say that a document does not know a parameter.
_REFUSED = ("InvalidParameters", "ValidationException")


class RemoteCommand(FleetMember):
    """``run`` blocks, on any thread; several may run at once. ``streams`` gets the output, in a
    thread of the session."""

    def __init__(
        self,
        request: CommandRequest,
        environment: Environment,
        streams: Optional[Streams] = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.request = request
        self._wall_clock = wall_clock
        self.session_id = ""
        self._events: "queue.Queue[SessionEvent]" = queue.Queue()
        self._environment = environment._replace(
            streams=streams or Streams(), silent=True, waiting=self._telling(environment.waiting)
        )
        self._record = CommandRecord(b"-")
        self._session: Optional[Session] = None
        self._connected: Optional[Session] = None
        self._deadline: Optional[float] = None

    def run(self) -> CommandResult:
        """Never raises an ``SsmPluginError``: it is in the result. What else ``streams`` raise
        comes out here, once the command has been ended. They are finished in any case."""
        watch = Stopwatch(self._wall_clock)
        error: Optional[SsmPluginError] = None
        if self.request.timeout is not None:
            self._deadline = time.monotonic() + self.request.timeout
        try:
            try:
                status, reason = self._run_with_retries()
            finally:
                self._finish()
        except SsmPluginError as raised:
            error, reason = raised, str(raised)
            status = getattr(raised, "exit_status", EXIT_FAILED)
        record = self._record
        if status == EXIT_TIME_UP and self._is_late and record.ended_by in (None, EXIT_TIME_UP):
            reason = "the time limit of %g s for the command on %s has passed" % (
                self.request.timeout or 0.0,
                self.name,
            )
            error = SessionInterrupted(reason, status)
        return CommandResult(
            self.name,
            status,
            reason,
            self.session_id,
            watch.began,
            watch.now,
            record.stdout_bytes,
            record.stderr_bytes,
            error,
            self.request.target,
        )

    def signal(self, event: Signalled) -> None:
        """A signal came to this program. From any thread, at any moment."""
        session = self._session
        if session is None:
            self._events.put(event)
        else:
            session.signal(event)

    def give_up(self) -> Callable[[float], object]:
        service = self._environment.service
        if not self.session_id or service is None:
            return super().give_up()
        termination = Termination(service, self.session_id)
        termination.begin()
        return termination.finish

    def failed(self, event: WorkerFailed) -> None:
        """A thread that serves this command broke."""
        self._events.put(event)

    @property
    def name(self) -> str:
        return self.request.name or self.request.target

    # Inside

    def _finish(self) -> None:
        """Close the output. Then end the session at the service if that failed for want of
        descriptors: those of the output are free now."""
        try:
            self._environment.streams.finish()
        finally:
            if self._session is not None:
                self._session.ensure_terminated()

    def _telling(self, waiting: Optional[Waiting]) -> Optional[Waiting]:
        """As ``waiting``, and counts as arrived while it waits: then there is nothing to do on this
        machine."""
        if waiting is None:
            return None
        waits = waiting.waits

        def tell(target: str, pause: float, left: float) -> None:
            self.arrived()
            waits(target, pause, left)

        return waiting._replace(waits=tell)

    def _run_with_retries(self) -> Tuple[int, str]:
        left, waits = self.request.retries, delays()
        next(waits)  # the first one is none
        while True:
            try:
                return self._run_once()
            except SsmPluginError as error:
                if not left or not self._may_retry(error):
                    raise
                left -= 1
                log.info("could not start, trying again: %s", error)
                self._wait(next(waits))

    def _may_retry(self, error: SsmPluginError) -> bool:
        """Only if the command cannot have run, and cannot run any more.

        If the service may have made a session all the same, we do not know its id and cannot end
        it: no other one is started beside it. With an id, the session has been ended, and a command
        cannot run before our answer to the node's handshake. So after connecting, there is a retry
        only if nothing came from the node: what came would be the handshake, and the command may
        run although we never hear of it again."""
        if isinstance(error, _FINAL) or error.uncertain or self._record.has_started:
            return False
        if isinstance(error, ServiceError) and error.code.startswith(_FINAL_CODES):
            return False
        session = self._connected
        return session is None or (
            isinstance(error, DeadlineError) and not session.channel.progress
        )

    def _wait(self, seconds: float) -> None:
        self.arrived()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                left = min(until - time.monotonic(), self._left(seconds))
                status = ending_status(self._events.get(timeout=max(0.0, left)))
            except queue.Empty:
                status = EXIT_TIME_UP if self._is_late else None
            if status is not None:
                raise SessionInterrupted("ended between two attempts to start", status)

    @property
    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _left(self, unlimited: float) -> float:
        """Seconds until the time limit."""
        return unlimited if self._deadline is None else self._deadline - time.monotonic()

    def _run_once(self) -> Tuple[int, str]:
        self._session = self._connected = None
        if isinstance(self.request.target, ContainerTarget):
            return self._run_in_container(self.request.target)
        with ExitStack() as exits:
            directory = ""
            if self.request.read_input:
                directory = "/tmp/ssm-plugin-" + os.urandom(16).hex()
            line = remote_line(self.request.argv, directory, self.request.raw_input)
            record = self._record = CommandRecord(line.marker)
            session = self._connect(
                lambda service: _start_command(service, self.request, line.text),
                SessionType.NON_INTERACTIVE_COMMANDS,
                lambda session, started: TrailerRunner(
                    session, started, record, self.request.silence_limit
                ),
            )
            if self.request.read_input:
                feed = InputFeed(
                    self.request, directory, self._environment, record, self._events.put
                )
                exits.enter_context(feed)
            return self._judge(self._wait_for(session))

    def _run_in_container(self, target: ContainerTarget) -> Tuple[int, str]:
        line = terminal_line(self.request.argv, self.request.read_input is not None)
        record = self._record = CommandRecord(line.marker)
        stream = TerminalStream(line.marker)
        session = self._connect(
            lambda service: execute_command(service, target, line.text),
            SessionType.INTERACTIVE_COMMANDS,
            lambda session, started: TerminalRunner(
                session, started, record, stream, self.request.read_input
            ),
        )
        outcome = self._wait_for(session)
        if not stream.is_ready and record.ended_by is None:
            raise not_begun(target.shown, stream.before, outcome)
        return self._judge(outcome)

    def _connect(
        self,
        start: Callable[[ServiceClient], StartedSession],
        session_type: SessionType,
        runner: RunnerFactory,
    ) -> Session:
        """Start the session, and connect it. Takes events while it waits; SessionInterrupted if one
        ends it, or the time limit has passed."""
        service, request = self._environment.service, self.request
        assert service is not None, "a command needs the service"
        started = wait_for_start(
            service,
            partial(start, service),
            self._events,
            timeout=None if self._deadline is None else self._left(0.0),
            waiting=self._environment.waiting,
            target=request.target,
        )
        self.session_id = started.session_id
        session = self._session = make_session(
            SessionRequest(request.target, session_type, request.document_name),
            started,
            self._environment,
            self._events,
            runner,
        )
        if self._deadline is not None:
            session.new_timer(lambda: self._end_late(session)).set(self._left(0.0))
        session.execute()
        self._connected = session
        self.arrived()
        return session

    def _end_late(self, session: Session) -> None:
        self._record.ended_by = EXIT_TIME_UP
        session.end(EXIT_TIME_UP)

    def _wait_for(self, session: Session) -> Outcome:
        try:
            outcome = session.wait(None if self._deadline is None else self._left(0.0))
            if outcome is None:
                session.leave_soon(EXIT_TIME_UP)  # should it be stuck in writing our output
                outcome = session.wait()
        except BaseException:  # a safety net: KeyboardInterrupt above all
            session.terminate_session()
            raise
        return outcome

    def _judge(self, outcome: Outcome) -> Tuple[int, str]:
        """The exit status and the reason; raises what went wrong."""
        record, status = self._record, outcome.status
        if outcome.error is not None:
            # With its status known the command has ended, and all of its output was here before.
            known = record.status is not None and not record.lacks_code
            if not (known and isinstance(outcome.error, SsmPluginError)):
                raise outcome.error
        if record.input_error:
            raise record.input_error
        if record.missing and record.ended_by is None:
            raise SessionLost("the command on %s has ended: %s" % (self.name, record.missing))
        if record.ended_by is None and record.status is not None and status != EXIT_OUTPUT_GONE:
            return record.status, outcome.reason
        if status in (NO_STATUS, EXIT_FAILED, 0):
            raise SessionLost(
                "the status of the command on %s never arrived: %s"
                % (self.name, outcome.reason or "the session ended before the command")
            )
        if status == EXIT_OUTPUT_GONE:
            return status, UNREAD
        return status, "ended by signal %d here" % (status - 128) if status > 128 else ""


def _start_command(service: ServiceClient, request: CommandRequest, line: str) -> StartedSession:
    """A document that does not know how to separate the outputs is asked without."""
    parameters = {"command": [line], "separateOutputStream": ["true"]}
    try:
        return service.start_session(
            request.target, request.document_name, parameters, request.reason
        )
    except ServiceError as error:
        if error.code not in _REFUSED:
            raise
    del parameters["separateOutputStream"]
    return service.start_session(request.target, request.document_name, parameters, request.reason)
