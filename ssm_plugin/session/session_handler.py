"""From arguments to running sessions."""

import threading
from typing import Any, Dict, List, Mapping, Optional, cast
from urllib.parse import urlsplit

from .. import logs
from ..errors import SessionPropertyError
from ..wire.message import random_id
from .environment import Environment
from .protocols import ISession
from .registry import SessionPluginRegistry, get_session_registry
from .session import Session
from .types import ClientConfig, SessionConfig, SessionStatus, SessionType

log = logs.logger(__name__)

_ENDED = (SessionStatus.TERMINATED, SessionStatus.FAILED)
_REQUIRED = ("sessionId", "streamUrl", "tokenValue")


class SessionHandler:
    """Keeps the sessions that it started while they live. For any thread."""

    def __init__(
        self,
        registry: Optional[SessionPluginRegistry] = None,
        environment: Optional[Environment] = None,
    ) -> None:
        self._registry = registry or get_session_registry()
        self._environment = environment
        self._sessions: Dict[str, ISession] = {}
        self._lock = threading.Lock()

    def validate_input_and_start_session(self, cli_args: Mapping[str, Any]) -> Session:
        """Check, create and connect: a session that lives in a thread of its own.

        ``cli_args`` has ``sessionId``, ``streamUrl``, ``tokenValue`` and, optionally, ``target``,
        ``documentName``, ``parameters``, ``sessionType``, ``clientId``.

        :raises SessionPropertyError: (a ValueError) names what is missing or wrong, or an id that
            an active session has
        :raises RuntimeError: the session could not be connected
        """
        session = self.create_session(cli_args)
        self._keep(session)
        try:
            session.execute()
        except BaseException:  # a safety net: a session that did not start is not an active one
            self._forget(session)
            raise
        return session

    def create_session(self, cli_args: Mapping[str, Any]) -> Session:
        """The same without connecting: the session is the caller's, and not an active one."""
        config = _session_config(cli_args)
        session = self._registry.create_session(config, _client_config(cli_args))
        if self._environment is not None and isinstance(session, Session):
            session.use(self._environment)
        # A plugin of one's own may make sessions of its own: whoever registers one knows.
        return cast(Session, session)

    def terminate_session(self, session_id: str) -> None:
        """End one session, here and at the service; an unknown one is passed over."""
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            log.warning("session %s is not active here", session_id)
            return
        try:
            session.terminate_session()
        finally:
            self._forget(session)

    def terminate_all_sessions(self) -> None:
        """Raises what the first one raised that did not end, once all others have."""
        failures: List[Exception] = []
        with self._lock:
            session_ids = list(self._sessions)
        for session_id in session_ids:
            try:
                self.terminate_session(session_id)
            except Exception as error:  # a safety net: the others are to end as well
                failures.append(error)
        if failures:
            raise failures[0]

    def get_active_sessions(self) -> List[Dict[str, Any]]:
        """The properties of each session that was started here and has not ended."""
        with self._lock:
            sessions = list(self._sessions.values())
        return [
            session.get_session_properties()
            for session in sessions
            if session.status not in _ENDED
        ]

    def _keep(self, session: ISession) -> None:
        with self._lock:
            known = self._sessions.get(session.session_id)
            if known is not None and known.status not in _ENDED:
                raise SessionPropertyError("session %s is active already" % session.session_id)
            self._sessions = {
                name: one for name, one in self._sessions.items() if one.status not in _ENDED
            }
            self._sessions[session.session_id] = session

    def _forget(self, session: ISession) -> None:
        with self._lock:
            if self._sessions.get(session.session_id) is session:
                del self._sessions[session.session_id]


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
