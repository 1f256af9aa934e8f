"""Port sessions. The node says which kind: a stream on stdio, or local connections."""

from ..channel.events import Started
from ..errors import SessionPropertyError
from ..session.protocols import IRunner, IRunnerSession
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

    def create_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        if not listens(started):
            return StdioRunner(session, started)
        if not _may_listen(session):
            raise SessionPropertyError(
                "the node wants session %s to listen on a local port, which nobody has asked for; "
                "for a tunnel name a document for it, such as AWS-StartPortForwardingSession"
                % session.session_id
            )
        if is_multiplexed(started):
            return MuxRunner(session, started)
        return BasicRunner(session, started)


def listens(started: Started) -> bool:
    """Whether the session is for local connections; else it is a stream."""
    return started.properties.get("type") == LOCAL_FORWARDING


def is_multiplexed(started: Started) -> bool:
    """Whether one that listens takes many connections at once."""
    return newer_than(started.agent_version, MULTIPLEXED_PORTS_AFTER)


def _may_listen(session: IRunnerSession) -> bool:
    """Whether a port session that listens is what was asked for: the node has no say in this."""
    assert isinstance(session, Session), "built-in plugins are for sessions of our own"
    if session.environment.listener is not None or session.environment.may_listen:
        return True
    expected = session.client_config.session_type is SessionType.PORT
    return expected and session.config.document_name != SSH_DOCUMENT
