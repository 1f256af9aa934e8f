"""A threaded HTTP/1.1 server on 127.0.0.1: requests within limits, keep-alive, upgrades.

A handler turns a :class:`Request` into a :class:`HttpResponse`, or into an :class:`Upgrade`, which
takes the raw connection over. Limits: 64 KiB of header, 4 MiB of body; no chunked request bodies.
"""

import queue
import re
import socket
import ssl
import threading
import time
from functools import partial
from http import HTTPStatus
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

from ..errors import LocalError
from ..named_tuple import NamedTuple
from ..shortage import explain
from ..terminal.wake import readable
from ..transport.worker import Worker, WorkerFailed
from .stream import Stream, open_stream

HEADER_LIMIT = 64 * 1024
BODY_LIMIT = 4 * 1024 * 1024
IDLE_TIMEOUT = 60.0  # seconds that a connection may wait for a request, or take to send one
DRAIN_TIMEOUT = 1.0  # seconds for a client to notice that its request was refused
ACCEPT_PAUSE = 0.1  # seconds before more is accepted, where descriptors or threads are short

Headers = Sequence[Tuple[str, str]]

_PHRASES: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([!-~]{1,16000}) HTTP/1\.([01])\Z")
_HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\Z")


class Request(NamedTuple):
    """``headers`` by lower-case name. ``target`` is as sent; ``path`` ends before the ``?``."""

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


class HttpResponse(NamedTuple):
    status: int
    body: bytes = b""
    headers: Headers = ()


class Upgrade(NamedTuple):
    """``serve`` gets the connection and the bytes already read; when it returns, all is over."""

    status: int
    headers: Headers
    serve: Callable[[Stream, bytes], None]


Handler = Callable[[Request], Union[HttpResponse, Upgrade]]


class _Refused(Exception):
    """A request that is answered with ``status`` and the end of the connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Connection:
    """One client: requests in, answers out, until either side closes."""

    def __init__(self, stream: Stream, handler: Handler) -> None:
        self.stream = stream
        self._handler = handler
        self._buffer = b""

    def serve(self) -> None:
        self.stream.handshake(IDLE_TIMEOUT)
        try:
            while self._serve_one():
                pass
        except _Refused as refused:
            self._answer(HttpResponse(refused.status), keep_alive=False)
            self._drain()

    def _serve_one(self) -> bool:
        deadline = time.monotonic() + IDLE_TIMEOUT
        head = self._read_head(deadline)
        if head is None:
            return False
        request = parse_head(head)
        length = _body_length(request.headers)
        request = request._replace(body=self._read_body(length, deadline))
        answer = self._handler(request)
        if isinstance(answer, Upgrade):
            self._send_head(answer.status, answer.headers)
            answer.serve(self.stream, self._buffer)
            return False
        self._answer(answer, request.keep_alive, request.method != "HEAD")
        return request.keep_alive

    def _read_head(self, deadline: float) -> Optional[bytes]:
        """Everything up to the empty line; None when the client has gone between requests."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEADER_LIMIT:
                raise _Refused(431)
            more = self.stream.recv(16384, deadline - time.monotonic())
            if not more:
                return None
            self._buffer += more
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        return head

    def _read_body(self, length: int, deadline: float) -> bytes:
        while len(self._buffer) < length:
            more = self.stream.recv(65536, deadline - time.monotonic())
            if not more:
                raise ConnectionResetError("the client left in the middle of a request")
            self._buffer += more
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _drain(self) -> None:
        # Closing with unread input would reset the connection, and the answer might be lost.
        self.stream.end_output()
        deadline = time.monotonic() + DRAIN_TIMEOUT
        while self.stream.recv(65536, deadline - time.monotonic()):
            pass

    def _answer(self, response: HttpResponse, keep_alive: bool, has_body: bool = True) -> None:
        headers = list(response.headers)
        headers.append(("Content-Length", str(len(response.body))))
        if not keep_alive:
            headers.append(("Connection", "close"))
        self._send_head(response.status, headers, response.body if has_body else b"")

    def _send_head(self, status: int, headers: Headers, body: bytes = b"") -> None:
        lines = ["HTTP/1.1 %d %s" % (status, _PHRASES.get(status, "Error"))]
        lines += ["%s: %s" % header for header in headers]
        self.stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


