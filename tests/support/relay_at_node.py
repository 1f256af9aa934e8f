"""A relay as it runs at a node, with pipes in place of its command session::

    with RelayAtNode(python) as relay, EchoServer() as target:
        stream = relay.open(target.port)
        stream.send(b"hello")

All time limits are seconds; passing one is an AssertionError.
"""

import os
import shutil
import socket
import subprocess
import threading
from collections import defaultdict

from ssm_plugin.relay import launch, messages, node_perl, node_python

from .interpreters import interpreters

TIME_LIMIT = 20.0
TOKEN = "0123456789abcdef"

_PYTHON = launch.compact(node_python.SOURCE)


def relay_runners():
    """Name -> the argv that runs a relay's source: Python 2.7, the oldest 3 and the newest of this
    machine, and perl."""
    pythons = interpreters()
    newer = [version for version in pythons if version > (3,)]
    found = {
        "python%d.%d" % version: [pythons[version], "-ESs", "-c", _PYTHON]
        for version in {(2, 7), min(newer), max(newer)}
        if version in pythons
    }
    perl = shutil.which("perl")
    if perl:
        found["perl"] = [perl, "-e", launch.compact(node_perl.SOURCE)]
    return found


class RelayAtNode:
    """``reading`` False: its output is left in the pipe until :meth:`read`."""

    def __init__(self, argv, lease=60, spare=4, reading=True, port=0):
        self.decoder = messages.DownDecoder(TOKEN)
        self.secrets = {}
        self.said = defaultdict(list)  # of each stream: (kind, data)
        self.errors = b""
        self._argv = argv + launch.arguments(TOKEN, lease, spare, port)
        self._reading = reading
        self._changed = threading.Condition()
        self._sockets = []

    def __enter__(self):
        self.process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        if self._reading:
            self.read()
            self.wait_for(lambda: self.decoder.port)
        return self

    def __exit__(self, *exception):
        for sock in self._sockets:
            sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIME_LIMIT)
        if self._thread.ident:
            self._thread.join(TIME_LIMIT)
        self.errors += self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert self.errors == b""

    def read(self):
        self._thread.start()

    def read_greeting(self):
        """And no more, where it is not read."""
        while not self.secrets:
            self._take(os.read(self.process.stdout.fileno(), 100))

    def wait_for(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, TIME_LIMIT), dict(self.said)

    def catch_up(self):
        """Until it has taken a window of what a stream has sent before: each of its rounds takes
        64 KiB of that, and it needs two or more to answer a stream."""
        for _ in range(messages.WINDOW // 65536):
            stream = self.open(0)
            stream.expect(messages.OPENED)
            stream.sock.close()

    def wait_for_end(self):
        """Until it has let go of its standard output."""
        self._thread.join(TIME_LIMIT)
        assert not self._thread.is_alive()

    def connect(self):
        """A bare connection to its port, as the agent makes them."""
        sock = socket.create_connection(("127.0.0.1", self.decoder.port), TIME_LIMIT)
        self._sockets.append(sock)
        return sock

    def open(self, port, host=""):
        """A stream with a secret of the relay's."""
        self.wait_for(lambda: self.secrets)
        number = min(self.secrets)
        sock = self.connect()
        sock.sendall(messages.hello(number, self.secrets.pop(number), port, host))
        return StreamAtNode(self, number, sock)

    def _read_all(self):
        for data in iter(lambda: os.read(self.process.stdout.fileno(), 65536), b""):
            self._take(data)

    def _take(self, data):
        with self._changed:
            for message in self.decoder.feed(data):
                if message.kind == messages.SECRET:
                    self.secrets[message.stream] = message.data
                else:
                    self.said[message.stream].append((message.kind, message.data))
            self._changed.notify_all()


class StreamAtNode:
    def __init__(self, relay, number, sock):
        self.number = number
        self.sock = sock
        self.sent = 0
        self._relay = relay

    def send(self, data):
        self.sock.sendall(messages.data_frames(data, 1016))
        self.sent += len(data)

    def fill(self):
        """Send zeroes until the relay has more than its target takes; how much was ever sent."""
        while self.room() + messages.WINDOW > self.sent:
            self.send(bytes(self.room() + messages.WINDOW - self.sent))
            self._relay.catch_up()
        return self.sent

    def end(self):
        self.sock.sendall(messages.frame(messages.FIN))

    def allow(self, size):
        self.sock.sendall(messages.credit(size))

    def reset(self):
        self.sock.sendall(messages.frame(messages.RESET))

    def ask_for_more(self):
        self.sock.sendall(messages.frame(messages.MORE))

    def expect(self, kind):
        """Wait for a message of that kind; its data."""
        self._relay.wait_for(lambda: self._of(kind))
        return self._of(kind)[0]

    def has(self, kind):
        return bool(self._of(kind))

    @property
    def output(self):
        return b"".join(self._of(messages.OUTPUT))

    def expect_output(self, size):
        self._relay.wait_for(lambda: len(self.output) >= size)
        return self.output

    def room(self):
        return sum(int(data) for data in self._of(messages.ROOM))

    def kinds(self):
        """Of all that was told of it, in order."""
        return [kind for kind, _ in self._relay.said[self.number]]

    def _of(self, kind):
        return [data for one, data in self._relay.said[self.number] if one == kind]
