"""What is measured: each function runs one client once and returns figures by name."""

import contextlib
import os
import select
import socket
import subprocess
import time
from typing import List, Mapping, NamedTuple, Tuple

from .client import LIMIT, Client, Load, LocalEnds
from .crowds import idle_tunnels, many_targets
from .downloads import at_agents_pace
from .service import running_service

MIB = 1 << 20

OURS = "ours"

# Messages that the load leaves unacknowledged while keystrokes are timed: enough to keep a client
# busy, and no more, as the keystrokes wait behind them.
BUSY_WINDOW = 512

# The same over a long way: a node's limit is far away.
WIDE_WINDOW = 20000

# Seconds. Some clients lose what comes before they have got over the handshake.
SETTLING = 0.3


# Seconds that an agent sleeps after each message of a shell or a tunnel, and what systems add.
NODE_PACE = 0.0012


class Plan(NamedTuple):
    """Sizes. ``limit`` (s) cuts a transfer off that would take longer."""

    runs: int
    mib: int
    limit: float
    keys: int
    idle: float
    round_trips: Tuple[int, ...]  # ms
    streams: Tuple[int, ...]
    paced_mib: float
    paces: Tuple[float, ...]  # seconds after each KiB
    tunnels: int
    targets: Tuple[int, ...]


FULL = Plan(
    5, 64, 5.0, 300, 60.0, (0, 20, 100, 200), (1, 8, 64), 5, (0.0003, 0.0006, 0.0012, 0.0024), 50,
    (10, 100, 1000),
)
SHORT = Plan(1, 4, 2.0, 30, 2.0, (0, 20), (1, 8), 0.5, (0.0012,), 5, (10,))


class Subject(NamedTuple):
    """A client: the command that runs it, and the interpreter that this costs at least. ``tls`` are
    the files of a certificate, which its environment trusts, and its key."""

    name: str
    command: List[str]
    environ: Mapping[str, str]
    interpreter: List[str]
    tls: Tuple[str, ...] = ()

    def plain(self):
        return self._replace(tls=())


class Transfer:
    """A session that is ready to carry so many MiB in one direction, by ``streams`` connections
    where it is a tunnel. To be used in a with block."""

    def __init__(self, subject, kind, mib, up=False, streams=1, **options):
        self._stack = contextlib.ExitStack()
        self._size = int(mib * MIB)
        self._up = up
        port = _free_port() if kind in ("basic", "mux") else 0
        with contextlib.ExitStack() as stack:
            self.load = stack.enter_context(
                Load(
                    subject.tls, type=kind, mib=mib, upload=up, streams=streams, local_port=port,
                    **options
                )
            )
            self.client = stack.enter_context(
                Client(subject.command, subject.environ, self.load, local_port=port)
            )
            self.load.wait("ready_at")
            ends = [(self.client.stdin, self.client.stdout)]
            if port:
                inspected = kind == "mux" and not up
                sockets = _connect(stack, self.client, self.load, port, streams, inspected)
                ends = [(sock.fileno(), sock.fileno()) for sock in sockets]
            time.sleep(SETTLING)
            self._ends = ends
            self._stack = stack.pop_all()

    def run(self, limit):
        """Carry it, for ``limit`` s at most; returns bytes and seconds."""
        began = self.load.begin()
        up, down = (self._size, 0) if self._up else (0, self._size)
        local = LocalEnds(self._ends, up, down)
        self._stack.callback(local.stop)
        if self._up:
            self.load.wait("reached_at", limit)
        else:
            local.wait(limit)
        self.memory = self.client.memory_peak()
        self.cpu = self.client.cpu_now()
        came, came_at = local.came, local.came_at
        figures = self.load.end()
        if self._up:
            came, began, came_at = figures["bytes"], figures["first_at"], figures["last_at"]
        if came_at is None:
            raise RuntimeError("nothing came through")
        return came, came_at - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


