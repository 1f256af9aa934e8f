"""What a session does by itself: the thread in which it lives.

Everything arrives in one queue: output, losses, signals, keys, results of errands. This
thread takes the events one by one, tells the session's lifecycle, which decides, and does what
follows. It waits for nothing else, but for a slow consumer of its output.
"""

import queue
import threading
import time
from typing import Callable, Collection, Optional

from .. import logs
from ..channel.events import (
    Acknowledged,
    ChannelClosed,
    Failed,
    KeyRequested,
    Output,
    Started,
    Terminating,
)
from ..errors import ConnectError, SessionLost, StateError
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.data_channel import Disconnected
from ..transport.spill import Spilled
from ..transport.worker import WorkerFailed
from . import notices
from .connector import Connector, OwnDataChannel
from .environment import Environment
from .errands import Errands
from .events import (
    SHOWS_CONNECTION,
    ConnectionEvent,
    EndRequested,
    FoundAlive,
    FoundOver,
    KeyFailed,
    KeyReady,
    NotResumed,
    Opened,
    OpenFailed,
    OpeningEvent,
    Paused,
    Resumed,
    RunnerEvent,
    SessionEvent,
)
from .expectations import limits_of, may_be_silent, signal_end
from .lifecycle import EXIT_LOST, Lifecycle, Outcome, State
from .notices import Notices
from .protocols import IDataChannel, IRunner
from .resumption import Resumption
from .streams import EXIT_OUTPUT_GONE, OutputGone
from .termination import FINISH_LIMIT, TERMINATE_LIMIT, Termination, close_session, do_all
from .timers import LastWord, Quiet, Timers
from .types import ClientConfig, SessionConfig

log = logs.logger(__name__)

TIMED_OUT = "timed out"


