"""What all built-in plugins share: they make sessions, and runners once the agent has decided."""

from typing import List, Optional, Type

from ..channel.events import Started
from ..errors import SessionPropertyError
from ..session.protocols import ISessionPlugin
from ..session.runner import Runner
from ..session.session import Session
from ..session.types import ClientConfig, SessionConfig, SessionType
from ..wire.message import random_id


class BuiltInPlugin(ISessionPlugin):
    session_types: List[SessionType] = []
    runner: Type[Runner] = Runner

    def get_supported_session_types(self) -> List[SessionType]:
        return list(self.session_types)

    def create_session(
        self, config: SessionConfig, client_config: Optional[ClientConfig] = None
    ) -> Session:
        """``client_config`` is made up if not given: the first supported type, a fresh id."""
        expected = client_config or ClientConfig(random_id(), self.session_types[0])
        return Session(config, expected)

    def validate_session_properties(self, config: SessionConfig) -> bool:
        for name in ("session_id", "stream_url", "token_value"):
            if not getattr(config, name):
                raise SessionPropertyError("%s is empty" % name)
        return True

    def create_runner(self, session: Session, started: Started) -> Runner:
        """The running part, of the type that the agent chose."""
        return self.runner(session, started)
