"""Port forwarding with any number of connections at once, as smux streams (newer agents)."""

import time

from ..channel.events import Started
from ..net.local_end import LocalEnd
from ..session import notices
from ..session.protocols import IRunnerSession
from ..session.session import Session
from ..version import KEEP_ALIVE_OFF_AFTER, newer_than
from ..wire import payloads
from ..wire.message import Role
from .local_connection import Connection
from .local_reader import Uplink
from .mux_streams import MuxStreams
from .port_runner import ListeningRunner

# smux has no flow control for one stream, so a local peer that takes nothing holds up all others
# once we can keep no more for it. After so many seconds of that it is cut off.
STUCK_LIMIT = 120.0

_STUCK_INTERVAL = 10.0

# Seconds. A gateway takes an idle tunnel for dead that sends nothing for longer. A ping is enough,
# and does not count as use of the session: the account's idle time-out still ends it.
_PING_WITHIN = 25.0


class MuxKeepAlive:
    """What an idle mux session sends, so that nobody takes it for dead: pings for gateways, and
    NOPs for those agents that want them. In the session's thread."""

    def __init__(self, session: Session, streams: MuxStreams) -> None:
        self._session = session
        self._streams = streams
        self._timer = session.new_timer(self._send)

    def begin(self) -> None:
        """The session is open."""
        self._session.channel.ping_within(_PING_WITHIN)
        self.go_on()

    def pause(self) -> None:
        """The connection is lost."""
        self._timer.cancel()

    def go_on(self) -> None:
        seconds = self._streams.next_timer()
        if seconds is not None:
            self._timer.set(seconds)

    def _send(self) -> None:
        self._streams.on_timer()
        self.go_on()


class MuxRunner(ListeningRunner):
    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        keep_alive = not newer_than(started.agent_version, KEEP_ALIVE_OFF_AFTER)
        self._streams = MuxStreams(self.session.channel, Role.CLIENT, keep_alive)
        self._keep_alive = MuxKeepAlive(self.session, self._streams)
        self._stuck = session.new_timer(self._look_for_stuck)
        self._received_at = 0.0

    def uplink(self) -> Uplink:
        return self._streams

    def start(self) -> None:
        super().start()
        self._keep_alive.begin()

    def announce(self, local_end: LocalEnd) -> None:
        super().announce(local_end)
        self.session.notices.show(notices.WAITING)

    def accepted(self, number: int) -> None:
        if number == 1:
            self.session.notices.show(notices.CONNECTION_ACCEPTED_MUX)

    def output(self, payload_type: int, data: bytes) -> None:
        kept = 0
        self._received_at = time.monotonic()
        if payload_type == payloads.OUTPUT:
            received = self._streams.receive(data)
            for connection, piece in received.data:
                kept += self.writer.put(connection, piece)
            for connection in received.ended:
                self.writer.end(connection)
        elif payload_type == payloads.FLAG:
            self.flagged(data)
        self.holdings.came(len(data), kept)
        if self.holdings.is_full and self._stuck.at is None:
            self._stuck.set(_STUCK_INTERVAL)

    def paused(self) -> None:
        self._keep_alive.pause()

    def resumed(self) -> None:
        self._keep_alive.go_on()

    def cut_stuck(self, now: float) -> None:
        """Cut off the worst peer that takes nothing, if nothing has come for so long, either. A
        single one may take its time: it holds up nobody."""
        if now - self._received_at < STUCK_LIMIT:
            return
        connections = self._streams.connections()
        stuck = [one for one in connections if one.held and now - one.moved_at >= STUCK_LIMIT]
        if len(connections) > 1 and stuck:
            self._cut(max(stuck, key=lambda one: one.held))

    def _look_for_stuck(self) -> None:
        if self.holdings.is_full:
            self.cut_stuck(time.monotonic())
            self._stuck.set(_STUCK_INTERVAL)

    def _cut(self, connection: Connection) -> None:
        held = connection.held
        connection.reset()
        self._streams.closed(connection)
        self.writer.drop(connection)
        self.session.notices.warn(
            "a local connection was cut off: it has not taken %d bytes for %d s, and held up all "
            "others" % (held, STUCK_LIMIT)
        )
