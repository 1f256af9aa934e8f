"""The whole local service on ports of 127.0.0.1: APIs, key service, S3, gateway, agents.

``aws ssm start-session --endpoint-url`` with its ``endpoint_url`` works against it::

    with LocalService(agent_factory) as service:
        run_client(service.endpoint_url)
"""

import base64
import queue
import secrets
import ssl
import time
from types import TracebackType
from typing import Any, Callable, Container, Dict, List, Mapping, Optional, Type, Union

from ..aws.keys import Credentials
from ..errors import DeadlineError, UsageError
from ..transport.worker import WorkerFailed
from .agent import agent_factory
from .agent_documents import DOCUMENTS
from .agent_handshake import Encryption
from .agent_work import AgentOptions
from .api import SsmApi
from .buckets import LocalBuckets
from .call_faults import CallFaults
from .ec2_api import Ec2Api
from .ecs_api import PREFIX as ECS
from .ecs_api import EcsApi
from .fault_plan import parse_faults
from .gateway import CELL_NUMBER, DATA_CHANNEL, OTHER_PORT, RESUMED_URLS, Gateway
from .gateway_session import AgentFactory, GatewaySession
from .http import HttpResponse, HttpServer, Request, Upgrade
from .instance_connect import InstanceConnectApi
from .json_api import JsonApi
from .kms import KmsApi
from .nodes import LocalNodes
from .query_api import StsApi, action_of
from .run_command import RunCommand
from .s3_api import S3Api
from .signatures import SignatureCheck

CLOSE_TIMEOUT = 10.0

_NAMES = ("127.0.0.1", "localhost")