def transfer(subject, plan, label, kind, up=False, streams=1, rtt=0, lose=0.0):
    """MiB/s, CPU seconds per MiB and the peak of memory of one transfer in one direction."""
    # Over a long way it takes some round trips to get going, which are not to count for much.
    mib = 4 * plan.mib if rtt else plan.mib
    window = {"window": WIDE_WINDOW} if rtt else {}
    with Transfer(
        subject, kind, mib, up, streams, rtt=rtt / 1000, lose=lose, **window
    ) as carried:
        came, seconds = carried.run(plan.limit)
        used = carried.client.wait(carried.memory)
    return {
        label + ", MiB/s": came / MIB / seconds,
        label + ", CPU ms per MiB": 1000 * used.cpu / (came / MIB),
        label + ", peak memory in MiB": used.memory / MIB,
    }


def plain_transfer(subject, plan, label, *arguments):
    return transfer(subject.plain(), plan, label, *arguments)


def paced(subject, plan, label, kind, pace):
    """CPU ms per MiB of a download that comes as slowly as from a node, without the start."""
    with Transfer(subject, kind, plan.paced_mib, pace=pace) as carried:
        before = carried.client.cpu_now()
        came, _ = carried.run(plan.paced_mib * 1024 * pace * 5 + 10)
        after = carried.cpu
        carried.client.wait()
    if before is None or after is None:
        return {}
    return {label + ", CPU ms per MiB": 1000 * (after - before) / (came / MIB)}


