"""One session, as its owner sees it. What it does by itself is in ``session_thread.py``."""

import queue
import threading
import time
from typing import Any, Callable, Collection, Dict, Optional, overload

from .. import logs
from ..channel.events import Started
from ..errors import (
    ConnectError,
    SessionInterrupted,
    SessionPropertyError,
    SsmPluginError,
    StateError,
)
from ..shortage import explain
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.data_channel import DataChannel
from ..transport.worker import Worker, WorkerFailed
from .environment import Environment
from .events import EndRequested, RunnerEvent, SessionEvent
from .expectations import signal_end, type_of
from .lifecycle import Lifecycle, Outcome, State
from .notices import Notices
from .protocols import IDataChannel, IRunner, IRunnerSession, RunnerFactory
from .registry import SessionPluginRegistry, get_session_registry
from .session_thread import SessionThread
from .streams import Streams
from .termination import TERMINATE_LIMIT
from .timers import SessionTimer
from .types import ClientConfig, SessionConfig, SessionStatus

log = logs.logger(__name__)

# Seconds in which a session that was told to end does so by itself. One that does not is stuck in
# writing to something that nobody reads; it is then cleaned up without its thread, in so many more.
LEAVE_LIMIT = 2.5
STUCK_LIMIT = 1.5


class Session(IRunnerSession):
    """``execute`` connects it and lets it live in a thread of its own; ``wait`` gives its outcome.

    Args:
        registry: has the plugins that make the runner; the one of the process if not given
        environment: what the session uses of the world around it; without one there is no service
            and nothing is said
        runner: makes the runner in place of a plugin, for the expected type of session alone
        events: the queue that everything comes into; one of the session's own if not given
    """

    def __init__(
        self,
        config: SessionConfig,
        client_config: ClientConfig,
        registry: Optional[SessionPluginRegistry] = None,
        environment: Optional[Environment] = None,
        runner: Optional[RunnerFactory] = None,
        events: "Optional[queue.Queue[SessionEvent]]" = None,
    ) -> None:
        self.config = config
        self.client_config = client_config
        self.events: "queue.Queue[SessionEvent]" = queue.Queue() if events is None else events
        self._registry = registry or get_session_registry()
        self._factory = runner
        self._created_at = time.time()
        self._changed = threading.Condition()
        self._leave_by: Optional[float] = None
        self._worker: Optional[Worker] = None
        self._broken: Optional[WorkerFailed] = None
        self.environment = Environment(silent=True) if environment is None else environment
        self._life = self._new_life(None)

    def use(self, environment: Environment) -> None:
        """Take another environment; before anything is opened."""
        self._check_unused()
        self.environment = environment
        self._life = self._new_life(self._life.channel)

    # ISession

    @property
    def session_id(self) -> str:
        return self.config.session_id

    @property
    def status(self) -> SessionStatus:
        return self._life.lifecycle.status

    @property
    def stream_url(self) -> str:
        return self._life.connector.stream_url

    @property
    def token_value(self) -> str:
        return self._life.connector.token_value

    @property
    def data_channel(self) -> Optional[IDataChannel]:
        return self._life.channel

    def set_data_channel(self, data_channel: IDataChannel) -> None:
        """Use this channel in place of one of our own; before anything is opened."""
        self._check_unused()
        self._life = self._new_life(data_channel)

    def get_session_properties(self) -> Dict[str, Any]:
        from datetime import datetime, timezone  # takes much memory; hardly anybody asks

        channel = self.data_channel
        return {
            "session_id": self.session_id,
            "status": self.status.value,
            "session_type": self.client_config.session_type.value,
            "created_at": datetime.fromtimestamp(self._created_at, timezone.utc).isoformat(),
            "client_id": self.client_config.client_id,
            "stream_url": self.stream_url,
            "has_data_channel": channel is not None,
            "data_channel_open": channel is not None and channel.is_open,
        }

    def execute(self) -> None:
        """Connect; returns once the session is connected. Then it lives in a thread of its own.

        :raises RuntimeError: it could not be connected, and has failed; all errors of this package
            are RuntimeErrors
        :raises SessionInterrupted: it was told to end meanwhile; has ``exit_status``
        """
        worker = Worker("session", self._life.run, self._on_broken)
        with self._changed:  # it may be terminated at the same moment, by another thread
            self._lifecycle.execute(time.monotonic())
            self._worker = worker
        try:
            self._start(worker)
            self._wait_while(lambda: self._lifecycle.state is State.CONNECTING)
        except BaseException:  # a safety net: KeyboardInterrupt above all
            self.terminate_session()
            raise
        if self._lifecycle.is_ending and not self._lifecycle.was_connected:
            self._raise_failure(self.wait())

    def open_data_channel(self) -> bool:
        """Connect the data channel, if it is not yet; whether it is. Why not is in the log."""
        try:
            self._life.open_channel()
            return self._life.channel is not None and self._life.channel.is_open
        except Exception as error:  # a safety net: a foreign channel may raise anything
            log.error("the data channel of session %s did not open: %s", self.session_id, error)
            return False

    def terminate_session(self) -> None:
        """End the session, here and at the service; returns when it is over. May be called from
        any thread, in any state, and repeatedly. Raises what went wrong with the end itself."""
        with self._changed:
            worker = self._worker
            if worker is None:
                self._lifecycle.end(Outcome(0))
        if worker is None:
            self._life.clean_up()
        elif worker.is_current:
            self.end(0)
            return
        else:
            self.leave_soon(0)
            self.end(0)
            self.wait()
        error = self._lifecycle.cleaning_error
        if error is not None:
            raise error

    def ensure_terminated(self) -> None:
        """Terminate again if that failed for want of threads, descriptors or memory. For an owner
        that has freed some since."""
        termination = self._life.termination
        if self._worker is None:
            self.terminate_session()
        elif termination and termination.fell_short:
            termination.once_more(TERMINATE_LIMIT)

    @overload
    def wait(self, timeout: None = None) -> Outcome:
        ...

    @overload
    def wait(self, timeout: Optional[float] = None) -> Optional[Outcome]:
        ...

    def wait(self, timeout: Optional[float] = None) -> Optional[Outcome]:
        """Wait for the end, at most ``timeout`` s; None if it has not come by then.

        One that was told to end, by a signal or by :meth:`terminate_session`, and is stuck in
        writing to something that nobody reads, is ended without its thread; and so is one whose
        thread is broken. The session's own thread gets StateError in place of waiting for ever."""
        if timeout is None and self._worker and self._worker.is_current:
            raise StateError("the thread of a session cannot wait for its own end")
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._wait_while(lambda: not self._lifecycle.has_ended, deadline):
            if self._leave_by is None or time.monotonic() < self._leave_by:
                return None
            self._life.abandon(self._status_if_stuck, self._leave_by + STUCK_LIMIT)
        elif not self._lifecycle.has_ended:
            self._life.clean_up()
        return self._lifecycle.outcome

    def run_to_end(self) -> Outcome:
        """:meth:`execute`, and wait without a limit. Raises what the session failed with."""
        self.execute()
        outcome = self.wait()
        if outcome.error is not None:
            raise outcome.error
        return outcome

    # For its owner and for runners

    def end(self, status: int, line: Optional[str] = None) -> None:
        self.events.put(EndRequested(status, line))

    def tell(self, event: RunnerEvent) -> None:
        self.events.put(event)

    def signal(self, event: Signalled) -> None:
        """A signal came to this program. From any thread, but not from a signal handler."""
        if event.signum in ENDING_SIGNALS:
            expected = self.client_config.session_type
            self.leave_soon(signal_end(self.environment, expected, event.signum)[0])
        self.events.put(event)

    def leave_soon(self, status: int) -> None:
        """The session is being told to end: whoever waits for it waits only a limited time from now
        on. ``status`` is its exit status if it does not react."""
        with self._changed:
            if self._leave_by is None:
                self._status_if_stuck = status
                self._leave_by = time.monotonic() + LEAVE_LIMIT
                self._changed.notify_all()

    def new_timer(self, due: Callable[[], None]) -> SessionTimer:
        return self._life.timers.new(due)

    @property
    def notices(self) -> Notices:
        return self._life.notices

    @property
    def streams(self) -> Streams:
        return self.environment.streams

    @property
    def channel(self) -> DataChannel:
        """The data channel, for built-in runners, which need one of our own."""
        channel = self._life.channel
        assert isinstance(channel, DataChannel), "this runner needs a data channel of our own"
        return channel

    @property
    def outcome(self) -> Optional[Outcome]:
        """How it ends, from when that is decided on."""
        return self._lifecycle.outcome

    @property
    def loss(self) -> Optional[BaseException]:
        """Why the connection was lost, or the latest attempt to resume it failed."""
        return self._lifecycle.last_error

    def __repr__(self) -> str:
        return "Session(%r, %s)" % (self.session_id, self.status.value)

    # Inside

    _status_if_stuck = 0
    _logged_status = SessionStatus.CREATED

    @property
    def _lifecycle(self) -> Lifecycle:
        return self._life.lifecycle

    def _check_unused(self) -> None:
        is_new = self._worker is None and self._lifecycle.state is State.CREATED
        if not is_new or self._life.was_opened:
            raise StateError("session %s has been opened, or has ended" % self.session_id)

    def _new_life(self, channel: Optional[IDataChannel]) -> SessionThread:
        return SessionThread(
            self.config,
            self.client_config,
            self.environment,
            self.events,
            channel,
            self._supported,
            self._make_runner,
            self._notify,
        )

    def _supported(self) -> Collection[str]:
        if self._factory is not None:
            return {self.client_config.session_type.value}
        return self._registry.get_supported_session_types()

    def _make_runner(self, started: Started) -> IRunner:
        """The runner for the type that the agent has chosen."""
        expected = self.client_config.session_type
        kind = type_of(started, expected)
        if kind != expected.value:
            log.info("the agent opened a %s session", kind)
        if self._factory is not None:
            if kind == expected.value:
                return self._factory(self, started)
            raise SessionPropertyError(
                "the node opened a %s session, where a %s session was expected"
                % (kind, expected.value)
            )
        plugin = self._registry.get_plugin(kind)
        if plugin is None:
            raise SessionPropertyError("no plugin is registered for session type %s" % kind)
        return plugin.create_runner(self, started)

    def _start(self, worker: Worker) -> None:
        """Without a thread the session cannot live; it is ended at the service all the same."""
        try:
            worker.start()
        except SsmPluginError as error:
            self._worker = None
            self._lifecycle.fail(error)
            self._life.clean_up()
            raise

    def _on_broken(self, event: WorkerFailed) -> None:
        """The session's thread could not even end the session, for want of memory above all. So it
        only says so, and whoever waits does the rest."""
        self._broken = event
        with self._changed:
            self._changed.notify_all()

    def _notify(self) -> None:
        status = self.status
        if status is not self._logged_status:
            self._logged_status = status
            log.info("session %s is %s", self.session_id, status.value)
        with self._changed:
            self._changed.notify_all()

    def _wait_while(
        self, condition: Callable[[], bool], deadline: Optional[float] = None
    ) -> bool:
        """Wait while the condition holds and the session's thread is not broken. False if the
        deadline, or the limit of an end that was asked for, came first."""
        with self._changed:
            while condition() and self._broken is None:
                limits = [at for at in (deadline, self._leave_by) if at is not None]
                left = min(limits) - time.monotonic() if limits else None
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        if self._broken is not None:
            self._lifecycle.fail(self._broken.error)
        return True

    def _raise_failure(self, outcome: Outcome) -> None:
        """Of a session that was never connected."""
        error = outcome.error
        if error is None:
            raise SessionInterrupted("interrupted while connecting", outcome.status)
        if isinstance(error, (RuntimeError, KeyboardInterrupt)):
            raise error
        shortage = explain(error)
        if shortage:
            raise shortage from error
        raise ConnectError(
            "the data channel of session %s did not open: %s" % (self.session_id, error)
        ) from error
