"""Port sessions. The node says which kind: a stream on stdio, or local connections."""

from ..channel.events import Started
from ..session.runner import Runner
from ..session.session import Session
from ..session.types import SessionType
from ..version import MULTIPLEXED_PORTS_AFTER, newer_than
from .base import BuiltInPlugin
from .port_basic import BasicRunner
from .port_mux import MuxRunner
from .port_stdio import StdioRunner

LOCAL_FORWARDING = "LocalPortForwarding"


class PortPlugin(BuiltInPlugin):
    session_types = [SessionType.PORT]

    def create_runner(self, session: Session, started: Started) -> Runner:
        if started.properties.get("type") != LOCAL_FORWARDING:
            return StdioRunner(session, started)
        if newer_than(started.agent_version, MULTIPLEXED_PORTS_AFTER):
            return MuxRunner(session, started)
        return BasicRunner(session, started)
