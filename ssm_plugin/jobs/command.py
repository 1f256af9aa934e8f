"""Runs one command on one node: starts the session, runs it, and says how it went."""

import os
import queue
import time
from contextlib import ExitStack
from typing import Any, Optional, Tuple

from .. import logs
from ..aws.client import StartedSession
from ..errors import (
    CredentialsError,
    DeadlineError,
    ServiceError,
    SessionInterrupted,
    SessionLost,
    SsmPluginError,
    UsageError,
)
from ..session.environment import Environment
from ..session.session import EXIT_OUTPUT_GONE, Session
from ..session.streams import Streams
from ..session.types import ClientConfig, SessionConfig, SessionType
from ..transport.backoff import delays
from ..wire.message import random_id
from .feed import InputFeed
from .remote_line import remote_line
from .request import CommandRequest, CommandResult
from .runner import NO_STATUS, KeptNotices, Record, registry_for
from .starting import ending_status, start_command
from .time_limit import EXIT_TIME_UP, TimeLimit

log = logs.logger(__name__)

EXIT_FAILED = 255

# What another attempt to start does not heal.
_FINAL = (UsageError, CredentialsError, SessionInterrupted)
_FINAL_CODES = (
    "AccessDenied",
    "InvalidDocument",
    "InvalidParameters",
    "UnrecognizedClient",
    "Validation",
)


class RemoteCommand:
    """``run`` blocks, on any thread; several may run at once. What is put into ``events`` meanwhile
    counts: a ``Signalled``, an ``EndRequested``. ``streams`` gets the output, in that thread.
    ``is_program`` if there is nothing else in this process, which may be sent signals then."""

    def __init__(
        self,
        request: CommandRequest,
        environment: Environment,
        streams: Optional[Streams] = None,
        events: "Optional[queue.Queue[Any]]" = None,
        is_program: bool = False,
    ) -> None:
        self.request = request
        self.events: "queue.Queue[Any]" = events or queue.Queue()
        self.session_id = ""
        self._is_program = is_program
        self._streams = streams or Streams()
        self._environment = environment._replace(streams=self._streams, silent=True)
        self._record = Record(b"-")
        self._connected: Optional[Session] = None

    def run(self) -> CommandResult:
        """Never raises an ``SsmPluginError``: it is in the result."""
        began = time.time()
        error: Optional[SsmPluginError] = None
        with TimeLimit(self.request.timeout, self.events, self._is_program) as limit:
            try:
                status, reason = self._run_with_retries()
            except SsmPluginError as raised:
                error, reason = raised, str(raised)
                status = getattr(raised, "exit_status", EXIT_FAILED)
        if limit.forced or (limit.passed and status == EXIT_TIME_UP):
            status = EXIT_TIME_UP
            reason = "the time limit of %g s for the command on %s has passed" % (
                self.request.timeout or 0.0,
                self.name,
            )
            error = SessionInterrupted(reason, status)
        record = self._record
        return CommandResult(
            self.name,
            status,
            reason,
            self.session_id,
            began,
            time.time(),
            record.stdout_bytes,
            record.stderr_bytes,
            error,
        )

    @property
    def name(self) -> str:
        return self.request.name or self.request.target

    # Inside

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

        A start that the service may have made all the same leaves a session whose id we do not
        know, so that we cannot end it: no other one is started beside it. With an id, the session
        has been ended, and a command cannot run before our answer to the node's handshake. So
        after connecting, a session that failed counts only if nothing came from the node: what did
        come is the handshake, and the command may run although we never hear of it again.
        """
        if isinstance(error, _FINAL) or error.uncertain or self._record.has_started:
            return False
        if isinstance(error, ServiceError) and error.code.startswith(_FINAL_CODES):
            return False
        session = self._connected
        return session is None or (
            isinstance(error, DeadlineError) and not session.channel.progress
        )

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                status = ending_status(self.events.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                return
            if status is not None:
                raise SessionInterrupted("ended between two attempts to start", status)

    def _run_once(self) -> Tuple[int, str]:
        self._connected = None
        with ExitStack() as exits:
            directory = ""
            if self.request.read_input:
                directory = "/tmp/ssm-plugin-" + os.urandom(16).hex()
            line = remote_line(self.request.argv, directory)
            self._record = Record(line.marker)
            started = self._start(line.text)
            session = self._session(started)
            session.execute()
            self._connected = session
            if self.request.read_input:
                feed = InputFeed(
                    self.request, directory, self._environment, self._record, self.events
                )
                exits.enter_context(feed)
            return self._outcome(self._run_session(session))

    def _start(self, text: str) -> StartedSession:
        assert self._environment.service is not None, "a command needs the service"
        started = start_command(self._environment.service, self.request, text, self.events)
        self.session_id = started.session_id
        return started

    def _session(self, started: StartedSession) -> Session:
        request = self.request
        config = SessionConfig(
            started.session_id,
            started.stream_url,
            started.token_value,
            request.target,
            request.document_name,
        )
        client = ClientConfig(random_id(), SessionType.NON_INTERACTIVE_COMMANDS)
        registry = registry_for(self._record)
        session = Session(config, client, registry, self._environment, self.events)
        session.notices = KeptNotices(self._streams, started.session_id, self._record)
        return session

    def _run_session(self, session: Session) -> int:
        try:
            return session.run()
        except SsmPluginError:
            # With its status known the command has ended, and all of its output was here before.
            if self._record.status is None or self._record.lacks_code:
                raise
            return self._record.status

    def _outcome(self, status: int) -> Tuple[int, str]:
        record = self._record
        if record.input_error:
            raise record.input_error
        if record.missing and record.ended_by is None:
            raise SessionLost("the command on %s has ended: %s" % (self.name, record.missing))
        if record.ended_by is None and record.status is not None and status != EXIT_OUTPUT_GONE:
            return record.status, record.service_reason
        if status in (NO_STATUS, EXIT_FAILED, 0):
            reason = record.service_reason or "the session ended before the command"
            raise SessionLost(
                "the status of the command on %s never arrived: %s" % (self.name, reason)
            )
        if status == EXIT_OUTPUT_GONE:
            return status, "nobody reads the output any more"
        return status, "ended by signal %d here" % (status - 128) if status > 128 else ""
