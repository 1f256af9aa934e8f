"""Uploads through a gateway that passes on only so much, and asks for pauses.

    transfer = GatewayTransfer("mux-up", 5000000, "gateway=50Mbit", rtt=0.02)
    transfer.run(60)
    assert transfer.is_equal and transfer.share >= 0.8
"""

import os
import socket
import tempfile
import threading
import time

from ssm_plugin.loopback.fault_plan import parse_faults
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.session.types import SessionType

from .schedules import FORWARDING, INTERACTIVE
from .transfers import PIECE, Digest, Transfer, _session, send_all

KINDS = ("stdio-up", "mux-up", "shell-up")


class Arrivals(Digest):
    """A digest that knows when its first byte and its last one came."""

    def __init__(self):
        super().__init__()
        self.first_at = self.last_at = None

    def add(self, data):
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        super().add(data)


class GatewayTransfer(Transfer):
    """``rtt`` in seconds. ``slowest_key``: seconds that a key beside a mux upload took at most;
    ``queueing``: seconds that anything waited at most in the gateway. Both are known after
    ``run``, as are ``lost``, ``pauses`` and ``share``, the part of the gateway's rate."""

    def __init__(self, kind, size, gateway, rtt=0.0):
        faults = gateway + (",delay=100%%:%dms" % (1000 * rtt / 2) if rtt else "")
        super().__init__(kind, size, 0, 1, faults)
        self.rtt = rtt
        self.rate = parse_faults(gateway).gateway.rate
        self.received = Arrivals()
        self.lost = self.pauses = self.queueing = self.share = 0
        self.slowest_key = None

    def __str__(self):
        key = "" if self.slowest_key is None else ", slowest key %.2f s" % self.slowest_key
        text = "%-9s %8.0f B/s, RTT %3.0f ms: %3.0f %% of it, "
        text += "%d lost, %d pauses, queue %.2f s%s, %s"
        return text % (
            self.kind, self.rate, 1000 * self.rtt, 100 * self.share, self.lost, self.pauses,
            self.queueing, key, "equal" if self.is_equal else "NOT EQUAL",
        )

    def look_at(self, running):
        super().look_at(running)
        throttle = running.at_service.throttle
        self.lost, self.pauses = throttle.lost, throttle.pauses
        self.queueing = throttle.most / self.rate
        came = self.received
        if came.last_at and came.last_at > came.first_at:
            self.share = came.size / (came.last_at - came.first_at) / self.rate

    def _mux_up(self, exits, local):
        """The first connection carries the data, the second one keys, which are echoed."""
        port = exits.enter_context(serving_each(self._receive))
        listener = exits.enter_context(bind_tcp())
        parameters = {"portNumber": str(port), "localPortNumber": "0"}
        running = _session(exits, local, FORWARDING, parameters, listener=listener)
        for use in (lambda sock: send_all(sock, self._marked()), self._type_keys):
            threading.Thread(target=connect, args=(listener.port, use), daemon=True).start()
        return running

    def _marked(self):
        yield b"d"
        for piece in self.pieces():
            yield piece

    def _receive(self, sock):
        what = sock.recv(1)
        while True:
            data = sock.recv(PIECE)
            if not data:
                return
            if what == b"d":
                self.received.add(data)
            else:
                sock.sendall(data)

    def _type_keys(self, sock):
        sock.sendall(b"k")
        self.received.wait_for(1, 30)
        while self.received.size < self.size:
            began = time.monotonic()
            sock.sendall(b"x")
            if not sock.recv(1):
                return
            taken = time.monotonic() - began
            self.slowest_key = max(self.slowest_key or 0.0, taken)
            self.received.wait_for(self.received.size + self.rate // 20, 1)

    def _shell_up(self, exits, local):
        folder = exits.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "pipe")
        os.mkfifo(path)
        threading.Thread(target=self._read_pipe, args=(path,), daemon=True).start()
        ready = threading.Event()
        command = "stty raw -echo; echo ready; exec cat > %s" % path
        running = _session(
            exits, local, INTERACTIVE, {"command": command}, SessionType.INTERACTIVE_COMMANDS,
            on_output=lambda data: ready.set() if b"ready" in data else None,
        )

        def send():
            ready.wait(30)
            for piece in self.pieces():
                running.send(piece)

        threading.Thread(target=send, daemon=True).start()
        return running

    def _read_pipe(self, path):
        with open(path, "rb", 0) as pipe:
            data = pipe.read(PIECE)
            while data:
                self.received.add(data)
                data = pipe.read(PIECE)


def connect(port, use):
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            use(sock)
    except OSError:
        pass  # the session, or the test, is over


def serving_each(serve):
    """The port of a server, each connection of which gets a thread."""
    return _Server(serve)


class _Server:
    def __init__(self, serve):
        self._serve = serve
        self._listener = socket.socket()

    def __enter__(self):
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()
        return self._listener.getsockname()[1]

    def _accept(self):
        try:
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(sock,), daemon=True).start()
        except OSError:
            pass  # the test is over

    def _one(self, sock):
        try:
            with sock:
                self._serve(sock)
        except OSError:
            pass  # the session, or the test, is over

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
