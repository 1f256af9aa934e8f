"""What fast tunnels promise, tried on bad networks and with what ends them."""

import os
import random
import signal
import socket
import subprocess
import threading
import time

from ssm_plugin.forwarding.reports import RECONNECTED
from tests.support.echo import EchoServer
from tests.support.fast_tunnels import fast_tunnel
from tests.support.schedules import NETWORK
from tests.support.service import local_service

TIME_LIMIT = 150.0  # seconds, for one schedule
COMMAND = "AWS-StartNonInteractiveCommand"
FORWARDING = "AWS-StartPortForwardingSession"

_RATES = ("lose", "double", "reorder", "corrupt", "no-acknowledge", "delay")
_CUTS = ("drop-after", "drop-every", "bye-after", "silent")


def choose_faults(seed):
    """For every session of one service: both of a fast tunnel's."""
    numbers = random.Random(seed)
    faults = [
        "%s%s=%d%%" % (numbers.choice(("", "up.", "down.")), name, numbers.randint(1, 4))
        for name in numbers.sample(_RATES, numbers.randint(1, 4))
    ]
    cut = numbers.choice(_CUTS + ("",) * 3)
    if cut == "silent":
        faults.append("silent=%d:2s" % numbers.randint(10, 300))
    elif cut:
        faults.append("%s=%d" % (cut, numbers.randint(100, 600)))
    return ",".join(faults + ["seed=%d" % seed])


class Exchange:
    """One connection: all of ``data`` goes in, and what comes out is kept, until the end."""

    def __init__(self, address, data):
        self.came, self.error = bytearray(), None
        self._data = data
        self._sock = socket.create_connection(address, TIME_LIMIT)
        self._threads = [
            threading.Thread(target=one, daemon=True) for one in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self):
        for thread in self._threads:
            thread.join(TIME_LIMIT)
            assert not thread.is_alive(), "it hangs after %d bytes" % len(self.came)
        self._sock.close()
        return self

    def _send(self):
        try:
            self._sock.sendall(self._data)
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other thread is told

    def _receive(self):
        try:
            while True:
                data = self._sock.recv(65536)
                if not data:
                    return
                self.came += data
        except OSError as error:
            self.error = error


def play_faults(seed):
    """Three connections at once, on a network that the seed makes; returns what happened."""
    numbers = random.Random(seed + 1)
    faults = choose_faults(seed)
    with EchoServer() as echo, local_service(faults=faults) as service:
        with fast_tunnel(service, "0:%d" % echo.port, network=NETWORK) as running:
            sent = [os.urandom(numbers.choice((1, 1000, 60000, 200000))) for _ in range(3)]
            exchanges = [(data, Exchange(running.address, data)) for data in sent]
            for data, one in exchanges:
                one.finish()
                assert one.error is None, "%s: %r" % (faults, one.error)
                assert bytes(one.came) == data, "%s: not what was sent" % faults
            started = len(service.sessions())
        assert started == 2, "%s: %d sessions" % (faults, started)
    return sum(len(data) for data in sent)


def play_kill(seed):
    """Something ends in the middle of a transfer: what came is a beginning of what was sent, the
    connection is reset, and the next one works."""
    numbers = random.Random(seed)
    data = os.urandom(3 << 20)
    with EchoServer() as echo, local_service() as service:
        with fast_tunnel(service, "0:%d" % echo.port) as running:
            one = Exchange(running.address, data)
            until, wanted = time.monotonic() + TIME_LIMIT, numbers.randrange(len(data) // 2)
            while len(one.came) < wanted and time.monotonic() < until:
                one._threads[1].join(0.001)
            what = numbers.choice(("relay", COMMAND, FORWARDING))
            _end(what, running, service)
            one.finish()
            whole = bytes(one.came) == data and one.error is None
            assert whole or one.error is not None, "%s: a plain end after %d bytes" % (
                what, len(one.came),
            )
            assert data.startswith(bytes(one.came)), "%s: not what was sent" % what
            running.wait_for(RECONNECTED)
            again = Exchange(running.address, b"again").finish()
            assert bytes(again.came) == b"again", "%s: the next connection fails" % what
        service.wait_for(lambda: not service.open_sessions())
    return what


def _end(what, running, service):
    if what == "relay":
        os.kill(_relay_of(running), signal.SIGKILL)
        return
    for session in service.open_sessions():
        if session.request.document_name == what:
            session.terminate("it was ended in the middle")


def _relay_of(running):
    token = running.shared._relay._token
    listed = subprocess.check_output(["ps", "-ww", "-o", "pid=,args=", "-A"])
    for line in listed.decode("utf-8", "replace").splitlines():
        if token in line and "ps -ww" not in line:
            return int(line.split()[0])
    raise AssertionError("there is no relay")


def play_all(play, seeds):
    """Each seed; what they returned, and lines about those that failed."""
    results, failed = [], []
    for seed in seeds:
        try:
            results.append(play(seed))
        except Exception as error:
            failed.append("seed %d: %r" % (seed, error))
    return results, failed
