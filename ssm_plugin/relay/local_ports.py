"""The port session of a fast tunnel: local connections up, to a relay."""

from typing import Optional, Tuple

from .. import logs
from ..channel.events import Started
from ..errors import SessionLost
from ..net.local_end import LocalEnd
from ..plugins.local_connection import Connection, Holdings
from ..plugins.local_reader import LocalReader
from ..plugins.port_mux import MuxKeepAlive
from ..plugins.port_runner import ListeningRunner
from ..session.events import RunnerEvent
from ..session.protocols import IRunnerSession
from ..terminal.wake import Inbox
from ..version import KEEP_ALIVE_OFF_AFTER, newer_than
from ..wire import payloads
from . import messages
from .liveness import CameDown, Liveness, RelayChanged
from .reader import RelayReader
from .relay import Relay
from .streams import RelayStreams

log = logs.logger(__name__)


class Retired(RunnerEvent):
    """No connection is open, and none is accepted any more."""


class RelayMuxRunner(ListeningRunner):
    """``target`` is where its connections lead to: a host, empty for the node, and a port. One
    that ``may_retire`` ends when the relay is slow and no connection is open."""

    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        relay: Relay,
        target: Tuple[str, int],
        may_retire: bool = False,
    ) -> None:
        super().__init__(session, started)
        # Each stream has a window of its own; the channel's is for what the agent has to say.
        self.holdings = Holdings(lambda size: None)
        self._relay = relay
        keep_alive = not newer_than(started.agent_version, KEEP_ALIVE_OFF_AFTER)
        self._streams = RelayStreams(
            self.session.channel,
            keep_alive,
            relay,
            target,
            lambda kind, data: self.session.tell(CameDown(kind, data)),
        )
        self._keep_alive = MuxKeepAlive(self.session, self._streams)
        self._liveness = Liveness(session, relay, self._streams.send_control_frame)
        self.is_up = False  # the relay has answered
        self._may_retire = may_retire

    def make_reader(
        self, inbox: "Inbox[Optional[Connection]]", local_end: LocalEnd
    ) -> LocalReader:
        self._streams.join(inbox, self.writer)
        return RelayReader(self._streams, inbox, self.writer, self.session.events.put, local_end)

    def start(self) -> None:
        """Local connections are served only once the relay has answered: see :meth:`_take`."""
        self._liveness.begin()
        self._streams.open_control()

    def output(self, payload_type: int, data: bytes) -> None:
        if payload_type == payloads.OUTPUT:
            for connection in self._streams.receive(data).ended:
                if connection is self._streams.control:
                    raise SessionLost("the node cannot reach the relay any more")
                connection.reset()
                self.writer.drop(connection)
        elif payload_type == payloads.FLAG:
            self.flagged(data)
        self.session.channel.delivered(len(data))

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, CameDown):
            self._take(event.kind, event.data)
        elif isinstance(event, RelayChanged):
            self._liveness.relay_changed()
            if isinstance(self._reader, RelayReader):
                self._reader.look_again()
                if self._relay.is_slow and self._may_retire:
                    self._reader.retire(lambda: self.session.tell(Retired()))
        elif isinstance(event, Retired):
            self.retired()
            self.session.end(0)
        else:
            super().event(event)

    def paused(self) -> None:
        self._keep_alive.pause()
        self._liveness.paused()

    def resumed(self) -> None:
        self._keep_alive.go_on()
        self._liveness.resumed()

    def retired(self) -> None:
        """The runner ends now, because the relay is no faster."""

    def stop(self) -> None:
        self._liveness.stop()
        self._streams.forget_all()
        super().stop()  # until then some may still be accepted
        self._streams.stop()

    def _take(self, kind: bytes, data: bytes) -> None:
        """What the relay says of the stream that leads nowhere, or REFUSED, of any."""
        if kind == messages.OPENED and not self.is_up:
            # The way up leads to the relay, and to nobody else.
            self.is_up = self._relay.has_served = True
            super().start()
            self._keep_alive.begin()
            self._liveness.reached()
        elif kind == messages.ECHOED:
            self._liveness.answered(data)
        elif kind == messages.REFUSED:
            log.info("the relay could not connect: %s", data.decode("utf-8", "replace"))
            self.refused()
