"""The running part of a tunnel's session: what ports do anyway, and reports of it."""

import queue
import time
from typing import Any, Optional, Type

from ..channel.events import Started
from ..errors import MessageError, SessionPropertyError
from ..net.local_end import LocalEnd
from ..plugins.base import BuiltInPlugin
from ..plugins.port import LOCAL_FORWARDING
from ..plugins.port_basic import BasicRunner
from ..plugins.port_mux import MuxRunner
from ..plugins.port_runner import ListeningRunner
from ..session import notices
from ..session.notices import Notices
from ..session.registry import SessionPluginRegistry
from ..session.runner import Runner
from ..session.session import Session
from ..session.types import SessionType
from ..version import MULTIPLEXED_PORTS_AFTER, newer_than
from ..wire import payloads
from .doorkeeper import Doorkeeper
from .reports import CONNECTION, ERROR, LOST, RECONNECTED, Notice, Report

# A tunnel says in words of its own how a session ended, and what becomes of the local port.
_LEFT_OUT = (
    notices.END,
    notices.END_REASON,
    notices.TIMED_OUT,
    notices.TERMINATE_SIGNAL,
    notices.CONNECT_FAILED,
)

# A node that has many connections to refuse says so each time. We repeat it after so many seconds.
_REPEAT_AFTER = 5.0


class Record:
    """One session of a tunnel: what is known while it runs, and afterwards. ``opening`` is the
    report of its readiness, ``advice`` what may help if the node refuses to connect. The
    ``doorkeeper`` is the tunnel's."""

    def __init__(
        self,
        reports: "queue.Queue[Any]",
        opening: Report,
        destination: str,
        doorkeeper: Doorkeeper,
        advice: str = "",
    ) -> None:
        self.reports = reports
        self.opening = opening
        self.destination = destination
        self.doorkeeper = doorkeeper
        self.advice = advice
        self.ready_at: Optional[float] = None
        self.lost_at: Optional[float] = None  # while the connection is being resumed
        self.accepted = 0
        self.multiplexed = True
        self.reason = ""
        self.runner: "Optional[_Reporting]" = None

    def report(self, kind: str, **fields: Any) -> None:
        opening = self.opening
        self.reports.put(Report(kind, opening.tunnel, opening.session_id, **fields))

    @property
    def open_connections(self) -> int:
        return self.runner.open_connections if self.runner else 0


class _Reporting(ListeningRunner):
    record: Record
    _refused_at = float("-inf")

    def announce(self, local_end: LocalEnd) -> None:
        super().announce(local_end)
        self.record.ready_at = time.monotonic()
        self.record.runner = self
        self.record.doorkeeper.open()
        self.record.reports.put(self.record.opening)

    def paused(self) -> None:
        super().paused()
        self.record.lost_at = time.monotonic()
        self.record.doorkeeper.shut()
        self._hold_back(True)
        self.record.report(LOST, message=str(self.session.loss or "no reason is known"))

    def resumed(self) -> None:
        super().resumed()
        self.record.lost_at = None
        self.record.doorkeeper.open()
        self._hold_back(False)
        self.record.report(RECONNECTED)

    def accepted(self, number: int) -> None:
        super().accepted(number)
        self.record.accepted = number
        self.record.report(CONNECTION, number=number)

    def flagged(self, data: bytes) -> None:
        now = time.monotonic()
        if _is_refusal(data) and now - self._refused_at >= _REPEAT_AFTER:
            self._refused_at = now
            advice = self.record.advice or "the SSM Agent's log says more"
            self.record.report(
                ERROR,
                message="the node could not connect to %s: check that something listens there, and "
                "that the node may reach it; %s" % (self.record.destination, advice),
            )

    @property
    def open_connections(self) -> int:
        return self._reader.count if self._reader else 0

    def _hold_back(self, wanted: bool) -> None:
        assert self._reader is not None, "only a session that has opened is paused"
        self._reader.hold_back(wanted)


class TunnelMuxRunner(_Reporting, MuxRunner):
    pass


class TunnelBasicRunner(_Reporting, BasicRunner):
    pass


class TunnelPlugin(BuiltInPlugin):
    """For one session."""

    session_types = [SessionType.PORT]

    def __init__(self, record: Record) -> None:
        self._record = record

    def create_runner(self, session: Session, started: Started) -> Runner:
        if started.properties.get("type") != LOCAL_FORWARDING:
            raise SessionPropertyError(
                "the session document %s does not forward local ports: its type is not %s"
                % (session.config.document_name, LOCAL_FORWARDING)
            )
        multiplexed = newer_than(started.agent_version, MULTIPLEXED_PORTS_AFTER)
        self._record.multiplexed = multiplexed
        kind: Type[_Reporting] = TunnelMuxRunner if multiplexed else TunnelBasicRunner
        runner = kind(session, started)
        runner.record = self._record
        return runner


def registry_for(record: Record) -> SessionPluginRegistry:
    """Serves ports, and nothing else: another type of session is refused in the handshake."""
    registry = SessionPluginRegistry()
    registry.register_plugin(TunnelPlugin(record))
    return registry


class TunnelNotices(Notices):
    """The lines go into the reports: a terminal that takes no output must not hold up a tunnel."""

    def __init__(self, session: Session, record: Record) -> None:
        super().__init__(session.streams, session.session_id, True, session.environment.silent)
        self._record = record

    def show(self, text: str, **fields: Any) -> None:
        if text == notices.END_REASON:
            self._record.reason = str(fields["reason"])
        if text not in _LEFT_OUT:
            super().show(text, **fields)

    def warn(self, text: str) -> None:
        self._record.report(ERROR, message=text)

    def _write(self, text: str, aside: bool) -> None:
        if not self._silent:
            self._record.reports.put(Notice(text))


def _is_refusal(data: bytes) -> bool:
    try:
        return payloads.parse_flag(data) == payloads.CONNECT_TO_PORT_ERROR
    except MessageError:
        return False


