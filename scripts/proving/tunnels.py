"""What a tunnel promises, tried at full size. Each function returns a line about what it saw."""

import contextlib
import hashlib
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.files import MIB, random_file, sha256
from tests.support.measure import usage
from tests.support.service import local_service
from tests.support.ssh import check, find
from tests.support.tunnels import ForwardCommand
from tests.test_plugins.port_helpers import TargetServer, echo, read_exactly

EVERY_FAULT = "lose=2%,double=2%,reorder=2%,corrupt=2%,no-acknowledge=2%,delay=2%"


def peak(pid):
    """The most memory that it had, in MiB."""
    return usage(pid).peak / MIB


def threads_and_descriptors(pid):
    now = usage(pid)
    return now.threads, now.descriptors


class Place:
    """A local service and a folder; ``forward`` starts the command."""

    def __init__(self, folder, **service):
        self.folder = Path(folder)
        self._service = local_service(**service)

    def __enter__(self):
        self.service = self._service.__enter__()
        return self

    def __exit__(self, *exception):
        return self._service.__exit__(*exception)

    @contextlib.contextmanager
    def forward(self, *words, **options):
        with ForwardCommand(self.folder, self.service, "i-1", "--json", *words, **options) as one:
            yield one, one.event("ready")["port"]


# --- Many connections


@contextlib.contextmanager
def web_server(folder, files):
    root = Path(folder) / "www"
    root.mkdir()
    digests = {}
    for number in range(files):
        name = "f%03d" % number
        digests[name] = random_file(root / name, random.Random(number).randrange(1, 400000))
    program = (
        "import sys, socketserver, http.server as h\n"
        "class Server(socketserver.ThreadingMixIn, h.HTTPServer):\n"
        "    request_queue_size, daemon_threads = 500, True\n"
        "h.SimpleHTTPRequestHandler.log_message = lambda *a: None\n"
        "s = Server(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n"
        "print(s.server_address[1], flush=True); s.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=str(root), stdout=subprocess.PIPE
    ) as server:
        try:
            yield int(server.stdout.readline()), digests
        finally:
            server.kill()


def fetch(folder, port, digests, parallel, *options):
    target = Path(folder) / "got"
    shutil.rmtree(str(target), ignore_errors=True)
    target.mkdir()
    words = [find("curl"), "-sS", "--fail", "--parallel", "--parallel-immediate",
             "--parallel-max", str(parallel)] + list(options)
    for name in digests:
        words += ["-o", str(target / name), "http://127.0.0.1:%d/%s" % (port, name)]
    check(subprocess.run(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, timeout=120))
    assert {name: sha256(target / name) for name in digests} == digests


def curl_many(folder, files=500, parallel=100):
    with Place(folder) as place, web_server(folder, files) as (web, digests):
        with place.forward("0:%d" % web) as (command, port):
            began = time.monotonic()
            fetch(folder, port, digests, parallel)
            seconds = time.monotonic() - began
            memory = peak(command.process.pid)
    return "curl: %d files over %d parallel connections in %.1f s, all equal; %.0f MiB RSS" % (
        files, parallel, seconds, memory)


def one_does_not_read(folder, seconds=60, size=24 * MIB):
    """One connection has ``size`` bytes coming that nobody reads; others work meanwhile."""
    flood = bytes(MIB)

    def serve(connection):
        if connection.recv(1) == b"f":
            for _ in range(size // MIB):
                connection.sendall(flood)
        else:
            echo(connection)

    def slowest(port, until):
        worst, count = 0.0, 0
        while time.monotonic() < until:
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), 20) as sock:
                sock.sendall(b"e" + b"x" * 50000)
                read_exactly(sock, 50000)
            worst, count = max(worst, time.monotonic() - began), count + 1
            time.sleep(0.05)
        return worst, count

    with Place(folder) as place, TargetServer(serve) as target:
        with place.forward("0:%d" % target.port) as (command, port):
            before, _ = slowest(port, time.monotonic() + 3)
            with socket.create_connection(("127.0.0.1", port)) as stuck:
                stuck.sendall(b"f")
                worst, count = slowest(port, time.monotonic() + seconds)
                memory = peak(command.process.pid)
                assert read_exactly(stuck, size) == bytes(size)
    return (
        "one connection not reading for %d s: %d others meanwhile, the slowest took %.0f ms "
        "(%.0f ms without it); %.0f MiB RSS" % (seconds, count, worst * 1e3, before * 1e3, memory)
    )


def churn(folder, connections=1000, at_once=200):
    with Place(folder) as place, TargetServer(echo) as target:
        with place.forward("0:%d" % target.port) as (command, port):
            pid = command.process.pid

            def ask():
                sock = socket.create_connection(("127.0.0.1", port), 20)
                sock.sendall(b"ping")
                assert read_exactly(sock, 4) == b"ping"
                return sock

            before = threads_and_descriptors(pid)
            for _ in range(connections):
                ask().close()
            after = settle(pid, before)
            assert after == before, (before, after)
            several = [ask() for _ in range(at_once)]
            for sock in several:
                sock.sendall(b"y" * 100000)
            for sock in several:
                assert read_exactly(sock, 100000) == b"y" * 100000
                sock.close()
            last = settle(pid, before)
            assert last == before, (before, last)
            command.process.send_signal(signal.SIGUSR1)
            command.said(b" 0 connections open, %d so far" % (connections + at_once))
            streams = settled_streams(place.service)
            assert streams == 0, streams
            memory = peak(pid)
            assert memory < 80, memory
    return (
        "%d connections one after the other, %d at once: %d threads and %d descriptors before and "
        "after, no stream left at either end; %.0f MiB RSS" % (
            (connections, at_once) + before + (memory,))
    )


