"""One session, from its connection to its end, on one thread."""

import datetime
import queue
import signal
import time
from typing import Any, Dict, Optional, Tuple, Union

from .. import logs
from ..channel.events import Started
from ..channel.protocol import ChannelProtocol
from ..channel.role import Role
from ..errors import ConnectError, SessionPropertyError, SsmPluginError
from ..terminal.output import OutputGone
from ..terminal.signals import Interrupted
from ..transport.data_channel import DataChannel
from .alarms import Alarms
from .background import in_background
from .connector import Connector
from .environment import Environment
from .loop import EndRequested, EventLoop
from .notices import END, TERMINATE_SIGNAL, Notices
from .protocols import IDataChannel, ISession
from .registry import SessionPluginRegistry, get_session_registry
from .runner import Runner
from .state import Event, advance
from .termination import Termination
from .types import ClientConfig, SessionConfig, SessionStatus, SessionType

log = logs.logger(__name__)

# Seconds. For all that is to be done at the end, and for the service to confirm it.
FINISH_LIMIT = 4.0
TERMINATE_LIMIT = 3.0

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
EXIT_OUTPUT_GONE = 128 + signal.SIGPIPE

# By its methods: the transport is below this layer and cannot name the interface.
IDataChannel.register(DataChannel)


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
        self.runner: Optional[Runner] = None
        self._stopped_runner: Optional[Runner] = None
        self.over_at_service = False
        self._registry = registry or get_session_registry()
        self._status = SessionStatus.CREATED
        self._created_at = datetime.datetime.now(datetime.timezone.utc)
        self._channel: Union[IDataChannel, DataChannel, None] = None
        self._alarms = Alarms()
        self._loop = EventLoop(self)
        self._running = False
        self._termination: Optional[Termination] = None
        self.use(environment or Environment())

    def use(self, environment: Environment) -> None:
        """Take another environment; before :meth:`execute`."""
        self.environment = environment
        self.streams = environment.streams
        self.connector = Connector(environment, self.config, self.client_config.client_id)
        self.notices = Notices(
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
        return self.connector.stream_url

    @property
    def token_value(self) -> str:
        return self.connector.token_value

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
            "data_channel_open": channel is not None and _is_open(channel),
        }

    def execute(self) -> None:
        """Connect. Raises what prevented it; the session has failed then."""
        self.advance(Event.EXECUTE)
        try:
            if self.environment.start_line_first:
                self.notices.start()
            if not self.open_data_channel():
                raise ConnectError("the data channel of session %s did not open" % self.session_id)
            self.advance(Event.CONNECT)
        # A safety net: what prevented it may be a lack of memory, and the session is to end.
        except BaseException:
            self.advance(Event.FAIL)
            self._finish()
            raise

    def open_data_channel(self) -> bool:
        if self._channel is None:
            self._channel = self._new_channel()
            in_background("dial", self.connector.dial, self.events)
            self.attach(self._loop.wait_for("dial"))
            return True
        return _is_open(self._channel) or self._channel.open() is not False

    def terminate_session(self) -> None:
        if self._running:
            self.end(0)
            return
        self.advance(Event.TERMINATE)
        self._finish()
        self.advance(Event.END)

    def ensure_terminated(self) -> None:
        """For an owner whose own part failed, and who has given back what may have been short."""
        if self._status is SessionStatus.CREATED:
            self.terminate_session()
        elif self._termination and self._termination.fell_short:
            self._termination.once_more(TERMINATE_LIMIT)

    def run(self) -> int:
        """Do the session's work on this thread, to its end; returns the exit status.

        Raises :class:`SsmPluginError` if the session failed. Whatever happens, threads have ended,
        the terminal is restored and the session is over at the service afterwards.
        """
        self._running = True
        try:
            status = self._run_loop()
            self.advance(Event.TERMINATE)
        except BaseException:  # a safety net: what an embedder's handler raises ends it as well
            self.advance(Event.FAIL)
            raise
        finally:
            self._running = False
            self._finish()
        self.advance(Event.END)
        return status

    def __repr__(self) -> str:
        return "Session(%r, %s)" % (self.session_id, self._status.value)

    # For the event loop and the runners

    @property
    def channel(self) -> DataChannel:
        assert isinstance(self._channel, DataChannel), "running needs a data channel of our own"
        return self._channel

    def attach(self, connection: Any) -> None:
        """Go on over a connection that the connector has made."""
        self.channel.attach(connection)
        self.connector.taken()

    def next_event(self) -> Any:
        """Wait for the next event; alarms are among them."""
        while True:
            for alarm in self._alarms.take_due(time.monotonic()):
                self.events.put(alarm)
            due = self._alarms.next()
            timeout = None if due is None else max(0.0, due - time.monotonic())
            try:
                return self.events.get(timeout=timeout)
            except queue.Empty:
                continue

    def set_alarm(self, name: str, seconds: float) -> None:
        """Put an ``Alarm`` of this name into the queue once, so many seconds from now."""
        self._alarms.set(name, time.monotonic() + seconds)

    def cancel_alarm(self, name: str) -> None:
        self._alarms.cancel(name)

    @property
    def loss(self) -> Optional[SsmPluginError]:
        """Why the connection was lost, or the latest attempt to resume it failed."""
        return self._loop.last_error

    def end(self, status: int, line: Optional[str] = None) -> None:
        """End with this exit status; ``line`` is a notice to be shown in place of the usual one.
        From any thread."""
        self.events.put(EndRequested(status, line))

    def end_by_signal(self, signum: int) -> None:
        """End if the signal is one that ends; others, such as a change of size, do nothing."""
        if signum in ENDING_SIGNALS:
            self.end(*self._signal_end(signum))

    def make_runner(self, session_type: SessionType, started: Started) -> Runner:
        """The runner of the type that the agent has chosen."""
        plugin: Any = self._registry.get_plugin(session_type)
        if plugin is None:
            raise SessionPropertyError(
                "no plugin is registered for session type %s" % session_type.value
            )
        runner: Runner = plugin.create_runner(self, started)
        self.runner = runner
        return runner

    def stop_runner(self) -> None:
        runner, self.runner = self.runner, None
        if runner:
            self._stopped_runner = runner
            if not self.over_at_service:
                runner.farewell()
            runner.stop()

    def advance(self, event: Event) -> None:
        self._status = advance(self._status, event)
        log.info("session %s is %s", self.session_id, self._status.value)

    # Inside

    def _new_channel(self) -> DataChannel:
        supported = {kind.value for kind in self._registry.get_supported_session_types()}
        network = self.environment.network
        protocol = ChannelProtocol(Role.CLIENT, supported, network.window, network.pace)
        return DataChannel(protocol, self.events, ping_interval=network.ping_interval)

    def _run_loop(self) -> int:
        try:
            return self._loop.run()
        except OutputGone:
            return EXIT_OUTPUT_GONE
        except Interrupted as interruption:
            status, line = self._signal_end(interruption.signum)
            self._loop.leave(line)
            return status

    def _signal_end(self, signum: int) -> Tuple[int, Optional[str]]:
        if self.runner:
            return self.runner.signal_end(signum)
        status = self.environment.port_signal_status
        if status is None or self.client_config.session_type is not SessionType.PORT:
            return 128 + signum, None
        return status, TERMINATE_SIGNAL + END

    def _finish(self) -> None:
        """Leave nothing behind, within five seconds."""
        ends_at = time.monotonic() + FINISH_LIMIT
        try:
            self.stop_runner()
        finally:
            self.connector.close()
            self._begin_termination()
            try:
                self._interrupt_if_needed(ends_at)
                if self._channel:
                    self._channel.close()
            finally:
                if self._termination:
                    self._termination.finish(min(TERMINATE_LIMIT, ends_at - time.monotonic()))

    def _interrupt_if_needed(self, ends_at: float) -> None:
        runner = self._stopped_runner
        if self._termination and runner and runner.needs_termination:
            self._termination.finish(min(TERMINATE_LIMIT, ends_at - time.monotonic()))
            if not self._termination.confirmed:
                runner.not_terminated()

    def _begin_termination(self) -> None:
        service = self.environment.service
        if service is not None and not self.over_at_service:
            self.over_at_service = True
            self._termination = Termination(service, self.session_id)
            self._termination.begin()


def _is_open(channel: Any) -> bool:
    """Foreign channels may have ``is_open`` as a method."""
    answer = channel.is_open
    return bool(answer() if callable(answer) else answer)
