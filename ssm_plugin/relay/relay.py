"""One relay at a node: the command session that it runs in, and what it tells.

Three kinds of threads meet here. The relay's own starts its session, and waits for its end. The
session's takes what the relay says: secrets stay here, and what belongs to a stream goes to the
``Sink`` of that stream, at once. The threads of those who use the relay take secrets, and learn of
changes.

A relay is *settled* once it is known whether it works. Later on it may fail. In either case the
first failure counts, and what it brings about, such as the end of the session, does not.
"""

import os
import queue
import threading
import time
from functools import partial
from typing import Callable, Dict, List, Optional, Tuple

from .. import logs
from ..aws.client import CALL_TIMEOUT
from ..channel.events import Started
from ..errors import RemoteError, SessionInterrupted, SessionLost, SsmPluginError
from ..jobs.request import DEFAULT_DOCUMENT
from ..plugins.base import BuiltInRunner
from ..session.environment import Environment
from ..session.events import RunnerEvent, SessionEvent, Tell
from ..session.lifecycle import Outcome
from ..session.protocols import IRunner, IRunnerSession
from ..session.session import Session
from ..session.starting import SessionRequest, call_start, ending_status, make_session
from ..session.streams import CallableStreams
from ..session.types import SessionType
from ..session.waiting import start_in_turn
from ..transport.worker import Worker, WorkerFailed
from ..wire import payloads
from . import messages
from .choice import LoggingCheck, check_target
from .launch import SPARE_SECRETS, launch_line
from .pace import RelayPace

log = logs.logger(__name__)

# Seconds for a relay to say where it listens, once its session is open.
GREETING_LIMIT = 10.0

# Seconds that a relay outlives the longest loss of a connection that is still resumed.
SPARE_LEASE = 60.0

# Seconds for its session to end.
CLOSE_LIMIT = 3.0

_ERRORS_KEPT = 300  # bytes

# A relay has as many ready as it began with, and some more for those that were lost.
MOST_SECRETS = 10000

# Ports below those that systems give to clients, and above those of most services.
_LOWEST, _HIGHEST = 20000, 32000

# Takes the kind and the data of each message of one stream, in the thread of the relay's session.
Sink = Callable[[bytes, bytes], None]


class RelaySettled(RunnerEvent):
    """The relay that was waited for works, or does not."""


