"""One session, from its connection to its end, on one thread.

Everything that happens arrives as an event in one queue: output, losses, signals, keys, results of
work done in the background. The session's thread takes them one by one; it never waits for
anything else but a slow consumer of its output.
"""

import datetime
import queue
import signal
import time
from typing import Any, Callable, Dict, Optional, Union

from .. import logs
from ..channel.aes_gcm import unavailable_reason
from ..channel.events import ChannelClosed, Failed, KeyRequested, Output, Started
from ..channel.protocol import ChannelProtocol
from ..channel.role import Role
from ..errors import (
    ConnectError,
    DeadlineError,
    EncryptionError,
    HandshakeError,
    SessionInterrupted,
    SessionLost,
    SessionPropertyError,
    SsmPluginError,
)
from ..terminal.output import OutputGone
from ..terminal.signals import Interrupted, Signalled, consumed
from ..transport.data_channel import DataChannel, Disconnected
from ..transport.worker import WorkerFailed
from . import notices
from .alarms import Alarm, Alarms
from .background import Completed, in_background
from .environment import Environment, dial
from .protocols import IDataChannel, ISession
from .registry import SessionPluginRegistry, get_session_registry
from .resumption import Resumption, cannot_heal
from .runner import Runner
from .state import Event, advance
from .types import ClientConfig, SessionConfig, SessionStatus, SessionType

log = logs.logger("session")

# Seconds. The agent waits 15 s for our part of the handshake and for each of its own steps.
HANDSHAKE_LIMIT = 30.0
FIRST_MESSAGE_LIMIT = 60.0
CLOSE_LIMIT = 2.0
TERMINATE_LIMIT = 3.0

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
EXIT_OUTPUT_GONE = 128 + signal.SIGPIPE


# By its methods: the transport is below this layer and cannot name the interface.
IDataChannel.register(DataChannel)


class EndRequested:
    """The event: end with this exit status; ``line`` is said first, if there is one."""

    def __init__(self, status: int, line: Optional[str] = None) -> None:
        self.status = status
        self.line = line


