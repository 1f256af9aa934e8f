"""What fast tunnels gain, at a real agent's pace, and what they cost: a line for each."""

import contextlib
import os
import resource
import statistics
import subprocess
import time
from pathlib import Path

from tests.support.files import MIB, random_file, sha256
from tests.support.measure import usage
from tests.support.ssh import HOST, OURS, check, find, ssh_through_a_session

from .databases import PostgresServer, run
from .tunnels import Place, fetch, peak, web_server

PACE = "pace=1.2ms"
SPEEDS = ("plain", "fast")

_ROW = "repeat(md5(i::text), 30)"  # about 1 KB


def ssh_copies(folder, size):
    """scp both ways, of ``size`` MiB."""
    for speed in SPEEDS:
        with _ssh(folder, speed) as client:
            local = client.folder / "blob"
            digest = random_file(local, size * MIB)
            for way, source, copy in (
                ("down", "%s:%s" % (HOST, local), client.folder / "down"),
                ("up", local, "%s:%s" % (HOST, client.folder / "up")),
            ):
                before, began = _children_cpu(), time.monotonic()
                check(client.run("scp", str(source), str(copy), timeout=300))
                seconds = time.monotonic() - began
                equal = sha256(client.folder / way) == digest
                yield "scp %d MiB %-4s %-5s %6.1f s %6.2f MiB/s, SHA-256 %s, CPU %.2f s" % (
                    size, way, speed, seconds, size / seconds,
                    "equal" if equal else "DIFFERS", _children_cpu() - before,
                )


def ssh_keys(folder, keys=200, logins=9):
    """Time to the end of ``exit 9``, in turns, and the echo of single bytes through ``cat``."""
    times = {speed: [] for speed in SPEEDS}
    with contextlib.ExitStack() as exits:
        clients = {speed: exits.enter_context(_ssh(folder, speed)) for speed in SPEEDS}
        for _ in range(logins):
            for speed, client in clients.items():
                began = time.monotonic()
                check(client.run("ssh", "exit 9"), 9)
                times[speed].append(time.monotonic() - began)
        echoes = {speed: _echoes(client, keys) for speed, client in clients.items()}
    for speed in SPEEDS:
        yield "ssh %-5s login %.2f s (median of %d, status 9), echo of a key %.2f ms (of %d)" % (
            speed, statistics.median(times[speed]), logins,
            1e3 * statistics.median(echoes[speed]), keys,
        )


def curl(folder, files=200, parallel=40):
    for speed in SPEEDS:
        with Place(_new(folder, speed), faults=PACE) as place:
            with web_server(place.folder, files) as (web, digests):
                with place.forward("0:%d" % web, "--speed", speed) as (command, port):
                    total = sum((place.folder / "www" / name).stat().st_size for name in digests)
                    began = time.monotonic()
                    fetch(place.folder, port, digests, parallel)
                    seconds = time.monotonic() - began
                    yield "curl %d files, %d at once, %.0f MiB, %-5s %5.1f s, equal; %s" % (
                        files, parallel, total / MIB, speed, seconds, _cost(command.process.pid),
                    )


def pg_dump(folder, rows):
    """``rows`` of about 1 KB each."""
    for speed in SPEEDS:
        there = _new(folder, "pg-" + speed)
        os.chmod(folder, 0o755)
        os.chmod(str(there), 0o755)
        with Place(there, faults=PACE) as place, PostgresServer(there / "pg") as server:
            server.sql("postgres", "CREATE TABLE t AS SELECT i, %s AS text "
                       "FROM generate_series(1, %d) i" % (_ROW, rows))
            with place.forward("0:%d" % server.port, "--speed", speed) as (command, port):
                dumps = []
                for at in (port, server.port):
                    dump = str(there / str(at))
                    began = time.monotonic()
                    check(run([find("pg_dump"), "-h", "127.0.0.1", "-p", str(at),
                               "-U", server.user, "-f", dump, "postgres"]))
                    dumps.append((time.monotonic() - began, _lines(dump)))
                size = os.path.getsize(dump) / MIB
                yield "pg_dump %3.0f MiB %-5s %6.1f s %6.2f MiB/s, %s; %s" % (
                    size, speed, dumps[0][0], size / dumps[0][0],
                    "equal" if dumps[0][1] == dumps[1][1] else "DIFFERENT",
                    _cost(command.process.pid),
                )


def _lines(path):
    """Newer releases put a random word into their dumps."""
    with open(path, "rb") as file:
        return [line for line in file if not line.startswith(b"\\")]


def _ssh(folder, speed):
    proxy = OURS.replace("ssh --quiet", "ssh --quiet --speed " + speed)
    return ssh_through_a_session(_new(folder, speed), proxy, faults=PACE)


def _new(folder, name):
    path = Path(folder) / ("%s-%d" % (name, len(os.listdir(str(folder)))))
    path.mkdir()
    return path


def _echoes(client, keys):
    process = client.spawn("ssh", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    times = []
    for _ in range(keys + 5):
        began = time.monotonic()
        process.stdin.write(b"k")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 1) == b"k"
        times.append(time.monotonic() - began)
    process.stdin.close()
    process.stdout.close()
    process.wait(20)
    return times[5:]


def _children_cpu():
    """Of scp, ssh and our own process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cost(pid):
    return "CPU %.1f s, %.0f MiB RSS" % (usage(pid).cpu, peak(pid))