class Relay:
    """:meth:`begin` returns at once, and :meth:`close` may be called from any thread, at any time.

    Args:
        strict: it runs although its output may be logged, and however slow it is
        connecting: called in its own thread before its session connects. It may still fail to start

    Attributes:
        warning: why its output may be logged; empty if it is not
        failure: why it does not work, or not any more
        wanted_port: where it will listen at the node, if that is free
        lease: seconds without a word from us after which it ends
        has_served: somebody has reached it, and has set this
        is_slow: it is no faster than a plain tunnel, and ends with the last that uses it
        is_paused: its session has lost its connection, which is being resumed
        resumptions: how often that has succeeded
    """

    def __init__(
        self,
        target: str,
        environment: Environment,
        strict: bool,
        reason: Optional[str] = None,
        connecting: Callable[[], object] = lambda: None,
    ) -> None:
        self.warning = ""
        self.is_slow = False
        self._pace = RelayPace()
        self.has_served = False
        self.resumptions = 0
        self.is_paused = False
        self.lease = environment.network.reconnect_timeout + SPARE_LEASE
        self._request = SessionRequest(
            target, SessionType.NON_INTERACTIVE_COMMANDS, DEFAULT_DOCUMENT, {}, reason
        )
        self._environment = environment._replace(
            streams=CallableStreams(lambda data: None, lambda data: None),
            silent=True,
            listener=None,
        )
        self._strict = strict
        self._connecting = connecting
        self.wanted_port = _LOWEST + int.from_bytes(os.urandom(2), "big") % (_HIGHEST - _LOWEST)
        self._token = os.urandom(8).hex()
        self._decoder = messages.DownDecoder(self._token)
        self._lock = threading.Lock()
        self._session: Optional[Session] = None
        self._secrets: Dict[int, bytes] = {}
        self._sinks: Dict[int, Sink] = {}
        self._closing = False
        self._settled = False
        self.failure: Optional[SsmPluginError] = None
        self._told_when_settled: List[Tell] = []
        self._watchers: List[Callable[[], object]] = []
        self._errors = b""
        self._worker = Worker("relay", self._run, self.failed)

    def begin(self) -> None:
        self._worker.start()

    def wait(self, events: "queue.Queue[SessionEvent]") -> None:
        """Wait until the relay works; raises why it does not. Takes events meanwhile:
        SessionInterrupted if one of them ends the waiting."""
        with self._lock:
            self._told_when_settled.append(events.put)
            if self._settled:
                events.put(RelaySettled())
        while True:
            event = events.get()
            if isinstance(event, RelaySettled):
                if self.failure is not None:
                    raise self.failure
                return
            if isinstance(event, WorkerFailed):
                raise event.as_error()
            status = ending_status(event)
            if status is not None:
                raise SessionInterrupted("interrupted while the relay was being started", status)

    def close(self) -> None:
        """End it; returns at once."""
        with self._lock:
            self._closing = True
            session = self._session
        if session is not None:
            session.leave_soon(0)
            session.end(0)

    def join(self, seconds: float = CLOSE_LIMIT) -> bool:
        """After :meth:`close`: wait for its end."""
        return self._worker.join(seconds)

    @property
    def port(self) -> int:
        """Where it listens, at the node."""
        return self._decoder.port or 0

    @property
    def loss(self) -> Optional[BaseException]:
        """Why its session has lost its connection, while that :attr:`is_paused`."""
        return self._session.loss if self._session else None

    # For those who use it

    def watch(self, changed: Callable[[], object]) -> None:
        """Have this called whenever there are new secrets, its session has lost its connection or
        has it back, and when it has ended."""
        with self._lock:
            self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], object]) -> None:
        with self._lock:
            if changed in self._watchers:
                self._watchers.remove(changed)
            unused = self.is_slow and not self._watchers
        if unused:
            self.close()

    def take_secret(self) -> Optional[Tuple[int, bytes]]:
        """The number of a stream and its secret; None while all are used up."""
        with self._lock:
            return self._secrets.popitem() if self._secrets else None

    @property
    def has_few_secrets(self) -> bool:
        """Fewer than half of those that it began with."""
        return len(self._secrets) < SPARE_SECRETS // 2

    def give_back(self, number: int, secret: bytes) -> None:
        """Return a secret that was not used."""
        with self._lock:
            self._secrets[number] = secret

    def listen_to(self, number: int, sink: Sink) -> None:
        with self._lock:
            self._sinks[number] = sink

    def forget(self, number: int) -> None:
        with self._lock:
            self._sinks.pop(number, None)

    def failed(self, event: WorkerFailed) -> None:
        """Its thread broke, or the one of an early start."""
        self._settle(event.as_error())

    def give_up(self, failure: SsmPluginError) -> None:
        """It is of no use any more."""
        self._settle(failure)
        self._notify()
        self.close()

    # Its own thread

    def _run(self) -> None:
        try:
            self._fail_with(self._start().wait())
        except BaseException as error:  # a safety net: told before the end that it brings
            self.failed(WorkerFailed(self._worker.name, error))
        finally:
            self._end()

    def _start(self) -> Session:
        service = self._environment.service
        assert service is not None, "a relay is started at the service"
        check_target(self._request.target)
        logging = LoggingCheck(service, DEFAULT_DOCUMENT)
        logging.begin()
        line = launch_line(self._token, self.lease, self.wanted_port)
        parameters = {"command": [line], "separateOutputStream": ["true"]}
        request = self._request._replace(parameters=parameters)
        start = partial(call_start, service, request)
        started = start_in_turn(service, start, patience=CALL_TIMEOUT)
        session = make_session(request, started, self._environment, None, self._make_runner)
        with self._lock:
            self._session = session
        # Until the session is connected nothing runs at the node.
        self.warning = logging.reason()
        if self._closing or (self.warning and not self._strict):
            session.terminate_session()
            raise RemoteError(self.warning or "it was not wanted any more")
        self._connecting()
        session.execute()
        return session

    def _make_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        return _RelayRunner(session, started, self)

    def _settle(self, failure: Optional[SsmPluginError]) -> None:
        with self._lock:
            self.failure = self.failure or failure
            self._settled = True
            told, self._told_when_settled = self._told_when_settled, []
        for tell in told:
            tell(RelaySettled())

    def _end(self) -> None:
        session = self._session
        if session is not None:
            session.terminate_session()
        self._settle(SessionLost(self._why_ended()))
        self._notify()

    def _why_ended(self) -> str:
        text = self._errors.decode("utf-8", "replace").strip()
        return "the relay at the node has ended%s" % (text and ": " + text.splitlines()[-1])

    @property
    def heard(self) -> int:
        """Grows while the node sends us something of the relay's, be it once more."""
        return self._session.channel.arrivals if self._session else 0

    def _notify(self) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for changed in watchers:
            changed()

    # The thread of its session

    def take(self, payload_type: int, data: bytes) -> None:
        if payload_type == payloads.STDERR:
            self._errors = (self._errors + data)[-_ERRORS_KEPT:]
        if payload_type != payloads.OUTPUT:
            return
        fresh = False
        self._pace.came(len(data))
        for message in self._decoder.feed(data):
            if message.kind == messages.SECRET:
                fresh = True
                if len(self._secrets) >= MOST_SECRETS:
                    raise RemoteError("the relay at the node makes more secrets than are wanted")
                with self._lock:
                    self._secrets[message.stream] = message.data
            elif message.kind == messages.WAITING:
                self._judge_pace()
            else:
                sink = self._sinks.get(message.stream)
                if sink is not None:
                    sink(message.kind, message.data)
        if self._decoder.port is not None and not self._settled:
            self._greeted()
        if fresh:
            self._notify()

    def _greeted(self) -> None:
        if not self.port:
            raise RemoteError(
                "the node has neither Python 3, nor Python 2.7, nor perl to run the relay"
            )
        self._settle(None)

    def check_greeting(self) -> None:
        """It has had its time to say where it listens."""
        if self._decoder.port is None:
            raise RemoteError("the relay at the node said nothing for %g s" % GREETING_LIMIT)

    def _judge_pace(self) -> None:
        if self._pace.waits(time.monotonic()) and not (self.is_slow or self._strict):
            self.is_slow = True
            self._notify()

    def paused(self) -> None:
        self.is_paused = True
        self._notify()

    def resumed(self) -> None:
        self.is_paused = False
        self.resumptions += 1
        self._notify()

    def stopping(self, outcome: Optional[Outcome]) -> None:
        """Its session is ending. Those who use the relay need not wait until it is over. Who waits
        for it to settle does: a plain tunnel may take its place then."""
        if self._settled:
            self._fail_with(outcome)

    def _fail_with(self, outcome: Optional[Outcome]) -> None:
        """Its session has ended, or is ending: a failure, unless we have closed it."""
        assert outcome is not None, "it is known by then"
        if self._closing:
            return
        failure = outcome.error
        if not isinstance(failure, SsmPluginError):
            reason = outcome.reason and ": " + outcome.reason
            failure = SessionLost(self._why_ended() + reason)
        self._settle(failure)
        self._notify()


class _RelayRunner(BuiltInRunner):
    """The command session's part."""

    needs_termination = True

    def __init__(self, session: IRunnerSession, started: Started, relay: Relay) -> None:
        super().__init__(session, started)
        self._relay = relay

    def start(self) -> None:
        self.session.new_timer(self._relay.check_greeting).set(GREETING_LIMIT)

    def output(self, payload_type: int, data: bytes) -> None:
        self._relay.take(payload_type, data)

    def paused(self) -> None:
        self._relay.paused()

    def resumed(self) -> None:
        self._relay.resumed()

    def stop(self) -> None:
        self._relay.stopping(self.session.outcome)
