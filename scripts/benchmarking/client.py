"""One client under measurement: how it is started, fed, drained, and what it used."""

import fcntl
import json
import os
import pty
import select
import selectors
import socket
import subprocess
import sys
import termios
import threading
import time
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 20.0  # seconds that anything may take which is not a transfer
ENDING = 3.0  # seconds that a client may take to leave
ENDPOINT = "http://127.0.0.1:1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "an-example-of-a-secret-key-of-no-use",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Usage(NamedTuple):
    """CPU in seconds, memory at its peak in bytes."""

    cpu: float
    memory: int


class Load:
    """The load generator's process. Times are those of ``time.monotonic``, here and there."""

    def __init__(self, tls=(), **options):
        """``tls``: the files of a certificate and its key, or nothing for a plain connection."""
        words = [sys.executable, "-m", "scripts.benchmarking.load_generator"]
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)] if value else []
        words += ["--tls"] + list(tls) if tls else []
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.opened_at = None
        self._told = b""
        self.host = "%s:%d" % ("wss://localhost" if tls else "ws://127.0.0.1", self.wait("port"))

    def wait(self, name, limit=LIMIT):
        """The value of that name, once it was told; None if the limit (s) passes before."""
        deadline = time.monotonic() + limit
        while True:
            line = self._next_line(deadline)
            if not line:
                return None
            fields = json.loads(line.decode())
            self.opened_at = fields.get("opened_at", self.opened_at)
            if name in fields:
                return fields[name]

    def _next_line(self, deadline):
        """Without a buffer of Python's, which select() would not see. Empty at the deadline."""
        while b"\n" not in self._told:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                return b""
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise RuntimeError("the load generator ended early")
            self._told += piece
        line, _, self._told = self._told.partition(b"\n")
        return line

    def begin(self):
        """Let the load begin; returns when it did."""
        self._write("begin\n")
        return self.wait("began_at")

    def end(self):
        """Close the session; returns the figures."""
        self._write("end\n")
        told = self._told + self._process.stdout.readall()
        figures = json.loads(told.splitlines()[-1].decode())
        self._process.wait(LIMIT)
        return figures

    def _write(self, word):
        self._process.stdin.write(word.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


class Client:
    """The client as the AWS CLI starts it. ``terminal`` gives it a pty, else it has pipes. With
    ``local_port`` it was asked for a tunnel, which a node cannot make of anything else."""

    def __init__(self, command, environ, load, terminal=False, local_port=0):
        response = {
            "SessionId": "benchmark-0123456789abcdef0",
            "TokenValue": "token",
            "StreamUrl": load.host + "/v1/data-channel/benchmark",
        }
        request = {"Target": "i-0123456789abcdef0"}
        if local_port:
            request["DocumentName"] = "AWS-StartPortForwardingSession"
            request["Parameters"] = {"portNumber": ["22"], "localPortNumber": [str(local_port)]}
        words = [json.dumps(response), "us-east-1", "StartSession", ""]
        words += [json.dumps(request), ENDPOINT]
        self.started_at = time.monotonic()
        if terminal:
            self._start_on_terminal(command + words, environ)
        else:
            self._process = subprocess.Popen(
                command + words,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            self.stdin, self.stdout = self._process.stdin.fileno(), self._process.stdout.fileno()

    def _start_on_terminal(self, command, environ):
        self.stdin, terminal = pty.openpty()
        self.stdout = self.stdin
        self._process = subprocess.Popen(
            command,
            env=environ,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)

    def read_until(self, text):
        """Everything up to the piece that contains ``text``."""
        selector = selectors.DefaultSelector()
        selector.register(self.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + LIMIT
        seen = b""
        while text not in seen:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise RuntimeError("the client did not write %r, only %r" % (text, seen[-200:]))
            piece = os.read(self.stdout, 65536)
            if not piece:
                raise RuntimeError("the client ended before it wrote %r" % text)
            seen += piece
        return seen

    def cpu_now(self):
        """Seconds of CPU used so far by the living threads, or None where that is not told."""
        return cpu_of(self._process.pid)

    def memory_peak(self):
        """In bytes, while it lives. What wait4() tells would begin with our own size."""
        return memory_of(self._process.pid)

    def wait(self, memory=0):
        """Wait for its end, kill it if that does not come; returns what it used."""
        killer = threading.Timer(ENDING, self._process.kill)
        killer.start()
        _, _, usage = os.wait4(self._process.pid, 0)
        killer.cancel()
        self._process.returncode = 0
        return Usage(usage.ru_utime + usage.ru_stime, memory or usage.ru_maxrss * 1024)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        for file in (self._process.stdin, self._process.stdout):
            if file:
                file.close()
        if not self._process.stdin:
            os.close(self.stdin)


class LocalEnds:
    """The local side of a transfer, in a thread: writes what is to go up, counts what comes down.

    ``ends`` are pairs of descriptors, one to write to and one to read from, or None.
    """

    def __init__(self, ends, up=0, down=0):
        self.came = 0
        self.came_at = None
        self._ends = ends
        self._up = up // len(ends)
        self._down = down
        self._finished = threading.Event()
        self._stopped = False
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, limit):
        """Until everything has come down, at most so many seconds."""
        self._finished.wait(limit)

    def stop(self):
        self._stopped = True
        self._wake.close()
        self._thread.join()
        self._woken.close()

    def _run(self):
        left = {}
        zeros = memoryview(bytes(1 << 20))
        buffer = bytearray(1 << 20)
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for up, down in self._ends:
                if self._up and up is not None:
                    left[up] = self._up
                    os.set_blocking(up, False)
                if down is not None:
                    os.set_blocking(down, False)
                for end in {up, down} - {None}:
                    wanted = selectors.EVENT_READ * (end == down)
                    wanted |= selectors.EVENT_WRITE * (end in left)
                    if wanted:
                        selector.register(end, wanted)
            while not self._stopped:
                for key, events in selector.select():
                    if events & selectors.EVENT_WRITE:
                        self._write(selector, key, zeros, left)
                    elif key.fileobj is not self._woken:
                        self._read(selector, key.fd, buffer)

    def _write(self, selector, key, zeros, left):
        try:
            left[key.fd] -= os.write(key.fd, zeros[: left[key.fd]])
        except BrokenPipeError:  # the time for the transfer was over
            left[key.fd] = 0
        if left[key.fd]:
            return
        rest = key.events & ~selectors.EVENT_WRITE
        selector.modify(key.fd, rest) if rest else selector.unregister(key.fd)

    def _read(self, selector, fd, buffer):
        try:
            size = os.readv(fd, [buffer])
        except OSError:
            size = 0
        if not size:
            selector.unregister(fd)
        self.came += size
        self.came_at = time.monotonic()
        if self.came >= self._down:
            self._finished.set()


def cpu_of(pid):
    """Seconds of CPU used so far by the living threads, or None where that is not told."""
    folder = "/proc/%d/task" % pid
    try:
        tasks = os.listdir(folder)
        return sum(int(_first_word("%s/%s/schedstat" % (folder, task))) for task in tasks) / 1e9
    except (OSError, ValueError):
        return None


def memory_of(pid):
    """The peak in bytes, 0 where that is not told."""
    try:
        with open("/proc/%d/status" % pid) as status:
            return 1024 * sum(int(line.split()[1]) for line in status if "VmHWM" in line)
    except OSError:
        return 0


def _first_word(path):
    with open(path) as file:
        return file.read().split()[0]