class Session(ISession):
    """``execute`` connects, ``run`` does the session's work and returns its exit status."""

    def __init__(
        self,
        config: SessionConfig,
        client_config: ClientConfig,
        registry: Optional[SessionPluginRegistry] = None,
        environment: Optional[Environment] = None,
        events: "Optional[queue.Queue[Any]]" = None,
    ) -> None:
        self.config = config
        self.client_config = client_config
        self.events: "queue.Queue[Any]" = events or queue.Queue()
        self._registry = registry or get_session_registry()
        self._status = SessionStatus.CREATED
        self._created_at = datetime.datetime.now(datetime.timezone.utc)
        self._channel: Union[IDataChannel, DataChannel, None] = None
        self._runner: Optional[Runner] = None
        self._resumption: Optional[Resumption] = None
        self._running = False
        self._over_at_service = False
        self._alarms = Alarms()
        self._stream = (config.stream_url, config.token_value)
        self.use(environment or Environment())

    def use(self, environment: Environment) -> None:
        """Take another environment; before :meth:`execute`."""
        self.environment = environment
        self.streams = environment.streams
        self.notices = notices.Notices(
            self.streams, self.config.session_id, environment.aside, environment.silent
        )

    # ISession

    @property
    def session_id(self) -> str:
        return self.config.session_id

    @property
    def status(self) -> SessionStatus:
        return self._status

    @property
    def stream_url(self) -> str:
        return self._stream[0]

    @property
    def token_value(self) -> str:
        return self._stream[1]

    @property
    def data_channel(self) -> Union[IDataChannel, DataChannel, None]:
        return self._channel

    def set_data_channel(self, data_channel: IDataChannel) -> None:
        """Use this channel in place of one of our own; before :meth:`execute`."""
        self._channel = data_channel

    def get_session_properties(self) -> Dict[str, Any]:
        channel = self._channel
        return {
            "session_id": self.session_id,
            "status": self._status.value,
            "session_type": self.client_config.session_type.value,
            "created_at": self._created_at.isoformat(),
            "client_id": self.client_config.client_id,
            "stream_url": self.stream_url,
            "has_data_channel": channel is not None,
            "data_channel_open": channel is not None and bool(channel.is_open),
        }

    def execute(self) -> None:
        """Connect. Raises what prevented it; the session has failed then."""
        self._advance(Event.EXECUTE)
        try:
            if not self.open_data_channel():
                raise ConnectError("the data channel of session %s did not open" % self.session_id)
            self._advance(Event.CONNECT)
        except SsmPluginError:
            self._advance(Event.FAIL)
            self._finish()
            raise

    def open_data_channel(self) -> bool:
        if self._channel is None:
            channel = self._channel = self._new_channel()
            in_background("dial", self._dial, self.events)
            channel.attach(self._await_task("dial"))
            return True
        return self._channel.is_open or self._channel.open() is not False

    def terminate_session(self) -> None:
        if self._running:
            self.events.put(EndRequested(0))
            return
        self._advance(Event.TERMINATE)
        self._finish()
        self._advance(Event.END)

    def run(self) -> int:
        """Do the session's work on this thread, to its end; returns the exit status.

        Raises :class:`SsmPluginError` if the session failed. Whatever happens, threads have ended,
        the terminal is restored and the session is over at the service afterwards.
        """
        self._running = True
        try:
            status = self._take_events()
            self._advance(Event.TERMINATE)
        except OutputGone:
            status = EXIT_OUTPUT_GONE
            self._advance(Event.TERMINATE)
        except Interrupted as interruption:
            status = 128 + interruption.signum
            self._advance(Event.TERMINATE)
        except SsmPluginError:
            self._advance(Event.FAIL)
            raise
        finally:
            self._running = False
            self._finish()
        self._advance(Event.END)
        return status

    # For runners

    @property
    def channel(self) -> DataChannel:
        assert isinstance(self._channel, DataChannel), "a runner needs our own data channel"
        return self._channel

    def set_alarm(self, name: str, seconds: float) -> None:
        """Let the runner's ``alarm`` be called once, so many seconds from now."""
        self._alarms.set(name, time.monotonic() + seconds)

    def cancel_alarm(self, name: str) -> None:
        self._alarms.cancel(name)

    def end(self, status: int, line: Optional[str] = None) -> None:
        """End with this exit status; ``line`` is a notice to be shown in place of the usual one.
        From any thread."""
        self.events.put(EndRequested(status, line))

    def end_by_signal(self, signum: int) -> None:
        """End if the signal is one that ends; others, such as a change of size, do nothing."""
        if signum in ENDING_SIGNALS:
            self.end(128 + signum)

    # Events

    def _take_events(self) -> int:
        self._alarms.set("first message", time.monotonic() + FIRST_MESSAGE_LIMIT)
        handlers: Dict[type, Callable[[Any], Optional[int]]] = {
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
        while True:
            event = self._next_event()
            status = handlers.get(type(event), self._on_other)(event)
            if status is not None:
                return status

    def _next_event(self) -> Any:
        while True:
            for alarm in self._alarms.take_due(time.monotonic()):
                self.events.put(alarm)
            due = self._alarms.next()
            try:
                timeout = None if due is None else max(0.0, due - time.monotonic())
                return self.events.get(timeout=timeout)
            except queue.Empty:
                continue

    def _on_output(self, event: Output) -> None:
        runner = self._runner
        if runner:
            runner.output(event.payload_type, event.data)
        if not (runner and runner.keeps_output):
            self.channel.delivered(len(event.data))

    def _on_started(self, event: Started) -> None:
        self._alarms.cancel("first message")
        self._alarms.cancel("handshake")
        session_type = self._type_of(event)
        plugin: Any = self._registry.get_plugin(session_type)
        if plugin is None:
            raise SessionPropertyError(
                "no plugin is registered for session type %s" % session_type.value
            )
        runner: Runner = plugin.create_runner(self, event)
        self._runner = runner
        self.notices.aside = self.notices.aside or runner.output_is_stream
        self.notices.show(notices.START)
        if event.customer_message:
            self.notices.show("{message}\n", message=event.customer_message)
        runner.start()

    def _type_of(self, event: Started) -> SessionType:
        expected = self.client_config.session_type
        if not event.session_type:
            # No handshake means a shell or an interactive command.
            interactive = SessionType.INTERACTIVE_COMMANDS
            return interactive if expected is interactive else SessionType.STANDARD_STREAM
        session_type = SessionType(event.session_type)
        if session_type is not expected:
            log.info("the agent opened a %s session", session_type.value)
        return session_type

    def _on_key_requested(self, event: KeyRequested) -> None:
        self._alarms.cancel("first message")
        self._alarms.set("handshake", time.monotonic() + HANDSHAKE_LIMIT)
        service, target = self.environment.service, self.config.target
        reason = unavailable_reason()
        if reason is None and (service is None or not target):
            reason = (
                "the session is encrypted with KMS, which needs AWS credentials and the target; "
                "this AWS CLI passed neither: update it"
            )
        if reason is not None:
            self._refuse_key(EncryptionError(reason))
        context = {"aws:ssm:SessionId": self.session_id, "aws:ssm:TargetId": target}
        if event.challenge:
            context["aws:ssm:RandomChallenge"] = event.challenge
        assert service is not None
        in_background(
            "key", lambda: service.generate_data_key(event.key_id, context), self.events
        )

    def _refuse_key(self, error: SsmPluginError) -> None:
        self.channel.refuse_key(str(error))
        self.channel.drain(1.0)
        raise error

    def _on_completed(self, event: Completed) -> Optional[int]:
        if event.task == "key":
            if event.error:
                self._refuse_key(event.error)
            self.channel.provide_key(event.value.plaintext, event.value.ciphertext)
        elif event.task == "resume":
            return self._on_resume_completed(event)
        elif self._runner:
            self._runner.event(event)
        return None

    def _on_closed(self, event: ChannelClosed) -> int:
        self._over_at_service = True
        if self._runner is None:
            raise SessionLost(
                "the service ended session %s before it started: %s"
                % (self.session_id, event.reason or "no reason was given")
            )
        status = self._runner.exit_status()
        self._say_goodbye(event.reason)
        return status

    def _on_failed(self, event: Failed) -> None:
        raise event.error

    def _on_worker_failed(self, event: WorkerFailed) -> None:
        if isinstance(event.error, SsmPluginError):
            raise event.error
        raise SsmPluginError(
            "internal error in thread %s: %r" % (event.name, event.error)
        ) from event.error

    def _on_signalled(self, event: Signalled) -> None:
        consumed(event.signum)
        if self._runner:
            self._runner.signalled(event)
        else:
            self.end_by_signal(event.signum)

    def _on_end_requested(self, event: EndRequested) -> int:
        self._stop_runner()
        if event.line is None:
            self._say_goodbye("")
        else:
            self.notices.show(event.line)
        return event.status

    def _on_alarm(self, event: Alarm) -> None:
        if event.name == "first message":
            self._on_silence()
        elif event.name == "handshake":
            raise HandshakeError("the node did not finish the handshake within 30 s")
        elif event.name == "resume":
            in_background("resume", self._resume, self.events)
        elif self._runner:
            self._runner.alarm(event)

    def _on_silence(self) -> None:
        if self.client_config.session_type is not SessionType.INTERACTIVE_COMMANDS:
            raise DeadlineError(
                "the node sent nothing within %d s; check that its SSM Agent runs"
                % FIRST_MESSAGE_LIMIT
            )
        # A command that has printed nothing yet is no reason to keep the user's keys from it.
        self._on_started(Started("", {}, "", "", False))

    def _on_other(self, event: Any) -> None:
        if self._runner:
            self._runner.event(event)

    # Connecting and resuming

    def _new_channel(self) -> DataChannel:
        supported = {kind.value for kind in self._registry.get_supported_session_types()}
        network = self.environment.network
        protocol = ChannelProtocol(Role.CLIENT, supported, network.window, network.pace)
        return DataChannel(protocol, self.events, ping_interval=network.ping_interval)

    def _dial(self) -> Any:
        client_id = self.client_config.client_id
        return dial(self.environment, self.stream_url, self.token_value, client_id)

    def _await_task(self, task: str) -> Any:
        """The result of the task, while nothing but an end can come in between."""
        while True:
            event = self._next_event()
            if isinstance(event, Completed) and event.task == task:
                if event.error:
                    raise event.error
                return event.value
            if isinstance(event, WorkerFailed):
                self._on_worker_failed(event)
            if isinstance(event, Signalled):
                self.end_by_signal(event.signum)
            if isinstance(event, EndRequested):
                raise SessionInterrupted("ended while connecting", event.status)

    def _on_disconnected(self, event: Disconnected) -> None:
        self.channel.detach()
        if self.environment.service is None:
            raise SessionLost("%s, and without AWS credentials it cannot be resumed" % event.error)
        self._advance(Event.DISCONNECT)
        if self._runner:
            self._runner.paused()
        now = time.monotonic()
        self._resumption = Resumption(now, self.environment.network.reconnect_timeout)
        self._alarms.set("resume", self._resumption.next_attempt(now) or now)

    def _resume(self) -> Any:
        """In the background: a connection with a new token; None if the session is over."""
        service = self.environment.service
        assert service is not None
        resumed = service.resume_session(self.session_id)
        if not resumed.token_value:
            return None
        self._stream = (resumed.stream_url or self.stream_url, resumed.token_value)
        return self._dial()

    def _on_resume_completed(self, event: Completed) -> Optional[int]:
        if event.error:
            self._retry_or_give_up(event.error)
        elif event.value is None:
            self._over_at_service = True
            self._stop_runner()
            self.notices.show(notices.TIMED_OUT)
            return 255
        else:
            self.channel.attach(event.value)
            self._advance(Event.CONNECT)
            if self._runner:
                self._runner.resumed()
        return None

    def _retry_or_give_up(self, error: SsmPluginError) -> None:
        assert self._resumption is not None
        now = time.monotonic()
        attempt = None if cannot_heal(error) else self._resumption.next_attempt(now)
        if attempt is None:
            line = "the session was lost and could not be resumed: %s" % error
            raise SessionLost(line) from error
        log.info("could not resume, trying again: %s", error)
        self._alarms.set("resume", attempt)

    # The end

    def _say_goodbye(self, reason: str) -> None:
        self._stop_runner()
        if reason:
            self.notices.show(notices.END_REASON, reason=reason)
        else:
            self.notices.show(notices.END)

    def _finish(self) -> None:
        """Leave nothing behind, within five seconds."""
        self._stop_runner()
        worker = None
        service = self.environment.service
        if service and not self._over_at_service:
            self._over_at_service = True
            done: "queue.Queue[Any]" = queue.Queue()
            worker = in_background(
                "terminate", lambda: service.terminate_session(self.session_id), done
            )
        if self._channel:
            self._channel.close()
        if worker and not worker.join(TERMINATE_LIMIT):
            log.warning("the service did not confirm the end of the session in time")

    def _stop_runner(self) -> None:
        runner, self._runner = self._runner, None
        if runner:
            if not self._over_at_service:
                runner.farewell()
            runner.stop()

    def _advance(self, event: Event) -> None:
        self._status = advance(self._status, event)
        log.info("session %s is %s", self.session_id, self._status.value)

