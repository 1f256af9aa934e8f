"""The interfaces between a session, its data channel and its plugins."""

import abc
from typing import List, Optional

from ..wire.message import Buffer
from .types import ClientConfig, SessionConfig, SessionStatus, SessionType


class IDataChannel(abc.ABC):
    """The way to the agent: ordered, complete, each byte once."""

    @abc.abstractmethod
    def open(self) -> bool:
        """Connect; blocks until it is done. An error says why it could not."""

    @abc.abstractmethod
    def send_input_data(self, data: Buffer) -> None:
        """Send bytes to the agent; blocks while there is no room for them."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all that belongs to the channel. More calls do nothing."""

    @property
    @abc.abstractmethod
    def is_open(self) -> bool:
        """Whether a connection is there now."""


class ISession(abc.ABC):
    @abc.abstractmethod
    def execute(self) -> None:
        """Connect. The session then waits to be run."""

    @abc.abstractmethod
    def open_data_channel(self) -> bool:
        """Connect the data channel, if it is not yet."""

    @abc.abstractmethod
    def terminate_session(self) -> None:
        """End the session, here and at the service. May be called from any thread, repeatedly."""

    @property
    @abc.abstractmethod
    def session_id(self) -> str:
        ...

    @property
    @abc.abstractmethod
    def status(self) -> SessionStatus:
        ...


class ISessionPlugin(abc.ABC):
    """What is special to one or more session types."""

    @abc.abstractmethod
    def get_supported_session_types(self) -> List[SessionType]:
        ...

    @abc.abstractmethod
    def create_session(
        self, config: SessionConfig, client_config: Optional[ClientConfig] = None
    ) -> ISession:
        ...

    @abc.abstractmethod
    def validate_session_properties(self, config: SessionConfig) -> bool:
        """Whether the session could work; SessionPropertyError says why not."""