class HttpServer:
    """Listens from construction on; ``start`` begins to accept, ``close`` ends every connection.

    ``port`` 0 is any free one; :class:`LocalError` if the one asked for cannot be had. Unexpected
    failures of a connection's thread are put into ``failures``.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        failures: "queue.Queue[WorkerFailed]",
        tls: Optional[ssl.SSLContext] = None,
        port: int = 0,
    ) -> None:
        self._name = name
        self._handler = handler
        self._failures = failures
        self._tls = tls
        self._listener = _listen(port)
        self._woken, self._wake = socket.socketpair()
        self._lock = threading.Lock()
        self._open: Dict[_Connection, Worker] = {}
        self._accepted = 0
        self._acceptor = Worker(name + " accept", self._accept_all, failures.put)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        self._acceptor.start()

    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def close(self, seconds: float) -> None:
        """Stop accepting, cut what is open, and join every thread within ``seconds``."""
        deadline = time.monotonic() + seconds
        self._wake.send(b"\0")
        self._acceptor.join(seconds)
        self._listener.close()
        with self._lock:
            workers = list(self._open.values())
            for connection in self._open:
                connection.stream.wake_all()
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._woken.close()
        self._wake.close()

    def _accept_all(self) -> None:
        woken, listener = self._woken.fileno(), self._listener.fileno()
        while woken not in readable((woken, listener)):
            if not self._accept_one():
                # The listener stays readable: without a pause this would be a loop that only burns.
                if readable((woken,), ACCEPT_PAUSE):
                    return

    def _accept_one(self) -> bool:
        """False if there are no descriptors or threads left for now."""
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            return explain(error) is None  # else it left before it was accepted
        try:
            connection = _Connection(open_stream(accepted, self._tls), self._handler)
        except OSError:
            accepted.close()
            return True  # it has left
        self._accepted += 1
        name = "%s %d" % (self._name, self._accepted)
        worker = Worker(name, partial(self._run, connection), self._failures.put)
        with self._lock:
            self._open[connection] = worker
        try:
            worker.start()
        except LocalError:
            with self._lock:
                del self._open[connection]
            connection.stream.close()
            return False
        return True

    def _run(self, connection: _Connection) -> None:
        try:
            connection.serve()
        except OSError:
            pass  # reset, timed out, no TLS: the end of a connection, whatever the reason
        finally:
            connection.stream.close()
            with self._lock:
                del self._open[connection]


def parse_head(head: bytes) -> Request:
    """The request of a head without its empty line; anything malformed is refused with 400."""
    line, *rest = head.decode("latin-1").split("\r\n")
    matched = _REQUEST_LINE.match(line)
    if not matched:
        raise _Refused(400)
    method, target, minor = matched.groups()
    headers = _parse_headers(rest)
    path, _, query = target.partition("?")
    wish = headers.get("connection", "keep-alive" if minor == "1" else "close").lower()
    return Request(method, target, path, query, headers, b"", "close" not in wish)


def _parse_headers(lines: Sequence[str]) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    for line in lines:
        matched = _HEADER_LINE.match(line)
        if not matched:
            raise _Refused(400)
        name, value = matched.group(1).lower(), matched.group(2)
        headers[name] = headers[name] + ", " + value if name in headers else value
    return headers


def _body_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise _Refused(501)
    text = headers.get("content-length", "0")
    if not re.match(r"[0-9]{1,10}\Z", text):
        raise _Refused(400)
    if int(text) > BODY_LIMIT:
        raise _Refused(413)
    return int(text)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # The connections of a service that has just ended keep their port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise LocalError(
            "cannot listen on port %d of 127.0.0.1: %s" % (port, error.strerror)
        ) from error
    listener.setblocking(False)
    return listener
