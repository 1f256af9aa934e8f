"""What all built-in plugins share: they make sessions, and runners once the agent has decided."""

from typing import List, Type

from ..channel.events import Started
from ..errors import SessionPropertyError
from ..session.protocols import IRunner, IRunnerSession, ISessionPlugin
from ..session.session import Session
from ..session.types import ClientConfig, SessionConfig, SessionType


class BuiltInRunner(IRunner):
    """Has the session, and what the node said of it when it started."""

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        assert isinstance(session, Session), "built-in runners are for sessions of our own"
        self.session = session
        self.started = started

    def missing(self, reason: str) -> str:
        """Output is numbered without holes, so a hole at the end is a loss."""
        if self.session.channel.is_incomplete:
            return "the output is incomplete: the session ended before all of it had arrived"
        return ""


class BuiltInPlugin(ISessionPlugin):
    """Serves its session types with one class of runner.

    Attributes:
        session_types: what the plugin serves
        runner: what its sessions do, whichever of these types they are of
    """

    session_types: List[SessionType] = []
    runner: Type[BuiltInRunner]

    def get_supported_session_types(self) -> List[str]:
        return [kind.value for kind in self.session_types]

    def create_session(self, config: SessionConfig, client_config: ClientConfig) -> Session:
        return Session(config, client_config)

    def validate_session_properties(self, config: SessionConfig) -> bool:
        for name in ("session_id", "stream_url", "token_value"):
            if not getattr(config, name):
                raise SessionPropertyError("%s is empty" % name)
        return True

    def create_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        return self.runner(session, started)
