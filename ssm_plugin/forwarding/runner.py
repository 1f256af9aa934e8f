"""One session of a tunnel: what ports do anyway, and reports of it."""

import os
import time
from typing import Callable, Optional, Union

from ..channel.events import Started
from ..errors import SessionPropertyError
from ..net.local_end import LocalEnd
from ..plugins.port import LOCAL_FORWARDING, is_multiplexed, listens
from ..plugins.port_basic import BasicRunner
from ..plugins.port_mux import MuxRunner
from ..plugins.port_runner import ListeningRunner
from ..relay.pace import HINT, PaceHint
from ..session.protocols import IRunner, IRunnerSession
from ..session.streams import CallableStreams
from ..transport.worker import WorkerFailed
from .doorkeeper import Doorkeeper
from .reports import CONNECTION, ERROR, LOST, RECONNECTED, Notice, Report

# A node that refuses many connections says so each time. We report it again only after so many
# seconds.
_REPEAT_AFTER = 5.0

Tell = Callable[[Union[Report, Notice, WorkerFailed]], object]


class TunnelSession:
    """What is known of one session of a tunnel while it runs, and afterwards.

    ``opening`` is the report of its readiness, ``destination`` what it leads to, in words,
    ``advice`` what may help if the node refuses to connect. The ``doorkeeper`` is the tunnel's.
    """

    def __init__(
        self,
        tell: Tell,
        opening: Report,
        destination: str,
        doorkeeper: Doorkeeper,
        advice: str = "",
    ) -> None:
        self.opening = opening
        self.ready_at: Optional[float] = None
        self.lost_at: Optional[float] = None  # while the connection is being resumed
        self.accepted = 0
        self.multiplexed = True
        self.retired = ""  # why, if it ended by itself
        self._tell = tell
        self._destination = destination
        self._doorkeeper = doorkeeper
        self._advice = advice or "the SSM Agent's log says more"
        self._refused_at = float("-inf")
        self._hint = PaceHint()
        self._runner: Optional[ListeningRunner] = None
        self.make_kind: "Optional[RunnerKind]" = None  # in place of those of plain tunnels
        # A terminal that takes no output must not hold up a tunnel: lines go into the reports.
        self.streams = CallableStreams(self._say, self._warn)

    @property
    def open_connections(self) -> int:
        return self._runner.open_connections if self._runner else 0

    def make_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        if not listens(started):
            raise SessionPropertyError(
                "the session document %s does not forward local ports: its type is not %s"
                % (session.config.document_name, LOCAL_FORWARDING)
            )
        self.multiplexed = is_multiplexed(started)
        kind: RunnerKind = TunnelMuxRunner if self.multiplexed else TunnelBasicRunner
        if self.make_kind is not None:
            if not self.multiplexed:
                raise SessionPropertyError("the agent is too old for many connections at once")
            kind = self.make_kind
        self._runner = kind(session, started, self)
        return self._runner

    # What its runner tells

    def opened(self) -> None:
        self.ready_at = time.monotonic()
        self._doorkeeper.open()
        self._tell(self.opening)

    def lost(self, loss: Optional[BaseException]) -> None:
        self.lost_at = time.monotonic()
        self._doorkeeper.shut()
        self._report(LOST, message=str(loss or "no reason is known"))

    def resumed(self) -> None:
        self.lost_at = None
        self._doorkeeper.open()
        self._report(RECONNECTED)

    def connection_accepted(self, number: int) -> None:
        self.accepted = number
        self._report(CONNECTION, number=number)

    def came(self, size: int) -> None:
        """``size`` bytes came down at the agent's pace."""
        if self._hint.came(size, time.monotonic()) and os.isatty(2):
            self._tell(Notice(HINT))

    def refused(self) -> None:
        """The node could not connect to the destination."""
        now = time.monotonic()
        if now - self._refused_at >= _REPEAT_AFTER:
            self._refused_at = now
            self.went_wrong(
                "the node could not connect to %s: check that something listens there, and that "
                "the node may reach it; %s" % (self._destination, self._advice)
            )

    def went_wrong(self, message: str) -> None:
        self._report(ERROR, message=message)

    def _report(self, kind: str, message: str = "", number: int = 0) -> None:
        opening = self.opening
        self._tell(Report(kind, opening.tunnel, opening.session_id, message, number=number))

    def _say(self, line: bytes) -> None:
        self._tell(Notice(os.fsdecode(line)))

    def _warn(self, line: bytes) -> None:
        self.went_wrong(os.fsdecode(line).strip())


class Reporting(ListeningRunner):
    def __init__(
        self, session: IRunnerSession, started: Started, tunnel_session: TunnelSession
    ) -> None:
        super().__init__(session, started)
        self._tunnel_session = tunnel_session

    def announce(self, local_end: LocalEnd) -> None:
        super().announce(local_end)
        self._tunnel_session.opened()

    def paused(self) -> None:
        super().paused()
        self.lost(self.session.loss)

    def resumed(self) -> None:
        super().resumed()
        self.back()

    def lost(self, loss: Optional[BaseException]) -> None:
        """New connections wait from now on."""
        self.reader.hold_back(True)
        self._tunnel_session.lost(loss)

    def back(self) -> None:
        """They are served again."""
        self._tunnel_session.resumed()
        self.reader.hold_back(False)

    def accepted(self, number: int) -> None:
        super().accepted(number)
        self._tunnel_session.connection_accepted(number)

    def refused(self) -> None:
        self._tunnel_session.refused()

    def missing(self, reason: str) -> str:
        missing = super().missing(reason)
        if missing:
            self._tunnel_session.went_wrong(missing)
        return missing


# What goes at the agent's pace says so to whoever downloads much.


class TunnelMuxRunner(Reporting, MuxRunner):
    def output(self, payload_type: int, data: bytes) -> None:
        super().output(payload_type, data)
        self._tunnel_session.came(len(data))


class TunnelBasicRunner(Reporting, BasicRunner):
    def output(self, payload_type: int, data: bytes) -> None:
        super().output(payload_type, data)
        self._tunnel_session.came(len(data))


RunnerKind = Callable[[IRunnerSession, Started, TunnelSession], ListeningRunner]
