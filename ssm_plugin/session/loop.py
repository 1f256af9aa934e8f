"""The event loop of a session: what happens on which event, until one ends it.

Everything arrives in one queue: output, losses, signals, keys, results of work done in the
background. The session's thread takes the events one by one and waits for nothing else, except for
a slow consumer of its output.
"""

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from .. import logs
from ..channel.events import ChannelClosed, Failed, KeyRequested, Output, Started
from ..errors import (
    DeadlineError,
    HandshakeError,
    SessionInterrupted,
    SessionLost,
    SsmPluginError,
)
from ..terminal.signals import Signalled, consumed
from ..transport.data_channel import Disconnected
from ..transport.worker import WorkerFailed
from . import notices
from .alarms import Alarm
from .background import Completed, in_background
from .encryption import generate_data_key
from .resumption import Resumption, cannot_heal
from .state import Event
from .types import SessionType

if TYPE_CHECKING:
    from .session import Session

log = logs.logger("session")

# Seconds. The agent waits 15 s for our part of the handshake, and for each of its own steps.
HANDSHAKE_LIMIT = 30.0
FIRST_MESSAGE_LIMIT = 60.0

EXIT_LOST = 255

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
        self._resumption: Optional[Resumption] = None
        self._handlers: Dict[type, Callable[[Any], Optional[int]]] = {
            Output: self._on_output,
            Started: self._on_started,
            KeyRequested: self._on_key_requested,
            Completed: self._on_completed,
            Disconnected: self._on_disconnected,
            ChannelClosed: self._on_closed,
            Failed: self._on_failed,
            WorkerFailed: self._on_worker_failed,
            Signalled: self._on_signalled,
            EndRequested: self._on_end_requested,
            Alarm: self._on_alarm,
        }

    def run(self) -> int:
        """Take events until one ends the session; returns the exit status."""
        session = self._session
        session.set_alarm("first message", FIRST_MESSAGE_LIMIT)
        while True:
            event = session.next_event()
            status = self._handlers.get(type(event), self._on_other)(event)
            if status is not None:
                return status

    def wait_for(self, task: str) -> Any:
        """The result of the background task, while nothing but an end can come in between."""
        while True:
            event = self._session.next_event()
            if isinstance(event, Completed) and event.task == task:
                if event.error:
                    raise event.error
                return event.value
            if isinstance(event, EndRequested):
                raise SessionInterrupted("interrupted while connecting", event.status)
            if isinstance(event, (Signalled, WorkerFailed)):
                self._handlers[type(event)](event)

    # The session's work

    def _on_output(self, event: Output) -> None:
        runner = self._session.runner
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
        session.notices.show(notices.START)
        if event.customer_message:
            session.notices.show("{message}\n", message=event.customer_message)
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

    def _on_alarm(self, event: Alarm) -> None:
        if event.name == "first message":
            self._on_silence()
        elif event.name == "handshake":
            raise HandshakeError(
                "the node did not finish the handshake within %d s" % HANDSHAKE_LIMIT
            )
        elif event.name == "resume":
            in_background("resume", self._session.connector.resume, self._session.events)
        elif self._session.runner:
            self._session.runner.alarm(event)

    def _on_silence(self) -> None:
        if not self._may_be_command():
            raise DeadlineError(
                "the node sent nothing within %d s; check that its SSM Agent runs"
                % FIRST_MESSAGE_LIMIT
            )
        # A command that has printed nothing yet is no reason to keep the user's keys from it.
        self._on_started(Started("", {}, "", "", False))

    def _may_be_command(self) -> bool:
        """Whether silence is no bad sign: a shell prints a prompt, a command may print nothing."""
        if self._session.client_config.session_type is SessionType.INTERACTIVE_COMMANDS:
            return True
        return self._session.config.document_name not in _SHELL_DOCUMENTS

    def _on_other(self, event: Any) -> None:
        if self._session.runner:
            self._session.runner.event(event)

    # A lost connection

    def _on_disconnected(self, event: Disconnected) -> None:
        session = self._session
        session.channel.detach()
        obstacle = session.connector.why_not_resumable()
        if obstacle:
            raise SessionLost("%s, and %s" % (event.error, obstacle))
        session.advance(Event.DISCONNECT)
        if session.runner:
            session.runner.paused()
        now = time.monotonic()
        self._resumption = Resumption(now, session.environment.network.reconnect_timeout)
        session.set_alarm("resume", self._resumption.next_delay(now) or 0.0)

    def _on_resumed(self, event: Completed) -> Optional[int]:
        session = self._session
        if event.error:
            self._retry_or_give_up(event.error)
        elif event.value is None:
            session.over_at_service = True
            session.stop_runner()
            session.notices.show(notices.TIMED_OUT)
            return EXIT_LOST
        else:
            session.channel.attach(event.value)
            session.advance(Event.CONNECT)
            if session.runner:
                session.runner.resumed()
        return None

    def _retry_or_give_up(self, error: SsmPluginError) -> None:
        assert self._resumption is not None
        delay = self._resumption.next_delay(time.monotonic())
        if delay is None or cannot_heal(error):
            raise SessionLost("the session was lost and cannot be resumed: %s" % error) from error
        log.info("could not resume, trying again in %.1f s: %s", delay, error)
        self._session.set_alarm("resume", delay)

    # Ends

    def _on_closed(self, event: ChannelClosed) -> int:
        session = self._session
        session.over_at_service = True
        if session.runner is None and not event.reason and self._may_be_command():
            session.notices.show(notices.START)
            session.notices.show(notices.END)
            return 0
        if session.runner is None:
            raise SessionLost(
                "the service ended session %s before it started: %s"
                % (session.session_id, event.reason or "no reason was given")
            )
        status = session.runner.exit_status()
        self._say_goodbye(event.reason)
        return status

    def _on_end_requested(self, event: EndRequested) -> int:
        if event.line is None:
            self._say_goodbye("")
        else:
            self._session.stop_runner()
            self._session.notices.show(event.line)
        return event.status

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
        raise SsmPluginError(
            "internal error in thread %s: %r" % (event.name, event.error)
        ) from event.error
