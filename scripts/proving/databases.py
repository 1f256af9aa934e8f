"""Programs that keep their connections: a database, a long poll."""

import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.support.ssh import check, find
from tests.test_plugins.port_helpers import TargetServer, read_exactly

from .tunnels import Place

ROWS = 200000


def postgres(folder):
    """A dump and a restore through a tunnel, of text and of bytes; both databases are equal."""
    os.chmod(folder, 0o755)
    with Place(folder) as place, PostgresServer(Path(folder) / "pg") as server:
        server.sql("postgres", "CREATE DATABASE one; ")
        server.sql("postgres", "CREATE DATABASE two; ")
        server.sql("one", "CREATE TABLE t AS SELECT i, md5(i::text) AS name, "
                   "decode(md5(i::text), 'hex') AS data FROM generate_series(1, %d) i" % ROWS)
        with place.forward("0:%d" % server.port) as (_, port):
            through = ["-h", "127.0.0.1", "-p", str(port), "-U", server.user]
            for form, restore in (("plain", "psql"), ("custom", "pg_restore")):
                dump = os.path.join(folder, form)
                words = [find("pg_dump")] + through + ["-F", form[0], "-f", dump, "one"]
                check(run(words))
                size = os.path.getsize(dump)
                last = ["-q", "-d", "two", "-f", dump] if restore == "psql" else ["-d", "two", dump]
                check(run([find(restore)] + through + last))
                assert server.digest("one") == server.digest("two")
                server.sql("two", "DROP TABLE t")
            jobs = ["-F", "d", "-j", "4", "-f", os.path.join(folder, "d"), "one"]
            check(run([find("pg_dump")] + through + jobs))
    return "PostgreSQL: %d rows dumped and restored in two formats, equal; %.0f MB dump" % (
        ROWS, size / 1e6)


def run(words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=900)


class PostgresServer:
    """Of its own, in ``folder``, for everybody on loopback. Not as root: it refuses."""

    def __init__(self, folder):
        self.folder = folder
        self.user = "postgres"
        self._bin = os.path.dirname(os.path.realpath(find("postgres")))

    def __enter__(self):
        self.folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(str(self.folder), pwd.getpwnam("nobody").pw_uid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        data = str(self.folder / "data")
        check(self._run("initdb", "-D", data, "-U", self.user, "-A", "trust", "-N"))
        options = "-F -p %d -k '' -h 127.0.0.1" % self.port
        check(self._run("pg_ctl", "-D", data, "-w", "-l", str(self.folder / "log"),
                        "-o", options, "start"))
        return self

    def __exit__(self, *exception):
        check(self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop"))

    def sql(self, database, text):
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, "-d", database]
        return check(self._run("psql", *(words + ["-Atqc", text])))

    def digest(self, database):
        text = self.sql(database, "COPY (SELECT * FROM t ORDER BY i) TO STDOUT")
        assert text.count(b"\n") == ROWS
        return hashlib.sha256(text).hexdigest()

    def _run(self, program, *words):
        command = [os.path.join(self._bin, program)] + list(words)
        if os.getuid() == 0:
            command = [find("setpriv"), "--reuid", "nobody", "--clear-groups"] + command
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              cwd=str(self.folder), timeout=120)


def long_poll(folder, polls=20, seconds=1.5):
    """Each poll is answered late; other connections come and go meanwhile."""

    def serve(connection):
        for kind in iter(lambda: connection.recv(1), b""):
            time.sleep(seconds if kind == b"p" else 0.0)
            connection.sendall(kind * 1000)

    with Place(folder) as place, TargetServer(serve) as target:
        with place.forward("0:%d" % target.port) as (_, port):
            late, stop = [], threading.Event()

            def poll():
                with socket.create_connection(("127.0.0.1", port), 30) as sock:
                    for _ in range(polls):
                        began = time.monotonic()
                        sock.sendall(b"p")
                        assert read_exactly(sock, 1000) == b"p" * 1000
                        late.append(time.monotonic() - began - seconds)
                stop.set()

            polling = threading.Thread(target=poll)
            polling.start()
            count = 0
            while not stop.is_set() and polling.is_alive():
                with socket.create_connection(("127.0.0.1", port), 30) as sock:
                    sock.sendall(b"q")
                    assert read_exactly(sock, 1000) == b"q" * 1000
                count += 1
                time.sleep(0.01)
            polling.join()
    assert len(late) == polls
    return "%d long polls on one connection, %d others meanwhile; latest answer %.0f ms late" % (
        polls, count, 1e3 * max(late))
