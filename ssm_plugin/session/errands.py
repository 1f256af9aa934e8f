"""What a session has done aside, since it blocks on the network. Each brings one event back."""

import queue
from typing import Callable, Optional

from ..channel.events import KeyRequested
from ..errors import (
    ConfigurationError,
    NoCredentialsError,
    ServiceError,
    SsmPluginError,
    UsageError,
)
from ..transport.worker import Worker
from .connector import Connector
from .encryption import generate_data_key
from .environment import Environment
from .events import (
    FoundAlive,
    FoundOver,
    KeyFailed,
    KeyReady,
    Opened,
    OpenFailed,
    Reconnected,
    ReconnectFailed,
    SessionEvent,
)
from .types import SessionConfig

# What the service says of a session that is over, or not ours to resume. Throttling, faults and an
# expired token (which the next attempt finds anew) may heal.
_FINAL_CODES = (
    "AccessDenied",
    "AccessDeniedException",
    "DoesNotExistException",
    "InvalidSessionId",
    "TargetNotConnected",
    "UnrecognizedClientException",
    "ValidationException",
)


class Errands:
    """Of one session, whose events go into ``events``."""

    def __init__(
        self,
        config: SessionConfig,
        environment: Environment,
        connector: Connector,
        events: "queue.Queue[SessionEvent]",
    ) -> None:
        self._config = config
        self._environment = environment
        self._connector = connector
        self._events = events

    def open(self, open_channel: Callable[[], None]) -> None:
        """Open the data channel: ``Opened``, or ``OpenFailed``."""

        def errand() -> SessionEvent:
            try:
                open_channel()
                return Opened()
            except Exception as error:  # a safety net: a foreign channel may raise anything
                return OpenFailed(error)

        self._send("dial", errand)

    def resume(self) -> None:
        """Make another connection: ``Reconnected``, ``ReconnectFailed``, or ``FoundOver``."""

        def errand() -> SessionEvent:
            try:
                connection = self._connector.resume()
            except SsmPluginError as error:
                return ReconnectFailed(error, may_heal(error))
            return FoundOver() if connection is None else Reconnected(connection)

        self._send("resume", errand)

    def get_key(self, request: KeyRequested) -> None:
        """Have KMS make a data key: ``KeyReady``, or ``KeyFailed``."""

        def errand() -> SessionEvent:
            try:
                return KeyReady(generate_data_key(request, self._config, self._environment))
            except SsmPluginError as error:
                return KeyFailed(error)

        self._send("key", errand)

    def ask_whether_over(self) -> None:
        """Ask the service: ``FoundOver``, or ``FoundAlive``."""
        service = self._environment.service

        def errand() -> SessionEvent:
            try:
                over = service is not None and service.is_over(self._config.session_id)
                return FoundOver() if over else FoundAlive(None)
            except SsmPluginError as error:
                return FoundAlive(error)

        self._send("over", errand)

    def _send(self, name: str, errand: Callable[[], SessionEvent]) -> None:
        Worker(name, lambda: self._events.put(errand()), self._events.put).start()


def may_heal(error: Optional[BaseException]) -> bool:
    """Whether another attempt may succeed. A source of credentials that fails for the moment, or
    whose login has expired, may work again; where there is none, none will come."""
    if isinstance(error, ServiceError):
        return error.code.split(":")[0] not in _FINAL_CODES
    return not isinstance(error, (NoCredentialsError, UsageError, ConfigurationError))
