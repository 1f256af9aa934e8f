"""The one relay of all tunnels of a command, and when they do without."""

import queue
import threading
import time
from typing import Callable, List, Optional, Tuple

from .. import logs
from ..aws.service_errors import is_throttling_or_fault, may_be_stale
from ..channel.events import Started
from ..errors import (
    CredentialsError,
    NetworkError,
    RemoteError,
    ServiceError,
    SessionInterrupted,
    SessionLost,
    SsmPluginError,
)
from ..net.local_end import LocalEnd
from ..relay.liveness import RelayChanged
from ..relay.local_ports import RelayMuxRunner
from ..relay.relay import Relay
from ..session.environment import Environment
from ..session.events import RunnerEvent, SessionEvent
from ..session.protocols import IRunnerSession
from ..session.starting import SessionRequest
from ..session.waiting import may_connect_later
from ..units import AUTO, FAST, PLAIN
from .runner import Reporting, TunnelSession
from .specification import NODE_DOCUMENT

log = logs.logger(__name__)

# Seconds. If a second relay ends so soon after the first one, the service may not want what they
# carry. Then the tunnels stay plain, where that is allowed.
_TOO_OFTEN = 600.0


NO_FASTER = "the relay at the node is no faster than a plain tunnel"


class SharedRelay:
    """``speed`` is ``auto`` or ``fast``. With ``auto``, one that was no faster than a plain tunnel
    for some time, while more waited at the node, serves no new connections once there are none.
    ``warn`` gets a line that people should read."""

    def __init__(
        self,
        target: str,
        make_environment: Callable[[], Environment],
        speed: str,
        warn: Callable[[str], object],
        reason: Optional[str] = None,
    ) -> None:
        self.speed = speed
        self._target = target
        self._make_environment = make_environment
        self._warn = warn
        self._reason = reason
        self._lock = threading.Lock()
        self._relay: Optional[Relay] = None
        self._has_worked = False
        self._closed = False
        self._lost: List[float] = []

    def get(self, events: "queue.Queue[SessionEvent]") -> Optional[Relay]:
        """A relay that works; None if the tunnels are to be plain. Blocks, as :meth:`Relay.wait`
        does. Raises why there is no relay if plain tunnels are not allowed; and once there was one,
        what keeps any tunnel from being started for the moment."""
        with self._lock:
            relay = self._current()
        if relay is None:
            return None
        try:
            relay.wait(events)
        except SessionInterrupted:
            raise
        except SsmPluginError as error:
            if self._has_worked and _hits_any(error):
                raise
            if not self._give_up(error):
                raise RemoteError(
                    "%s cannot be reached at full speed: %s; use --speed auto or plain"
                    % (self._target, error)
                ) from error
            return None
        self._has_worked = True
        if relay.warning:
            self._warn(relay.warning)
        return relay

    def not_reached(self, relay: Relay, error: SsmPluginError) -> bool:
        """Whether a tunnel whose session over ``relay`` did not open may try again at once: plain
        if none ever opened, and else over another relay. This one's end may not be known yet."""
        if not relay.has_served:
            return self._give_up(error)
        if not isinstance(error, SessionLost):
            return False
        with self._lock:
            if relay is self._relay:
                self._relay = None
                self._count_loss(error)
        relay.close()
        return True

    def _give_up(self, error: SsmPluginError) -> bool:
        """Whether the tunnels may be plain from now on, for this reason."""
        with self._lock:
            if self.speed == FAST:
                return False
            self._be_plain(error)
            relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()
        return True

    def __enter__(self) -> "SharedRelay":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self.join()

    def close(self) -> None:
        """From any thread; returns at once."""
        with self._lock:
            self._closed = True
            relay = self._relay
        if relay is not None:
            relay.close()

    def join(self) -> None:
        """After :meth:`close`: wait for its end, for some seconds at most."""
        if self._relay is not None:
            self._relay.join()

    def _current(self) -> Optional[Relay]:
        """The caller holds the lock."""
        if self.speed == PLAIN or self._closed:
            return None
        if self._relay is not None and self._relay.is_slow:
            self._be_plain(RemoteError(NO_FASTER))
            return None  # those that have connections still use it
        if self._relay is not None and self._relay.failure is not None:
            if self._relay.port:
                self._count_loss(self._relay.failure)
            self._relay = None
        if self.speed != PLAIN and self._relay is None:
            self._relay = Relay(
                self._target, self._make_environment(), self.speed == FAST, self._reason
            )
            self._relay.begin()
        return self._relay

    def _count_loss(self, error: SsmPluginError) -> None:
        """The caller holds the lock."""
        now = time.monotonic()
        self._lost = [at for at in self._lost if now - at < _TOO_OFTEN] + [now]
        if len(self._lost) > 1 and self.speed == AUTO:
            self._be_plain(error)

    def _be_plain(self, error: SsmPluginError) -> None:
        """The caller holds the lock."""
        if self.speed == AUTO:
            log.info("%s is reached at plain speed: %s", self._target, error)
        self.speed = PLAIN


def _hits_any(error: SsmPluginError) -> bool:
    """Whether a plain tunnel could not be started now, either: no network, say, or the node starts
    again."""
    if isinstance(error, ServiceError):
        return may_connect_later(error) or is_throttling_or_fault(error) or may_be_stale(error)
    return isinstance(error, (NetworkError, CredentialsError))


class TunnelRelayRunner(Reporting, RelayMuxRunner):
    """Lost as soon as one of the two sessions has lost its connection, and back when both have
    theirs."""

    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        tunnel_session: TunnelSession,
        relay: Relay,
        target: Tuple[str, int],
        may_retire: bool,
    ) -> None:
        RelayMuxRunner.__init__(self, session, started, relay, target, may_retire)
        self._tunnel_session = tunnel_session

    def announce(self, local_end: LocalEnd) -> None:
        super().announce(local_end)
        self._tell_change()  # one may be lost already

    def event(self, event: RunnerEvent) -> None:
        super().event(event)
        if isinstance(event, RelayChanged):
            self._tell_change()

    def paused(self) -> None:
        RelayMuxRunner.paused(self)
        self._tell_change()

    def resumed(self) -> None:
        RelayMuxRunner.resumed(self)
        self._tell_change()

    def _tell_change(self) -> None:
        is_lost, is_told = self._liveness.is_cut_off, self._tunnel_session.lost_at is not None
        if not self.is_up or is_lost == is_told:
            return
        if is_lost:
            self.lost(self._relay.loss if self._relay.is_paused else self.session.loss)
        else:
            self.back()

    def retired(self) -> None:
        self._tunnel_session.retired = NO_FASTER


def way_up(request: SessionRequest, relay: Relay) -> SessionRequest:
    """The session that leads to the relay, in place of the one that ``request`` describes."""
    document = request.document_name if "host" not in request.parameters else NODE_DOCUMENT
    return request._replace(
        document_name=document, parameters={"portNumber": [str(relay.port)]}
    )


def target_of(request: SessionRequest) -> Tuple[str, int]:
    """Where a relay is to connect: a host, empty for the node itself, and a port."""
    host = request.parameters.get("host", [""])[0]
    return host, int(request.parameters["portNumber"][0])