class LocalService:
    """A context manager; ``close`` may be called instead, and more than once.

    ``agent_factory(session, link)`` starts the agent of a session. ``faults`` is the text that
    :mod:`fault_plan` describes. ``tls`` is a server's context, for https and wss. ``secret_keys``
    by access key make it verify signatures. ``resumed_url`` is one of ``gateway.RESUMED_URLS``.
    With ``own_host_only`` a request with another Host than the service's address, or with any
    Origin, is refused: it comes from a browser. ``port`` 0 is any. ``nodes`` are those that can be
    looked up; given, there are no others (unless ``targets`` says so). ``documents`` are those that
    a session can be started with; None: what the agent makes of a name is up to it.
    """

    def __init__(
        self,
        agent_factory: AgentFactory,
        faults: str = "",
        tls: Optional[ssl.SSLContext] = None,
        secret_keys: Optional[Mapping[str, str]] = None,
        require_signatures: bool = False,
        targets: Optional[Container[str]] = None,
        resumed_url: str = CELL_NUMBER,
        own_host_only: bool = False,
        port: int = 0,
        nodes: Optional[LocalNodes] = None,
        documents: Optional[Container[str]] = None,
    ) -> None:
        if resumed_url not in RESUMED_URLS:
            raise UsageError("resumed_url is one of %s" % ", ".join(RESUMED_URLS))
        plan = parse_faults(faults)
        self.failures: "queue.Queue[WorkerFailed]" = queue.Queue()
        self._servers = [HttpServer("loopback", self._handle, self.failures, tls, port)]
        if resumed_url == OTHER_PORT:
            self._servers.append(HttpServer("loopback 2", self._handle, self.failures, tls))
        self._secure = "s" if tls else ""
        self._own_host_only = own_host_only
        self._hosts = frozenset(
            "%s:%d" % (name, one.port) for one in self._servers for name in _NAMES
        )
        bases = ["ws%s://127.0.0.1:%d" % (self._secure, one.port) for one in self._servers]
        self.signatures = SignatureCheck(secret_keys or {}, require_signatures)
        self.gateway = Gateway(
            bases, agent_factory, self.signatures, plan, resumed_url, self.failures
        )
        fault = CallFaults(plan).fault
        if targets is None:
            targets = nodes
        self.instance_connect = InstanceConnectApi(self.signatures, nodes, fault)
        self.buckets = LocalBuckets()
        any_name = nodes is None and targets is None
        self.nodes = nodes = nodes or LocalNodes([])
        self.run_command = RunCommand(
            nodes, any_name, self.buckets, self.endpoint_url, self.failures.put, plan
        )
        self.s3 = S3Api(self.buckets, self.signatures, fault)
        self.ssm = SsmApi(
            self.gateway, self.signatures, targets, nodes, self.run_command, fault, documents
        )
        self.ec2 = Ec2Api(nodes, self.signatures, fault)
        self.ecs = EcsApi(self.gateway, self.signatures, fault)
        self.kms = KmsApi(self.signatures, fault)
        self.sts = StsApi(self.signatures, fault)
        self._others: Dict[str, JsonApi] = {
            "AWSEC2InstanceConnectService": self.instance_connect,
            ECS: self.ecs,
            "TrentService": self.kms,
            "GetCallerIdentity": self.sts,
        }
        self._closed = False

    def __enter__(self) -> "LocalService":
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
        if error is None:
            self.raise_failure()

    @property
    def endpoint_url(self) -> str:
        return "http%s://127.0.0.1:%d" % (self._secure, self._servers[0].port)

    def start(self) -> None:
        for server in self._servers:
            server.start()

    def close(self) -> None:
        """End all sessions and connections, and join all threads."""
        if not self._closed:
            self._closed = True
            self.run_command.close(CLOSE_TIMEOUT)
            self.gateway.close(CLOSE_TIMEOUT)
            for server in self._servers:
                server.close(CLOSE_TIMEOUT)
            self.gateway.close(CLOSE_TIMEOUT)  # for sessions that began in the meantime
            self.buckets.close()

    def raise_failure(self) -> None:
        """Raise the first unexpected failure of one of the service's threads, if there was any."""
        try:
            failed = self.failures.get_nowait()
        except queue.Empty:
            return
        raise failed.error

    def answer_with(
        self, operation: str, code: str, message: str = "", status: int = 400, times: int = 1
    ) -> None:
        """Let the next ``times`` calls of an SSM operation fail with that error code."""
        self.ssm.answer_with(operation, code, message, status, times)

    def sessions(self) -> List[GatewaySession]:
        """All sessions, the oldest first."""
        return self.gateway.sessions()

    def open_sessions(self) -> List[GatewaySession]:
        """Those that are not over."""
        return [session for session in self.sessions() if not session.is_over]

    def session(self, session_id: str = "") -> GatewaySession:
        """The one of that id, or the latest one."""
        if session_id:
            found = self.gateway.find(session_id)
        else:
            found = self.sessions()[-1] if self.sessions() else None
        if found is None:
            raise UsageError("the local service has no session %s" % (session_id or "yet"))
        return found

    def wait_for(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until ``condition()`` about the sessions holds; :class:`DeadlineError` if not."""
        deadline = time.monotonic() + seconds
        with self.gateway.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DeadlineError("what was waited for at the local service did not come")
                self.gateway.changed.wait(left)

    def _handle(self, request: Request) -> Union[HttpResponse, Upgrade]:
        if self._own_host_only and self._is_foreign(request):
            return HttpResponse(403, b"forbidden\n")
        if request.path.startswith(DATA_CHANNEL):
            return self.gateway.answer(request)
        if request.path != "/":
            return self.s3.handle(request)
        action = action_of(request)
        name = action or request.headers.get("x-amz-target", "").partition(".")[0]
        return self._others.get(name, self.ec2 if action else self.ssm).handle(request)

    def _is_foreign(self, request: Request) -> bool:
        """Whether a web page may be behind it, or a name that was made to mean this machine."""
        host = request.headers.get("host", "").lower()
        return host not in self._hosts or "origin" in request.headers


def demo_service(
    faults: str = "",
    options: Optional[AgentOptions] = None,
    kms_key_id: str = "",
    require_challenge: bool = False,
    **service: Any
) -> LocalService:
    """A service that is not started yet. With ``kms_key_id`` every session is encrypted, except of
    ports. ``service`` are further arguments of :class:`LocalService`."""
    chosen = options or AgentOptions()
    if kms_key_id:
        encryption = Encryption(
            kms_key_id,
            lambda ciphertext, context: local.kms.decrypt(ciphertext, context),
            require_challenge=require_challenge,
        )
        chosen = chosen._replace(encryption=encryption)
    service.setdefault("documents", frozenset(DOCUMENTS).union(chosen.documents))
    local = LocalService(agent_factory(chosen), faults, **service)
    if kms_key_id:
        local.ssm.diagnosis.preferences = {"kmsKeyId": kms_key_id}
    return local


def private_service(keys: Credentials, **options: Any) -> LocalService:
    """A service for the owner of ``keys`` alone: not for others on this machine, nor for a browser.
    ``options`` are those of :func:`demo_service`."""
    return demo_service(
        secret_keys={keys.access_key: keys.secret_key},
        require_signatures=True,
        own_host_only=True,
        **options
    )


def new_keys() -> Credentials:
    """Random keys of the form that AWS gives them."""
    access_key = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode("ascii")
    return Credentials(access_key, base64.b64encode(secrets.token_bytes(30)).decode("ascii"))
