"""The event loop of a session: what happens on which event, until one ends it.

Everything arrives in one queue: output, losses, signals, keys, results of work done in the
background. The session's thread takes the events one by one and waits for nothing else, except for
a slow consumer of its output.
"""

import queue
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, NoReturn, Optional

from .. import logs
from ..channel.events import ChannelClosed, Failed, KeyRequested, Output, Started, Terminating
from ..errors import (
    CredentialsError,
    DeadlineError,
    HandshakeError,
    LocalError,
    SessionInterrupted,
    SessionLost,
    SsmPluginError,
)
from ..shortage import explain
from ..terminal.signals import Signalled, consumed
from ..transport.data_channel import Disconnected
from ..transport.spill import Spilled
from ..transport.worker import Worker, WorkerFailed
from . import notices, patience
from .alarms import Alarm
from .background import Completed, in_background
from .encryption import generate_data_key
from .quiet import INTERVAL, Quiet
from .resumption import Resumption, cannot_heal
from .runner import EXIT_LOST, Runner
from .state import Event
from .types import SessionStatus, SessionType

if TYPE_CHECKING:
    from .session import Session

log = logs.logger(__name__)

# Seconds. The agent waits 15 s for our part of the handshake, and for each of its own steps.
HANDSHAKE_LIMIT = 30.0

# A command that waits for input prints nothing, and input waits for the node's first message. A
# handshake would have begun within a second or two.
QUIET_COMMAND_LIMIT = 10.0

# From the agent's word that it leaves to the service's: it repeats lost output for four seconds.
TERMINATING_LIMIT = 6.0

# For finding credentials, which come between connecting and the upgrade.
SIGNING_LIMIT = 20.0

# How long whoever reads our output may take for the last line, where we were told to end.
LAST_LINE_LIMIT = 1.0

# Documents that open a shell. What others open is not known before the agent says so, if it does.
_SHELL_DOCUMENTS = (None, "", "SSM-SessionManagerRunShell")


class EndRequested:
    """The event: end with this exit status; ``line`` is a notice in place of the usual one."""

    def __init__(self, status: int, line: Optional[str] = None) -> None:
        self.status = status
        self.line = line