class SessionThread:
    """Everything of a session that lives.

    Args:
        channel: a foreign data channel, or None for one of our own
        supported: the session types that the node may choose
        make_runner: makes what the session does, once the node has chosen
        changed: called after each change of state, from the session's thread

    Attributes:
        was_opened: the data channel was, by :meth:`open_channel`
    """

    def __init__(
        self,
        config: SessionConfig,
        client_config: ClientConfig,
        environment: Environment,
        events: "queue.Queue[SessionEvent]",
        channel: Optional[IDataChannel],
        supported: Callable[[], Collection[str]],
        make_runner: Callable[[Started], IRunner],
        changed: Callable[[], None],
    ) -> None:
        is_foreign = channel is not None
        self.lifecycle = Lifecycle(limits_of(config, client_config, environment, is_foreign))
        self._is_to_be_told = is_foreign
        self.notices = Notices(environment, config.session_id)
        self.connector = Connector(environment, config, client_config.client_id)
        self._errands = Errands(config, environment, events)
        self._resumption = Resumption(self.lifecycle, self.connector, events.put, changed)
        self.timers = Timers()
        self.channel = channel
        self.runner: Optional[IRunner] = None
        self.termination: Optional[Termination] = None
        self._config = config
        self._expected = client_config.session_type
        self._environment = environment
        self._events = events
        self._supported = supported
        self._make_runner = make_runner
        self._changed = changed
        self._own_channel: Optional[OwnDataChannel] = None
        self.was_opened = False
        self._opening = threading.Lock()
        self._stopped_runner: Optional[IRunner] = None
        self._patience = notices.Patience(
            self.notices, self.timers, environment.streams.is_watched, self._expected
        )
        self._quiet = Quiet(self.timers, self._ask_whether_over)
        self._last_word = LastWord(self.timers, events.empty, lambda: self._progress)
        self._closing = threading.Lock()
        self._is_closed = threading.Event()

    def run(self) -> None:
        """From the first connection to the end. Whatever goes wrong is in the outcome."""
        try:
            if self._environment.start_line_first:
                self.notices.start()
            self._patience.begin(notices.CONNECTING)
            self._errands.open(self.open_channel)
            if not self._is_to_be_told:
                self.connector.load()
            while not self.lifecycle.is_ending:
                self._step()
        except OutputGone:
            self.lifecycle.end(Outcome(EXIT_OUTPUT_GONE, self._exit_code))
        except BaseException as error:  # a safety net: what a handler raises ends the session too
            self.lifecycle.fail(error)
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        """Leave nothing behind, within :data:`FINISH_LIMIT`. In the session's thread, or in any
        other if the session was never executed."""
        self._changed()
        ends_at = time.monotonic() + FINISH_LIMIT
        steps = (self._stop_runner, self.notices.say_end, lambda: self._close(ends_at))
        self._ended(do_all(steps))

    def abandon(self, status: int, ends_at: float) -> None:
        """As :meth:`clean_up`, while the session's own thread is stuck in our output. Silent."""
        self.lifecycle.end(Outcome(status))
        self._changed()
        error = do_all((self._stop_runner, lambda: self._close(ends_at)))
        self._is_closed.wait(max(0.0, ends_at - time.monotonic()))
        self._ended(error)

    def open_channel(self) -> None:
        """Connect the data channel, unless it was before. Blocks; raises what prevented it."""
        with self._opening:
            if self.lifecycle.is_ending:
                raise StateError("session %s has ended" % self._config.session_id)
            if self.lifecycle.was_connected or (self.was_opened and self._own_channel):
                return  # it is open, is being resumed, or will be once we run
            channel = self.channel
            if channel is None:
                own = self.connector.new_channel(
                    self._supported(), self._resumption.told, self._events.qsize
                )
                channel = self.channel = self._own_channel = self._resumption.channel = own
            if self._is_to_be_told:
                channel.deliver_to(self._events.put)
                self._is_to_be_told = False
            if not channel.is_open and channel.open() is False:
                raise ConnectError(
                    "the data channel of session %s did not open" % self._config.session_id
                )
            self.was_opened = True
            if self.lifecycle.is_ending:
                channel.close()  # the session ended meanwhile, when there was nothing to close

    # One step

    def _step(self) -> None:
        """Take one event, or wait until something is due."""
        now = time.monotonic()
        if self.lifecycle.due(now) and self._own_channel:
            # A command that has printed nothing yet is no reason to keep the user's keys from it.
            if not self._own_channel.assume_started():
                self.lifecycle.negotiating(now)
        self.timers.run(now)
        if self.lifecycle.is_ending:
            return
        times = [at for at in (self.lifecycle.next_timer(), self.timers.next()) if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return
        if self.lifecycle.state is State.CONNECTING and isinstance(event, SHOWS_CONNECTION):
            self._react(Opened())  # another thread reports it, and is late
        self._react(event)

    def _react(self, event: SessionEvent) -> None:
        """The most frequent first."""
        if isinstance(event, Output):
            self._on_output(event)
        elif isinstance(event, Spilled):
            self._on_output(event.load())
        elif isinstance(event, RunnerEvent):
            if self.runner:
                self.runner.event(event)
        elif isinstance(event, Acknowledged):
            if self.runner:
                self.runner.acknowledged(event)
        elif isinstance(event, Signalled):
            self._on_signalled(event)
        elif isinstance(event, (Started, KeyRequested, KeyReady, KeyFailed)):
            self._react_to_opening(event)
        elif isinstance(event, (Opened, OpenFailed, Disconnected, Paused, Resumed, NotResumed)):
            self._react_to_connection(event)
        else:
            self._react_to_end(event)

    def _on_output(self, event: Output) -> None:
        self._patience.end()
        runner, channel = self.runner, self.channel
        if runner:
            runner.output(event.payload_type, event.data)
        if channel and not (runner and runner.keeps_output):
            channel.delivered(len(event.data))

    # Opening

    def _react_to_opening(self, event: OpeningEvent) -> None:
        if isinstance(event, Started):
            self._on_started(event)
        elif isinstance(event, KeyRequested):
            self.lifecycle.negotiating(time.monotonic())
            self._errands.get_key(event)
        elif self._own_channel and isinstance(event, KeyReady):
            self._own_channel.provide_key(event.key.plaintext, event.key.ciphertext)
        elif self._own_channel and isinstance(event, KeyFailed):
            self._own_channel.refuse_key(str(event.error))
            self._own_channel.drain(1.0)  # the agent is to learn the reason
            raise event.error

    def _on_started(self, event: Started) -> None:
        self.lifecycle.started()
        runner = self._make_runner(event)
        self.notices.aside = self.notices.aside or runner.output_is_stream
        self.notices.start()
        if not runner.awaits_output:
            self._patience.end()
        if event.customer_message:
            self.notices.message(event.customer_message)
        self.runner = runner
        self._quiet.begin(time.monotonic())
        runner.start()

    # The connection

    def _react_to_connection(self, event: ConnectionEvent) -> None:
        if isinstance(event, Opened):
            if self.lifecycle.state is State.CONNECTING:  # else it comes late
                self.lifecycle.connected(time.monotonic(), self._progress)
                self._patience.begin_first_output()
        elif isinstance(event, OpenFailed):
            raise event.error
        elif isinstance(event, Disconnected):
            self._on_disconnected(event)
        elif isinstance(event, NotResumed):
            self.lifecycle.give_up(event.error)
        elif self.runner and isinstance(event, Paused):
            self.runner.paused()
        elif self.runner:
            self.runner.resumed()
        self._changed()

    def _on_disconnected(self, event: Disconnected) -> None:
        obstacle = self._resumption.obstacle
        if obstacle:
            self.lifecycle.lost(time.monotonic(), self._progress, event.error)
            raise SessionLost("%s, and %s" % (event.error, obstacle))
        self._resumption.begin(event)

    @property
    def _progress(self) -> int:
        return self._own_channel.progress if self._own_channel else 0

    # An end that nobody reports

    def _ask_whether_over(self) -> None:
        service, channel = self._environment.service, self._own_channel
        if service is None or channel is None or self.lifecycle.state is not State.RUNNING:
            return
        if self._quiet.asks(time.monotonic(), channel.progress, not channel.drain(0.0)):
            self._errands.ask_whether_over()

    # Ends

    def _react_to_end(self, event: SessionEvent) -> None:
        if isinstance(event, EndRequested):
            self._end(event)
        elif isinstance(event, ChannelClosed):
            # An agent ends some of its reasons with a newline, which would be shown as an escape.
            self._on_closed(event.reason.rstrip("\r\n"))
        elif isinstance(event, Terminating):
            self._last_word.expect(lambda: self._on_closed(""))
        elif isinstance(event, FoundOver):
            self._on_found_over()
        elif isinstance(event, FoundAlive):
            self._quiet.told(event.error)
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, WorkerFailed):
            raise event.as_error()
        else:
            log.debug("ignored %s", event)

    def _on_signalled(self, event: Signalled) -> None:
        is_done = self.runner is not None and self.runner.signalled(event)
        if event.signum in ENDING_SIGNALS and not is_done:
            self._end(EndRequested(*signal_end(self._environment, self._expected, event.signum)))

    def _end(self, event: EndRequested) -> None:
        if event.line is not None or self.lifecycle.was_connected:
            self.notices.at_end(notices.END if event.line is None else event.line)
        self.lifecycle.end(Outcome(event.status, self._exit_code))

    def _on_found_over(self) -> None:
        if self.lifecycle.state is not State.RUNNING:
            self._conclude_over()  # there is nothing to resume any more
        elif not self._last_word.is_expected:
            self._last_word.expect(self._conclude_over)

    def _conclude_over(self) -> None:
        # A command has told its exit code before the connection broke: it ended, and so do we.
        if self._exit_code is not None:
            self._conclude("")
        elif not self.lifecycle.is_ending:
            self.notices.at_end(notices.TIMED_OUT)
            self.lifecycle.closed(Outcome(EXIT_LOST, reason=TIMED_OUT))

    def _on_closed(self, reason: str) -> None:
        if self.runner or (not reason and may_be_silent(self._config, self._expected)):
            self._conclude(reason)
        else:
            lost = "the service ended session %s before it started: %s"
            error = SessionLost(lost % (self._config.session_id, reason or "no reason was given"))
            self.lifecycle.closed(Outcome(EXIT_LOST, reason=reason, error=error))

    def _conclude(self, reason: str) -> None:
        """An end that did not come from here. With output missing it is no good one."""
        runner = self.runner
        status = runner.closed(reason) if runner else 0
        missing = runner.missing(reason) if runner else ""
        self.notices.start()
        self.notices.at_end(notices.END_REASON if reason else notices.END, reason)
        if missing:
            self.notices.warn_at_end(missing)
        self.lifecycle.closed(Outcome(EXIT_LOST if missing else status, self._exit_code, reason))

    @property
    def _exit_code(self) -> Optional[int]:
        runner = self.runner or self._stopped_runner
        return runner.exit_code if runner else None

    # Cleaning up

    def _stop_runner(self) -> None:
        runner, self.runner = self.runner, None
        if runner:
            self._stopped_runner = runner
            try:
                if self.lifecycle.goes_on_at_service:
                    runner.farewell()
            finally:
                runner.stop()

    def _close(self, ends_at: float) -> None:
        """The network part of cleaning up. It is done once; a second caller does not wait."""
        if not self._closing.acquire(False):
            return
        try:
            self._resumption.close()
            self.connector.close()
            service = self._environment.service if self.lifecycle.goes_on_at_service else None
            if service:
                self.termination = Termination(service, self._config.session_id)
            limit = min(time.monotonic() + TERMINATE_LIMIT, ends_at)
            close_session(self.termination, self._stopped_runner, self.channel, limit)
        finally:
            self._is_closed.set()

    def _ended(self, error: Optional[BaseException]) -> None:
        self.lifecycle.cleaned(error)
        self._changed()
