"""Small threaded servers on 127.0.0.1: HTTP(S) with scripted answers, and a CONNECT proxy."""

import base64
import json
import queue
import socket
import threading
from typing import NamedTuple

from ssm_plugin.net.tls_socket import TlsSocket


class Request(NamedTuple):
    """Header names in lower case; ``path`` with its query."""

    method: str
    path: str
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body.decode("utf-8"))


def reply(status, body=b"", headers=None, reason="Any"):
    """The bytes of an answer; a dict or a list as ``body`` becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
    fields = {"Content-Length": len(data)}
    fields.update(headers or {})
    lines = ["HTTP/1.1 {} {}".format(status, reason)]
    lines += ["{}: {}".format(name, value) for name, value in fields.items()]
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + data


class _Server:
    """Accepts on a thread, serves each connection on another, closes all of them at the end."""

    def __init__(self, context=None):
        self._context = context
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open = []
        self._threads = []
        self._closing = False

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        with self._lock:
            self._closing = True
            for sock in [self._listener] + self._open:
                _shut_down(sock)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
            thread.start()

    def _keep(self, sock):
        with self._lock:
            self._open.append(sock)
            if self._closing:
                _shut_down(sock)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._connection, sock)

    def _connection(self, sock):
        sock.settimeout(10)
        self._keep(sock)
        try:
            if self._context is not None:
                sock = TlsSocket(sock, self._context, None)
                sock.do_handshake(lambda: 10)
            self._serve(sock)
        except OSError:  # the client has gone, or we are closing
            pass
        finally:
            _shut_down(sock)
            sock.close()

    def _serve(self, sock):
        raise NotImplementedError


class HttpServer(_Server):
    """``answer(request)`` gives the bytes to answer with; none closes the connection.

    Requests are kept in ``requests``. One request a connection.
    """

    def __init__(self, answer, context=None):
        super().__init__(context)
        self._answer = answer
        self.requests = []
        self.host = "localhost" if context else "127.0.0.1"

    @property
    def url(self):
        return "{}://{}:{}".format("https" if self._context else "http", self.host, self.port)

    def _serve(self, sock):
        line, headers = _read_head(sock)
        if not line:  # connected, and nothing more
            return
        method, path, _ = line.split(" ")
        body = b""
        while len(body) < int(headers.get("content-length", 0)):
            body += _received(sock, 65536)
        request = Request(method, path, headers, body)
        self.requests.append(request)
        sock.sendall(self._answer(request))


class EchoServer(_Server):
    """Sends back what it gets. ``first`` is sent, unasked, when a connection is made."""

    def __init__(self, context=None, first=b""):
        super().__init__(context)
        self._first = first

    def _serve(self, sock):
        sock.sendall(self._first)
        while True:
            data = sock.recv(65536)
            if not data:
                return
            sock.sendall(data)


class SilentServer(_Server):
    """Accepts, and after ``head`` says nothing until the client closes."""

    def __init__(self, head=b""):
        super().__init__()
        self._head = head

    def _serve(self, sock):
        sock.sendall(self._head)
        while sock.recv(65536):
            pass


class ConnectProxy(_Server):
    """An HTTP proxy that knows CONNECT only. Its requests' heads rise in the queue ``heads``.

    ``login``: (user, password) that it wants. ``refusal``: bytes to answer with in place of 200.
    ``redirect``: the port of 127.0.0.1 to go to whatever is asked for.
    """

    def __init__(self, login=None, context=None, refusal=None, redirect=None):
        super().__init__(context)
        self._login = login
        self._refusal = refusal
        self._redirect = redirect
        self.heads = queue.Queue()

    def _serve(self, sock):
        line, headers = _read_head(sock)
        if not line:
            return
        self.heads.put((line, headers))
        if self._refusal is not None:
            sock.sendall(self._refusal)
        elif self._login and headers.get("proxy-authorization") != _basic(*self._login):
            sock.sendall(reply(407, headers={"Proxy-Authenticate": 'Basic realm="x"'}))
        else:
            self._relay(sock, line.split()[1])

    def _relay(self, sock, target):
        host, _, port = target.rpartition(":")
        address = (host.strip("[]"), int(port))
        if self._redirect is not None:
            address = ("127.0.0.1", self._redirect)
        with socket.create_connection(address, timeout=10) as upstream:
            self._keep(upstream)
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._start(_copy, upstream, sock)
            _copy(sock, upstream)


def _copy(source, sink):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        pass
    _shut_down(source)
    _shut_down(sink)


def _read_head(sock):
    """The first line and the headers, or an empty line if nothing was sent."""
    head = sock.recv(1)
    while head and not head.endswith(b"\r\n\r\n"):
        head += _received(sock, 1)
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = [field.partition(":") for field in fields]
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _received(sock, size):
    data = sock.recv(size)
    if not data:
        raise ConnectionError("the client stopped within its request")
    return data


def _basic(user, password):
    return "Basic " + base64.b64encode("{}:{}".format(user, password).encode()).decode()


def _shut_down(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
