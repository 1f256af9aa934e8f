"""Much data through a session whose connection is killed at random moments, by a seed.

    transfer = Transfer("mux-up", 10 * 1024 * 1024, kills=10, seed=1)
    transfer.run(60)
    assert transfer.is_equal and transfer.killed == 10
"""

import hashlib
import os
import random
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager

from ssm_plugin.config import NetworkSettings
from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.gateway_session import CONNECTED
from ssm_plugin.loopback.service import demo_service
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.session.types import SessionType

from .running import RunningSession, service_client
from .schedules import FORWARDING, INTERACTIVE, SSH

KINDS = ("stdio-up", "stdio-down", "mux-up", "mux-down", "shell-down", "shell-down-kms")
NETWORK = NetworkSettings(connect_timeout=5.0, ping_interval=2.0, reconnect_timeout=60.0)
PIECE = 65536
FOREVER = 3600.0


class Digest:
    """Of what came so far; ``wait_for`` so many bytes."""

    def __init__(self):
        self.size = 0
        self._hash = hashlib.sha256()
        self._changed = threading.Condition()

    def add(self, data):
        with self._changed:
            self._hash.update(data)
            self.size += len(data)
            self._changed.notify_all()

    def wait_for(self, size, limit):
        with self._changed:
            return self._changed.wait_for(lambda: self.size >= size, limit)

    @property
    def text(self):
        return self._hash.hexdigest()


class Transfer:
    def __init__(self, kind, size, kills, seed, faults=""):
        self.kind = kind
        self.size = size
        self.killed = 0
        self.seconds = 0.0
        self.connections = 0
        self.sent = Digest()
        self.received = Digest()
        self._kills = kills
        self._faults = faults
        self._numbers = random.Random("%s/%d" % (kind, seed))
        self._seed = seed

    def __str__(self):
        return (
            "%-14s %6.1f MiB in %6.1f s, %d kills, %d connections, seed %d, %s, SHA-256 %s %s"
            % (
                self.kind,
                self.received.size / 2**20,
                self.seconds,
                self.killed,
                self.connections,
                self._seed,
                "equal" if self.is_equal else "NOT EQUAL",
                self.sent.text[:16],
                self.received.text[:16],
            )
        )

    @property
    def is_equal(self):
        return (
            self.sent.size == self.received.size == self.size
            and self.sent.text == self.received.text
        )

    def run(self, limit=FOREVER):
        """Until all has arrived, or so many seconds have passed."""
        began = time.monotonic()
        with ExitStack() as exits:
            key_id = "key-1" if self.kind.endswith("kms") else ""
            options = AgentOptions(shell=("/bin/sh",))
            local = exits.enter_context(
                demo_service(faults=self._faults, options=options, kms_key_id=key_id)
            )
            running = getattr(self, "_" + self.kind.replace("-", "_"))(exits, local)
            killer = threading.Thread(target=self._kill, args=(local, running, began + limit))
            killer.start()
            self.received.wait_for(self.size, limit)
            self.seconds = time.monotonic() - began
            killer.join(limit)
            self.look_at(running)
            running.session.end(0)
            running.finish(30)

    def look_at(self, running):
        """At the end, before the session is ended."""
        self.connections = running.at_service.connections

    def pieces(self):
        """The data, always the same for one seed."""
        numbers = random.Random(self._seed)
        left = self.size
        while left:
            piece = numbers.getrandbits(8 * PIECE).to_bytes(PIECE, "big")[: min(left, PIECE)]
            self.sent.add(piece)
            left -= len(piece)
            yield piece

    def _kill(self, local, running, ends_at):
        """Three kills while the session is being agreed on; the rest at random points of the
        transfer, every third as soon as the connection after the one before is there. Each hits
        a connection of its own."""
        early = min(3, self._kills)
        points = [0] * early + sorted(
            self._numbers.randrange(self.size) for _ in range(self._kills - early)
        )
        at_service = running.at_service
        before = 0
        for number, point in enumerate(points):
            if number % 3 and not self.received.wait_for(point, ends_at - time.monotonic()):
                return
            local.wait_for(lambda before=before: at_service.connections > before, 60)
            local.wait_for(lambda: at_service.state == CONNECTED, 60)
            before = at_service.connections
            at_service.drop_connection()
            self.killed += 1

    # The kinds; each returns the running session, with data on its way.

    def _stdio_up(self, exits, local):
        port = exits.enter_context(served(lambda sock: read_all(sock, self.received)))
        pieces = self.pieces()
        running = _session(exits, local, SSH, {"portNumber": str(port)})
        threading.Thread(target=lambda: [running.send(piece) for piece in pieces]).start()
        return running

    def _stdio_down(self, exits, local):
        port = exits.enter_context(served(lambda sock: send_all(sock, self.pieces())))
        parameters = {"portNumber": str(port)}
        return _session(exits, local, SSH, parameters, on_output=self.received.add)

    def _mux_up(self, exits, local):
        port = exits.enter_context(served(lambda sock: read_all(sock, self.received)))
        return self._forwarding(exits, local, port, lambda sock: send_all(sock, self.pieces()))

    def _mux_down(self, exits, local):
        port = exits.enter_context(served(lambda sock: send_all(sock, self.pieces())))
        return self._forwarding(exits, local, port, lambda sock: read_all(sock, self.received))

    def _forwarding(self, exits, local, port, use):
        listener = exits.enter_context(bind_tcp())
        parameters = {"portNumber": str(port), "localPortNumber": "0"}
        running = _session(exits, local, FORWARDING, parameters, listener=listener)

        def run():
            try:
                with socket.create_connection(("127.0.0.1", listener.port)) as sock:
                    use(sock)
            except OSError:
                pass  # the session, or the test, is over

        threading.Thread(target=run, daemon=True).start()
        return running

    def _shell_down(self, exits, local):
        """What a program on a terminal prints, after a line that says that it is a raw one."""
        folder = exits.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "data")
        with open(path, "wb") as file:
            for piece in self.pieces():
                file.write(piece)
        parameters = {"command": "stty raw -echo; echo ready; cat %s; exec sleep 3600" % path}
        return _session(
            exits,
            local,
            INTERACTIVE,
            parameters,
            SessionType.INTERACTIVE_COMMANDS,
            on_output=AfterLine(self.received).add,
        )

    _shell_down_kms = _shell_down


def _session(exits, local, document, parameters, session_type=SessionType.PORT, **options):
    client = service_client(local, NETWORK, kms_endpoint_url=local.endpoint_url)
    return exits.enter_context(
        RunningSession(
            local, document, parameters, session_type, network=NETWORK, service=client, **options
        )
    )


@contextmanager
def served(serve):
    """The port of a server whose one connection ``serve`` gets, in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def run():
            try:
                sock, _ = listener.accept()
                with sock:
                    serve(sock)
            except OSError:
                pass  # the session, or the test, is over

        threading.Thread(target=run, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def send_all(sock, pieces):
    """And leave the connection open: its end would be the end of the session."""
    for piece in pieces:
        sock.sendall(piece)
    sock.recv(1)


def read_all(sock, digest):
    data = sock.recv(PIECE)
    while data:
        digest.add(data)
        data = sock.recv(PIECE)


class AfterLine:
    """Passes on what comes after the first line."""

    def __init__(self, digest):
        self._digest = digest
        self._line = b""

    def add(self, data):
        if self._line.endswith(b"\n"):
            self._digest.add(data)
            return
        end = data.find(b"\n") + 1 or len(data)
        self._line += data[:end]
        if data[end:]:
            self._digest.add(data[end:])
