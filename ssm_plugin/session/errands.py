"""Calls of a session that wait for the network, each in a thread of its own. Each of these errands
puts one event into the session's queue."""

import queue
from typing import Callable

from ..aws.client import DataKey
from ..channel.cipher import unavailable_reason
from ..channel.events import KeyRequested
from ..errors import EncryptionError, SsmPluginError
from ..transport.worker import Worker
from .environment import Environment
from .events import FoundAlive, FoundOver, KeyFailed, KeyReady, Opened, OpenFailed, SessionEvent
from .types import SessionConfig

_NO_TARGET = (
    "the session is encrypted with KMS, which needs AWS credentials and the session's target, and "
    "this AWS CLI passed neither: update the AWS CLI, or use ssm-plugin shell"
)


class Errands:
    """The errands of one session, whose queue is ``events``."""

    def __init__(
        self,
        config: SessionConfig,
        environment: Environment,
        events: "queue.Queue[SessionEvent]",
    ) -> None:
        self._config = config
        self._environment = environment
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


def generate_data_key(
    request: KeyRequested, config: SessionConfig, environment: Environment
) -> DataKey:
    """Blocks; raises what KMS said, or why there is nothing to ask."""
    reason = unavailable_reason()
    if reason is not None:
        raise EncryptionError(reason)
    if environment.service is None or not config.target:
        raise EncryptionError(_NO_TARGET)
    context = {"aws:ssm:SessionId": config.session_id, "aws:ssm:TargetId": config.target}
    if request.challenge:
        context["aws:ssm:RandomChallenge"] = request.challenge
    return environment.service.generate_data_key(request.key_id, context)
