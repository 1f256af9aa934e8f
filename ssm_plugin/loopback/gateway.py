"""The message gateway: the table of sessions, and the WebSocket endpoint that opens them."""

import json
import queue
import re
import secrets
import threading
import time
from base64 import b64encode
from collections import OrderedDict
from typing import Any, List, Mapping, Optional, Sequence, Union
from urllib.parse import parse_qs

from ..errors import ConnectionLost
from ..transport.worker import WorkerFailed
from .fault_plan import FaultPlan
from .gateway_session import AgentFactory, GatewaySession, StartRequest
from .http import HttpResponse, Request, Upgrade
from .signatures import SignatureCheck
from .stream import Stream
from .websocket_server import POLICY_VIOLATION, ServerWebSocket, accept_upgrade

DATA_CHANNEL = "/v1/data-channel/"
OPEN_TIMEOUT = 10.0  # seconds that a client has to send its open message
HISTORY = 1000  # sessions that are remembered, so long as they are over

# How the StreamUrl of a resumed session differs from the first one.
SAME = "same"
CELL_NUMBER = "cell-number"
OTHER_PORT = "other-port"
EMPTY = "empty"
RESUMED_URLS = (SAME, CELL_NUMBER, OTHER_PORT, EMPTY)


class Gateway:
    """``bases`` are the URLs of its listeners (``ws://127.0.0.1:1234``), the usual one first.

    ``changed`` is notified when a session begins, gains or loses its client, or ends.
    """

    def __init__(
        self,
        bases: Sequence[str],
        agent_factory: AgentFactory,
        signatures: SignatureCheck,
        plan: FaultPlan,
        resumed_url: str,
        failures: "queue.Queue[WorkerFailed]",
    ) -> None:
        self.changed = threading.Condition()
        self._bases = bases
        self._agent_factory = agent_factory
        self._signatures = signatures
        self._plan = plan
        self._resumed_url = resumed_url
        self._failures = failures
        self._lock = threading.Lock()
        self._sessions: "OrderedDict[str, GatewaySession]" = OrderedDict()

    def start_session(self, request: StartRequest) -> GatewaySession:
        session = GatewaySession(
            "loopback-" + secrets.token_hex(9)[:17],
            request,
            self._plan,
            self._agent_factory,
            self._failures,
            self.changed,
        )
        with self._lock:
            self._sessions[session.session_id] = session
            self._forget_old()
        with self.changed:
            self.changed.notify_all()
        return session

    def find(self, session_id: str) -> Optional[GatewaySession]:
        with self._lock:
            return self._sessions.get(session_id)

    def sessions(self) -> List[GatewaySession]:
        """Those that go on and those that are over, the oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def stream_url(self, session: GatewaySession, base: int = 0) -> str:
        path = DATA_CHANNEL + session.session_id
        return self._bases[base] + path + "?role=publish_subscribe"

    def resumed_stream_url(self, session: GatewaySession) -> str:
        """What ResumeSession answers; it may be empty, which means the one before."""
        if self._resumed_url == EMPTY:
            return ""
        if self._resumed_url == OTHER_PORT:
            return self.stream_url(session, session.connections % len(self._bases))
        if self._resumed_url == CELL_NUMBER:
            return self.stream_url(session) + "&cell-number=" + _cell_number(session)
        return self.stream_url(session)

    def answer(self, request: Request) -> Union[HttpResponse, Upgrade]:
        """The answer to a request below ``DATA_CHANNEL``: an upgrade, if all is in order."""
        refused = self._signatures.check(request, "ssmmessages").error
        session = self.find(request.path[len(DATA_CHANNEL):])
        if refused is not None or (session is not None and session.refuses_upgrade()):
            return HttpResponse(403, b"forbidden\n")
        if session is None:
            return HttpResponse(404, b"no such session\n")
        if parse_qs(request.query).get("role") != ["publish_subscribe"]:
            return HttpResponse(400, b"the role must be publish_subscribe\n")
        return accept_upgrade(request, lambda stream, rest: _serve(session, stream, rest))

    def close(self, seconds: float) -> None:
        """End all sessions and join their threads within ``seconds``."""
        deadline = time.monotonic() + seconds
        for session in self.sessions():
            session.close(max(0.0, deadline - time.monotonic()))

    def _forget_old(self) -> None:
        over = [session for session in self._sessions.values() if session.is_over]
        for session in over[:max(0, len(over) - HISTORY)]:
            del self._sessions[session.session_id]


def _is_open_message(fields: Mapping[str, Any]) -> bool:
    """Whether this opens a session. As lenient as the real service: the version may be a number,
    and the client's id may be absent."""
    version = fields.get("MessageSchemaVersion")
    if version != "1.0" and (version != 1 or type(version) is not int):
        return False
    return isinstance(fields.get("RequestId"), str) and isinstance(fields.get("ClientId", ""), str)


def _cell_number(session: GatewaySession) -> str:
    """Base64 with its reserved characters as they are: so the real service writes it."""
    return b64encode(b"\xfb\xef\xff" + session.connections.to_bytes(4, "big")).decode("ascii")


def _serve(session: GatewaySession, stream: Stream, received: bytes) -> None:
    client = ServerWebSocket(stream, received)
    try:
        token = _token(client.receive_text(OPEN_TIMEOUT))
        if token is not None and session.accepts(token):
            session.serve(client)
            return
        client.close(POLICY_VIOLATION, "the open message or its token is not accepted")
        while True:
            client.receive()  # whatever it sends until it has seen that
    except ConnectionLost:
        pass  # a client that never came, or went when refused


def _token(text: str) -> Optional[str]:
    """The token of an open message; None when it is not one."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not _is_open_message(fields):
        return None
    token = fields.get("TokenValue")
    return token if isinstance(token, str) and re.match(r"[!-~]+\Z", token) else None
