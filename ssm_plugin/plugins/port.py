"""Port sessions. The node says which kind: a stream on stdio, or local connections."""

from ..channel.events import Started
from ..errors import SessionPropertyError
from ..session.runner import Runner
from ..session.session import Session
from ..session.types import SessionType
from ..version import MULTIPLEXED_PORTS_AFTER, newer_than
from .base import BuiltInPlugin
from .port_basic import BasicRunner
from .port_mux import MuxRunner
from .port_stdio import StdioRunner

LOCAL_FORWARDING = "LocalPortForwarding"
SSH_DOCUMENT = "AWS-StartSSHSession"


class PortPlugin(BuiltInPlugin):
    session_types = [SessionType.PORT]

    def create_runner(self, session: Session, started: Started) -> Runner:
        if started.properties.get("type") != LOCAL_FORWARDING:
            return StdioRunner(session, started)
        if not _may_listen(session):
            raise SessionPropertyError(
                "the node wants session %s to listen on a local port, which nobody has asked for; "
                "for a tunnel name a document for it, such as AWS-StartPortForwardingSession"
                % session.session_id
            )
        if newer_than(started.agent_version, MULTIPLEXED_PORTS_AFTER):
            return MuxRunner(session, started)
        return BasicRunner(session, started)


def _may_listen(session: Session) -> bool:
    """Whether a port session that listens is what was asked for: the node has no say in this."""
    environment = session.environment
    if environment.listener is not None or environment.may_listen:
        return True
    expected = session.client_config.session_type is SessionType.PORT
    return expected and session.config.document_name != SSH_DOCUMENT
