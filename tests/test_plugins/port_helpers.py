"""Port sessions against the local service: a running session, targets to connect to."""

import contextlib
import hashlib
import os
import queue
import socket
import threading
import uuid

from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.registry import SessionPluginRegistry
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
from tests.support.collected import Collected

TARGET = "i-0123456789abcdef0"
FORWARDING = "AWS-StartPortForwardingSession"
REMOTE_FORWARDING = "AWS-StartPortForwardingSessionToRemoteHost"
SSH = "AWS-StartSSHSession"
TIME_LIMIT = 40.0
REGISTRY = {SessionType.PORT: "ssm_plugin.plugins.port:PortPlugin"}


class RunningSession:
    """A port session in a thread: ``status`` or ``error`` at its end, ``notices``, ``stderr``."""

    def __init__(self, service, document=FORWARDING, stdin=None, handlers=(), **parameters):
        environment = {
            name: parameters.pop(name)
            for name in ("listener", "network", "service_client", "aside")
            if name in parameters
        }
        environment["service"] = environment.pop("service_client", None)
        self.notices = Collected()
        self.stderr = Collected()
        self.status = None
        self.error = None
        self.gateway_session = service.gateway.start_session(
            StartRequest(TARGET, document, {n: [v] for n, v in parameters.items()}, "test")
        )
        self.id = self.gateway_session.session_id
        streams = CallableStreams(self.notices.add, self.stderr.add, stdin)
        config = SessionConfig(
            self.id,
            service.gateway.stream_url(self.gateway_session),
            self.gateway_session.token,
            TARGET,
            document,
            {name: [value] for name, value in parameters.items()},
        )
        self.session = Session(
            config,
            ClientConfig(str(uuid.uuid4()), SessionType.PORT, *handlers),
            SessionPluginRegistry(REGISTRY),
            Environment(streams=streams, **environment),
        )
        self.session.execute()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.session.terminate_session()
        self.join()

    @property
    def runner(self):
        return self.session._life.runner

    def wait_open(self):
        """Wait until its local end is announced."""
        self.notices.wait_for(b"opened for sessionId")

    @property
    def port(self):
        """The local port, once it is announced."""
        self.wait_open()
        line = self.notices.data.split(b"Port ")[1]
        return int(line.split()[0])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), TIME_LIMIT)

    def join(self):
        self._thread.join(TIME_LIMIT)
        assert not self._thread.is_alive()

    def _run(self):
        outcome = self.session.wait()
        self.error = outcome.error
        self.status = None if outcome.error else outcome.status


class TargetServer:
    """``serve(connection)`` in a thread for each connection; it is closed afterwards."""

    def __init__(self, serve, host="127.0.0.1"):
        self._serve = serve
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen(1000)
        self.port = self._listener.getsockname()[1]
        self.failures = queue.Queue()
        self.connections = []
        self._threads = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIME_LIMIT)
        self._listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIME_LIMIT)
            assert not thread.is_alive()
        for connection in self.connections:
            connection.close()
        assert self.failures.empty() or exception[0], self.failures.get()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection):
        try:
            self._serve(connection)
        except OSError:
            pass  # the other end was faster
        except Exception as error:
            self.failures.put(error)
        finally:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def echo(connection):
    for data in iter(lambda: connection.recv(65536), b""):
        connection.sendall(data)


def read_all(connection):
    pieces = list(iter(lambda: connection.recv(65536), b""))
    return b"".join(pieces)


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(min(65536, size - len(data)))
        assert piece, "the end came after %d of %d bytes" % (len(data), size)
        data += piece
    return bytes(data)


def random_bytes(size):
    return os.urandom(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()
