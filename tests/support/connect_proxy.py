"""An HTTP proxy on 127.0.0.1 that tunnels with CONNECT, to try the way through one.

It may ask for a password, refuse, and send names that exist nowhere to an address of its own.
"""

import base64
import hmac
import queue
import socket
import ssl
import threading
from functools import partial
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple, Union

from ssm_plugin.loopback.http import HttpResponse, HttpServer, Request, Upgrade
from ssm_plugin.loopback.stream import Stream, open_stream
from ssm_plugin.transport.worker import Worker

_DIAL_TIMEOUT = 10.0
_JOIN_TIMEOUT = 5.0
_PIECE = 65536


class Attempt(NamedTuple):
    """One CONNECT: ``target`` as asked for, and the status of the answer."""

    target: str
    status: int


class ConnectProxy:
    """``password`` as ``name:secret``; ``elsewhere``: the address to dial in place of a target.

    ``tls`` is a server's context for a proxy that is itself reached by TLS.
    """

    def __init__(
        self,
        password: Optional[str] = None,
        elsewhere: Optional[Mapping[str, Tuple[str, int]]] = None,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        self.failures: "queue.Queue[Any]" = queue.Queue()
        self._password = password
        self._elsewhere = dict(elsewhere or {})
        self._refusal: Optional[int] = None
        self._lock = threading.Lock()
        self._attempts: List[Attempt] = []
        self._server = HttpServer("proxy", self._answer, self.failures, tls)

    def __enter__(self) -> "ConnectProxy":
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close(_JOIN_TIMEOUT)

    @property
    def port(self) -> int:
        return self._server.port

    def refuse(self, status: int) -> None:
        """Answer every CONNECT with that status from now on."""
        self._refusal = status

    def attempts(self) -> List[Attempt]:
        """Every CONNECT so far, the oldest first."""
        with self._lock:
            return list(self._attempts)

    def open_connections(self) -> int:
        return self._server.open_connections()

    def _answer(self, request: Request) -> Union[HttpResponse, Upgrade]:
        answer = self._connect(request)
        with self._lock:
            self._attempts.append(Attempt(request.target, answer.status))
        return answer

    def _connect(self, request: Request) -> Union[HttpResponse, Upgrade]:
        host, colon, port = request.target.rpartition(":")
        if request.method != "CONNECT":
            return HttpResponse(405)
        if not self._admits(request.headers.get("proxy-authorization", "")):
            return HttpResponse(407, b"", (("Proxy-Authenticate", 'Basic realm="loopback"'),))
        if self._refusal is not None:
            return HttpResponse(self._refusal)
        if not colon or not port.isdigit():
            return HttpResponse(400)
        address = self._elsewhere.get(request.target, (host.strip("[]"), int(port)))
        try:
            target = socket.create_connection(address, timeout=_DIAL_TIMEOUT)
        except (OSError, OverflowError):
            return HttpResponse(502)
        return Upgrade(200, (), partial(self._tunnel, open_stream(target, None)))

    def _admits(self, authorization: str) -> bool:
        if self._password is None:
            return True
        expected = "Basic " + base64.b64encode(self._password.encode()).decode("ascii")
        return hmac.compare_digest(authorization.encode(), expected.encode())

    def _tunnel(self, target: Stream, client: Stream, received: bytes) -> None:
        back = Worker("proxy tunnel", partial(_copy, target, client, b""), self.failures.put)
        back.start()
        try:
            _copy(client, target, received)
        finally:
            target.wake_all()
            back.join(_JOIN_TIMEOUT)
            target.close()


def _copy(source: Stream, sink: Stream, data: bytes) -> None:
    """Until ``source`` ends, or ``sink`` does not take any more."""
    try:
        if data:
            sink.sendall(data)
        while True:
            data = source.recv(_PIECE)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        pass  # one of the two was reset; the other hears of it now
    sink.end_output()