def encrypted_shell(subject, plan):
    """MiB/s of a shell's output under a KMS key. The local service seals it, on another core."""
    size = plan.mib * MIB
    with running_service("encrypted") as url:
        environ = dict(subject.environ, AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1")
        command = subject.command + ["shell", "i-demo", "--quiet"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, **pipes) as client:
            client.stdin.write(b"PS1=; stty -echo -opost; head -c %d /dev/zero; exit\n" % size)
            client.stdin.close()
            came = client.stdout.read(MIB)
            began, left = time.monotonic(), size
            while came:
                left -= came.count(b"\0")
                came_at = time.monotonic()
                came = client.stdout.read(MIB)
    if left:
        raise RuntimeError("%d bytes of an encrypted shell's output did not come" % left)
    return {"shell down, KMS, MiB/s": (size / MIB - 1) / (came_at - began)}


def keystrokes(subject, plan):
    """Median and 99th percentile of the echo, in ms, on a terminal with nothing else going on."""
    with Load(subject.tls, type="shell", echo=True) as load:
        with Client(subject.command, subject.environ, load, terminal=True) as client:
            client.read_until(b"$ ")
            load.begin()
            time.sleep(0.2)
            times = _time_keys(client.stdin, client.stdout, plan.keys)
            load.end()
            client.wait()
    return _percentiles("echo of a key, idle", times)


def keystrokes_beside(subject, plan, label, up=False, pace=0.0):
    """The same in one stream of a mux session, while another carries all that it can, or a
    download at ``pace``."""
    port = _free_port()
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(
            Load(subject.tls, type="mux", mib=0 if up else 100000, echo=True, window=BUSY_WINDOW,
                 local_port=port, pace=pace)
        )
        client = stack.enter_context(
            Client(subject.command, subject.environ, load, local_port=port)
        )
        bulk, keys = _connect(stack, client, load, port, 2, True)
        local = LocalEnds([(bulk.fileno(), bulk.fileno())], 1 << 40 if up else 0, 1 << 40)
        stack.callback(local.stop)
        load.begin()
        time.sleep(0.3)
        times = _time_keys(keys.fileno(), keys.fileno(), plan.keys)
    return _percentiles("echo of a key, " + label, times)


def start(subject, plan):
    """Milliseconds: the interpreter alone, the version, and a shell up to two points."""
    figures = {}
    if subject.interpreter:
        figures["bare interpreter, ms"] = _run(subject.interpreter, subject.environ)
    figures["--version, ms"] = _run(subject.command + ["--version"], subject.environ)
    figures.update(_start(subject, ""))
    figures.update(_start(subject.plain(), "plain, "))
    return figures


def _start(subject, prefix):
    figures = {}
    with Load(subject.tls, type="shell") as load:
        with Client(subject.command, subject.environ, load, terminal=True) as client:
            client.read_until(b"$ ")
            seconds = time.monotonic() - client.started_at
            figures[prefix + "start to first prompt, ms"] = 1000 * seconds
            load.wait("ready_at")
            load.end()
            client.wait()
    figures[prefix + "start to first frame sent, ms"] = 1000 * (load.opened_at - client.started_at)
    return figures


def idle(subject, plan):
    """CPU milliseconds of an idle minute, scaled from a shorter time."""
    with Load(subject.tls, type="shell", echo=True) as load:
        with Client(subject.command, subject.environ, load, terminal=True) as client:
            client.read_until(b"$ ")
            time.sleep(1.0)
            before = client.cpu_now()
            time.sleep(plan.idle)
            after = client.cpu_now()
            load.end()
            client.wait()
    if before is None or after is None:
        return {}
    return {"CPU of an idle minute, ms": 1000 * (after - before) * 60 / plan.idle}


def all_measurements(plan):
    """Pairs of a function and the arguments that follow subject and plan."""
    yield start, ()
    for kind in ("stdio", "mux", "shell"):
        yield paced, ("at a node's pace, %s" % kind, kind, NODE_PACE)
    for pace in plan.paces:
        yield paced, ("pace %g ms" % (1000 * pace), "stdio", pace)
    for speed in ("plain", "fast"):
        yield at_agents_pace, (speed,)
    yield keystrokes, ()
    yield keystrokes_beside, ("beside a paced download", False, NODE_PACE)
    yield keystrokes_beside, ("beside bulk down",)
    yield keystrokes_beside, ("beside bulk up", True)
    yield transfer, ("stdio down", "stdio")
    yield transfer, ("stdio up", "stdio", True)
    yield plain_transfer, ("plain, stdio down", "stdio")
    yield plain_transfer, ("plain, stdio up", "stdio", True)
    yield transfer, ("stdio up, 2 % lost", "stdio", True, 1, 0, 0.02)
    yield transfer, ("command down", "command")
    yield encrypted_shell, ()
    yield transfer, ("basic down", "basic")
    yield transfer, ("basic up", "basic", True)
    for streams in plan.streams:
        yield transfer, ("mux down, streams: %d" % streams, "mux", False, streams)
        yield transfer, ("mux up, streams: %d" % streams, "mux", True, streams)
    for rtt in plan.round_trips:
        yield transfer, ("stdio down, RTT %d ms" % rtt, "stdio", False, 1, rtt)
        yield transfer, ("stdio up, RTT %d ms" % rtt, "stdio", True, 1, rtt)
    yield idle, ()
    yield idle_tunnels, ()
    for count in plan.targets:
        yield many_targets, (count,)


def _connect(stack, client, load, port, count, inspected):
    """So many connections to the client's local port, each known to the other side."""
    client.read_until(b"opened for sessionId")
    sockets = []
    for _ in range(count):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(sock)
        if inspected:
            load.wait("stream_opened")
    if not inspected:
        client.read_until(b"Connection accepted")
    return sockets


def _time_keys(write_to, read_from, count):
    times = []
    for _ in range(count):
        began = time.monotonic()
        os.write(write_to, b"x")
        seen = b""
        while b"x" not in seen:
            if not select.select([read_from], [], [], LIMIT)[0]:
                raise RuntimeError("a key was not echoed")
            seen = os.read(read_from, 4096)
        times.append(1000 * (time.monotonic() - began))
        time.sleep(0.01)
    return times


def _percentiles(label, times):
    times = sorted(times)
    return {
        label + ", median ms": times[len(times) // 2],
        label + ", 99th percentile ms": times[int(0.99 * (len(times) - 1))],
    }


def _run(command, environ):
    began = time.monotonic()
    subprocess.check_call(command, env=environ, stdout=subprocess.DEVNULL)
    return 1000 * (time.monotonic() - began)


def _free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