def settled_streams(service, seconds=5):
    """At the agents, where the last ends of streams may arrive a moment later than here."""
    deadline = time.monotonic() + seconds
    while True:
        agents = [session._agent for session in service.open_sessions()]
        streams = sum(len(agent._work._streams.connections()) for agent in agents)
        if not streams or time.monotonic() > deadline:
            return streams
        time.sleep(0.05)


def settle(pid, wanted, seconds=5):
    deadline = time.monotonic() + seconds
    while True:
        now = threads_and_descriptors(pid)
        if now == wanted or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


# --- Faults, and ends


def transfer(port, size, seed):
    """Sends random bytes and reads as many others, at once; whether both SHA-256 are right."""
    with socket.create_connection(("127.0.0.1", port), 120) as sock:
        sock.sendall(b"%12d%12d" % (size, seed))
        sent, received = hashlib.sha256(), hashlib.sha256()

        def send():
            for piece in pieces(size, seed):
                sent.update(piece)
                sock.sendall(piece)

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(size // 65536):
            received.update(read_exactly(sock, 65536))
        sender.join()
        theirs = read_exactly(sock, 64)
    expected = hashlib.sha256()
    for piece in pieces(size, seed + 1):
        expected.update(piece)
    assert received.hexdigest() == expected.hexdigest(), "the way down is broken"
    assert theirs == sent.hexdigest().encode(), "the way up is broken"


def pieces(size, seed):
    numbers = random.Random(seed)
    for _ in range(size // 65536):
        yield numbers.getrandbits(65536 * 8).to_bytes(65536, "big")


def serve_transfer(connection):
    size, seed = int(read_exactly(connection, 12)), int(read_exactly(connection, 12))
    received = hashlib.sha256()

    def receive():
        for _ in range(size // 65536):
            received.update(read_exactly(connection, 65536))

    receiver = threading.Thread(target=receive)
    receiver.start()
    for piece in pieces(size, seed + 1):
        connection.sendall(piece)
    receiver.join()
    connection.sendall(received.hexdigest().encode())


def faults(folder, seconds=60, size=2 * MIB, faults=EVERY_FAULT, drop_every=5.0):
    with Place(folder, faults=faults) as place, TargetServer(serve_transfer) as target:
        with place.forward("0:%d" % target.port) as (command, port):
            until, done, drops, lock = time.monotonic() + seconds, [0], 0, threading.Lock()
            failures = queue.Queue()

            def keep_on(number):
                try:
                    while time.monotonic() < until:
                        transfer(port, size, 1000 * number + done[0])
                        with lock:
                            done[0] += 1
                except BaseException as error:
                    failures.put(error)

            workers = [threading.Thread(target=keep_on, args=(n,)) for n in range(3)]
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                time.sleep(drop_every)
                if time.monotonic() < until:
                    place.service.session().drop_connection()
                    drops += 1
            if not failures.empty():
                raise failures.get()
            sessions = len(place.service.sessions())
            memory = peak(command.process.pid)
    assert sessions == 1, sessions
    return (
        "%s, and the connection dropped %d times in %d s: %d transfers of %d MiB each way, all "
        "SHA-256 equal, in one session; %.0f MiB RSS" % (
            faults, drops, seconds, done[0], size // MIB, memory)
    )


def ten_ends(folder, ends=10):
    with Place(folder) as place, TargetServer(echo) as target:
        with place.forward("0:%d" % target.port) as (command, port):
            refused, stop = [], threading.Event()

            def knock():
                """Nobody who knocks is ever turned away."""
                while not stop.is_set():
                    with socket.socket() as sock:
                        error = sock.connect_ex(("127.0.0.1", port))
                        if error:
                            refused.append(error)
                    time.sleep(0.005)

            knocking = threading.Thread(target=knock)
            knocking.start()
            inode = listening_inode(command.process.pid, port)
            for number in range(1, ends + 1):
                place.service.session().terminate("end %d" % number)
                assert command.event("reconnected", number)["port"] == port
                with socket.create_connection(("127.0.0.1", port), 20) as sock:
                    sock.sendall(b"hello")
                    assert read_exactly(sock, 5) == b"hello"
                assert listening_inode(command.process.pid, port) == inode
            stop.set()
            knocking.join()
    assert not refused, refused
    return "%d sessions ended: port and listening socket stayed, no connection was refused" % ends


def listening_inode(pid, port):
    with open("/proc/%d/net/tcp" % pid) as file:
        rows = [line.split() for line in file][1:]
    return [row[9] for row in rows if row[1] == "0100007F:%04X" % port and row[3] == "0A"]