class EventLoop:
    def __init__(self, session: "Session") -> None:
        self._session = session
        self._resumption = Resumption(0.0)
        self._quiet = Quiet(0.0)
        self._patience = patience.Patience(session)
        self._last_error: Optional[SsmPluginError] = None
        self._handlers: Dict[type, Callable[[Any], Optional[int]]] = {
            Output: self._on_output,
            Spilled: lambda event: self._on_output(event.load()),
            Started: self._on_started,
            KeyRequested: self._on_key_requested,
            Completed: self._on_completed,
            Disconnected: self._on_disconnected,
            ChannelClosed: self._on_closed,
            Terminating: self._on_terminating,
            Failed: self._on_failed,
            WorkerFailed: self._on_worker_failed,
            Signalled: self._on_signalled,
            EndRequested: self._on_end_requested,
            Alarm: self._on_alarm,
        }

    @property
    def last_error(self) -> Optional[SsmPluginError]:
        """Why the connection was lost, or the latest attempt to resume it failed."""
        return self._last_error

    def run(self) -> int:
        """Take events until one ends the session; returns the exit status."""
        session = self._session
        interactive = session.client_config.session_type is SessionType.INTERACTIVE_COMMANDS
        limit = session.environment.network.first_output_timeout
        session.set_alarm("first message", QUIET_COMMAND_LIMIT if interactive else limit)
        self._patience.begin_first_output()
        self._resumption = Resumption(session.environment.network.reconnect_timeout)
        self._resumption.connected(time.monotonic(), session.channel.progress)
        while True:
            event = session.next_event()
            status = self._handlers.get(type(event), self._on_other)(event)
            if status is not None:
                return status

    def wait_for(self, task: str) -> Any:
        """The result of the background task, while nothing but an end can come in between."""
        limit = 2 * self._session.environment.network.connect_timeout + SIGNING_LIMIT
        self._session.set_alarm(task, limit)
        self._patience.begin(patience.CONNECTING)
        while True:
            event = self._session.next_event()
            if isinstance(event, Completed) and event.task == task:
                self._session.cancel_alarm(task)
                self._patience.end()
                if event.error:
                    raise event.error
                return event.value
            if event == Alarm(patience.ALARM):
                self._patience.explain()
            elif isinstance(event, Alarm):
                raise DeadlineError(
                    "the data channel did not open within %d s: check the network, the firewall "
                    "and the proxy settings" % limit
                )
            elif isinstance(event, EndRequested):
                if event.line:
                    self.leave(event.line)
                raise SessionInterrupted("interrupted while connecting", event.status)
            elif isinstance(event, (Signalled, WorkerFailed)):
                self._handlers[type(event)](event)

    # The session's work

    def _on_output(self, event: Output) -> None:
        runner = self._session.runner
        self._patience.end()
        if runner:
            runner.output(event.payload_type, event.data)
        if not (runner and runner.keeps_output):
            self._session.channel.delivered(len(event.data))

    def _on_started(self, event: Started) -> None:
        session = self._session
        session.cancel_alarm("first message")
        session.cancel_alarm("handshake")
        runner = session.make_runner(self._type_of(event), event)
        session.notices.aside = session.notices.aside or runner.output_is_stream
        self._quiet = Quiet(time.monotonic())
        session.set_alarm("quiet", INTERVAL)
        session.notices.start()
        if not runner.awaits_output:
            self._patience.end()
        if event.customer_message:
            session.notices.message(event.customer_message)
        runner.start()

    def _type_of(self, event: Started) -> SessionType:
        expected = self._session.client_config.session_type
        if not event.session_type:
            # No handshake means a shell or an interactive command.
            interactive = SessionType.INTERACTIVE_COMMANDS
            return interactive if expected is interactive else SessionType.STANDARD_STREAM
        session_type = SessionType(event.session_type)
        if session_type is not expected:
            log.info("the agent opened a %s session", session_type.value)
        return session_type

    def _on_key_requested(self, event: KeyRequested) -> None:
        session = self._session
        session.cancel_alarm("first message")
        session.set_alarm("handshake", HANDSHAKE_LIMIT)
        in_background(
            "key",
            lambda: generate_data_key(event, session.config, session.environment),
            session.events,
        )

    def _on_key(self, event: Completed) -> None:
        channel = self._session.channel
        if event.error:
            channel.refuse_key(str(event.error))
            channel.drain(1.0)  # the agent is to learn the reason
            raise event.error
        channel.provide_key(event.value.plaintext, event.value.ciphertext)

    def _on_completed(self, event: Completed) -> Optional[int]:
        if event.task == "resume":
            return self._on_resumed(event)
        if event.task == "over":
            return self._on_told_whether_over(event)
        if event.task == "key":
            self._on_key(event)
        else:
            self._on_other(event)
        return None

    def _on_signalled(self, event: Signalled) -> None:
        consumed(event.signum)
        if self._session.runner:
            self._session.runner.signalled(event)
        else:
            self._session.end_by_signal(event.signum)

    def _on_alarm(self, event: Alarm) -> Optional[int]:
        if event.name == "first message":
            self._on_silence()
        elif event.name == patience.ALARM:
            self._patience.explain()
        elif event.name == "handshake":
            raise HandshakeError(
                "the node did not finish the handshake within %d s" % HANDSHAKE_LIMIT
            )
        elif event.name == "resume":
            in_background("resume", self._session.connector.resume, self._session.events)
        elif event.name == "give up":
            self._give_up()
        elif event.name == "quiet":
            self._look_whether_over()
        elif event.name == "terminating":
            return self._on_closed(ChannelClosed(""))
        elif self._session.runner:
            self._session.runner.alarm(event)
        return None

    def _on_silence(self) -> None:
        session = self._session
        if session.status is SessionStatus.RESUMING:
            self._give_up()
        if not self._may_be_command():
            if self._is_awaited_shell():
                return
            raise DeadlineError(
                "the node sent nothing within %g s; check that its SSM Agent runs, or allow more "
                "by 'first_output_timeout' below 'network' in the configuration"
                % session.environment.network.first_output_timeout
            )
        # A command that has printed nothing yet is no reason to keep the user's keys from it.
        session.channel.assume_started()

    def _may_be_command(self) -> bool:
        """Whether silence is no bad sign: a shell prints a prompt, a command may print nothing."""
        expected = self._session.client_config.session_type
        if expected is SessionType.INTERACTIVE_COMMANDS:
            return True
        if expected is not SessionType.STANDARD_STREAM:
            return False  # these begin with a handshake, which comes at once
        return self._session.config.document_name not in _SHELL_DOCUMENTS

    def _is_awaited_shell(self) -> bool:
        """Whether a person waits for a shell, who sees that nothing comes, and can end it."""
        session = self._session
        shell = session.client_config.session_type is SessionType.STANDARD_STREAM
        return shell and session.streams.is_watched

    def _on_other(self, event: Any) -> None:
        if self._session.runner:
            self._session.runner.event(event)

    # An end that nobody tells

    def _on_terminating(self, event: Terminating) -> None:
        self._session.set_alarm("terminating", TERMINATING_LIMIT)

    def _look_whether_over(self) -> None:
        session = self._session
        session.set_alarm("quiet", INTERVAL)
        service, channel = session.environment.service, session.channel
        if service is None or session.status is not SessionStatus.CONNECTED:
            return
        if self._quiet.asks(time.monotonic(), channel.progress, not channel.drain(0.0)):
            in_background("over", lambda: service.is_over(session.session_id), session.events)

    def _on_told_whether_over(self, event: Completed) -> Optional[int]:
        if event.error:
            if cannot_heal(event.error) or isinstance(event.error, CredentialsError):
                self._quiet.denied()
        elif event.value and self._session.status is SessionStatus.CONNECTED:
            return self._on_over()
        return None

    # A lost connection

    def _on_disconnected(self, event: Disconnected) -> None:
        session = self._session
        session.channel.detach()
        self._last_error = event.error
        obstacle = session.connector.why_not_resumable()
        if obstacle:
            raise SessionLost("%s, and %s" % (event.error, obstacle))
        session.advance(Event.DISCONNECT)
        if session.runner:
            session.runner.paused()
        now = time.monotonic()
        self._resumption.lost(now, session.channel.progress)
        # An attempt that is under way at the limit may still succeed.
        grace = session.environment.network.connect_timeout
        session.set_alarm("give up", self._resumption.gives_up_at + grace - now)
        self._try_again()

    def _on_resumed(self, event: Completed) -> Optional[int]:
        session = self._session
        if event.error:
            self._last_error = event.error
            if cannot_heal(event.error):
                self._give_up()
            self._try_again()
        elif event.value is None:
            return self._on_over()
        else:
            session.cancel_alarm("give up")
            session.attach(event.value)
            self._resumption.connected(time.monotonic(), session.channel.progress)
            session.advance(Event.CONNECT)
            if session.runner:
                session.runner.resumed()
        return None

    def _on_over(self) -> int:
        """There is nothing to resume any more."""
        session = self._session
        session.over_at_service = True
        # A command has told its exit code before the connection broke: it ended, and so do we.
        if session.runner and session.runner.exit_code is not None:
            return self._end(session.runner, session.runner.exit_status(), "")
        session.stop_runner()
        session.notices.show(notices.TIMED_OUT)
        return EXIT_LOST

    def _try_again(self) -> None:
        delay = self._resumption.next_delay(time.monotonic())
        if delay is None:
            self._give_up()
        else:
            log.info("resuming in %.1f s after: %s", delay, self._last_error)
            self._session.set_alarm("resume", delay)

    def _give_up(self) -> NoReturn:
        error = self._last_error
        raise SessionLost("the session was lost and cannot be resumed: %s" % error) from error

    # Ends

    def _on_closed(self, event: ChannelClosed) -> int:
        session = self._session
        session.over_at_service = True
        if session.runner is None and not event.reason and self._may_be_command():
            session.notices.start()
            session.notices.show(notices.END)
            return 0
        if session.runner is None:
            raise SessionLost(
                "the service ended session %s before it started: %s"
                % (session.session_id, event.reason or "no reason was given")
            )
        return self._end(session.runner, session.runner.closed(event.reason), event.reason)

    def _end(self, runner: Runner, status: int, reason: str) -> int:
        """An end that did not come from here. With output missing it is no good one."""
        missing = runner.missing(reason)
        self._say_goodbye(reason)
        if not missing:
            return status
        self._session.notices.warn(missing)
        return EXIT_LOST

    def _on_end_requested(self, event: EndRequested) -> int:
        self.leave(event.line)
        return event.status

    def leave(self, line: Optional[str] = None) -> None:
        """Say so. Aside, for nobody may be taking our output, which would hold us up."""
        self._session.stop_runner()
        line = notices.END if line is None else line
        failures: "queue.Queue[Any]" = queue.Queue()
        last_line = Worker("notice", lambda: self._session.notices.show(line), failures)
        try:
            last_line.start()
        except LocalError:
            return
        last_line.join(LAST_LINE_LIMIT)
        if not failures.empty():
            log.info("the last line was not shown: %r", failures.get().error)

    def _say_goodbye(self, reason: str) -> None:
        self._session.stop_runner()
        if reason:
            self._session.notices.show(notices.END_REASON, reason=reason)
        else:
            self._session.notices.show(notices.END)

    def _on_failed(self, event: Failed) -> None:
        raise event.error

    def _on_worker_failed(self, event: WorkerFailed) -> None:
        if isinstance(event.error, SsmPluginError):
            raise event.error
        shortage = explain(event.error)
        if shortage:
            raise shortage from event.error
        raise SsmPluginError(
            "internal error in thread %s: %r" % (event.name, event.error)
        ) from event.error
