"""From arguments to running sessions."""

from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import urlsplit

from ..errors import SessionPropertyError, SsmPluginError
from ..wire.message import random_id
from .environment import Environment
from .protocols import ISession
from .registry import SessionPluginRegistry, get_session_registry
from .types import ClientConfig, SessionConfig, SessionStatus, SessionType

_ENDED = (SessionStatus.TERMINATED, SessionStatus.FAILED)
_REQUIRED = ("sessionId", "streamUrl", "tokenValue")


class SessionHandler:
    """Keeps the sessions that it started until they are terminated."""

    def __init__(
        self,
        registry: Optional[SessionPluginRegistry] = None,
        environment: Optional[Environment] = None,
    ) -> None:
        self._registry = registry or get_session_registry()
        self._environment = environment
        self._sessions: Dict[str, ISession] = {}

    def validate_input_and_start_session(self, cli_args: Mapping[str, Any]) -> ISession:
        """Check, create and connect: a session that waits to be run.

        ``cli_args`` has ``sessionId``, ``streamUrl``, ``tokenValue`` and, optionally, ``target``,
        ``documentName``, ``parameters``, ``sessionType``, ``clientId``. What is missing or wrong is
        a :class:`SessionPropertyError` that names it.
        """
        session = self.create_session(cli_args)
        try:
            session.execute()
        except BaseException:  # a safety net: a session that did not start is not an active one
            self._sessions.pop(session.session_id, None)
            raise
        return session

    def create_session(self, cli_args: Mapping[str, Any]) -> ISession:
        """The same without connecting."""
        config = _session_config(cli_args)
        session = self._registry.create_session(config, _client_config(cli_args))
        use = getattr(session, "use", None)
        if self._environment and use:
            use(self._environment)
        self._sessions[config.session_id] = session
        return session

    def terminate_session(self, session_id: str) -> bool:
        """End one session; False if it is not known here."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        session.terminate_session()
        return True

    def terminate_all_sessions(self) -> None:
        """Raises what the first one raised that did not end, once all others have."""
        failures: List[SsmPluginError] = []
        for session_id in list(self._sessions):
            try:
                self.terminate_session(session_id)
            except SsmPluginError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def get_active_sessions(self) -> Dict[str, ISession]:
        """By session id; a copy, without those that have ended by themselves."""
        return {
            session_id: session
            for session_id, session in self._sessions.items()
            if session.status not in _ENDED
        }


def _session_config(cli_args: Mapping[str, Any]) -> SessionConfig:
    for name in _REQUIRED:
        _check_text(cli_args, name)
    check_stream_scheme(cli_args["streamUrl"])
    parameters = cli_args.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise SessionPropertyError("parameters must be a mapping")
    return SessionConfig(
        cli_args["sessionId"],
        cli_args["streamUrl"],
        cli_args["tokenValue"],
        cli_args.get("target"),
        cli_args.get("documentName"),
        dict(parameters or {}),
    )


def _client_config(cli_args: Mapping[str, Any]) -> ClientConfig:
    client_id = cli_args.get("clientId")
    if client_id is None:
        client_id = random_id()
    elif not isinstance(client_id, str) or not client_id.strip():
        raise SessionPropertyError("clientId is empty")
    return ClientConfig(client_id, _session_type(cli_args.get("sessionType")))


def _session_type(value: Any) -> SessionType:
    if value is None:
        return SessionType.STANDARD_STREAM
    try:
        return SessionType(value)
    except ValueError:
        known = ", ".join(kind.value for kind in SessionType)
        raise SessionPropertyError(
            "sessionType %r is unknown; known are %s" % (value, known)
        ) from None


def _check_text(cli_args: Mapping[str, Any], name: str) -> None:
    value = cli_args.get(name)
    if value is None:
        raise SessionPropertyError("%s is missing" % name)
    if not isinstance(value, str):
        raise SessionPropertyError("%s must be text" % name)
    if not value.strip():
        raise SessionPropertyError("%s is empty" % name)


def check_stream_scheme(url: str) -> None:
    """Whether this is a WebSocket URL at all. To whom it leads is checked before dialling."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise SessionPropertyError("streamUrl is not a WebSocket URL (ws:// or wss://)")
