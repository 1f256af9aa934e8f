"""The fast way up: over sessions, and its listener alone with each program that may run it."""

import os
import shutil
import socket
import subprocess
import threading

import pytest

from ssm_plugin.copying import transfer
from ssm_plugin.copying.node_listener import GIVEN_UP, PERL, PYTHON
from ssm_plugin.copying.port_way import SSH_DOCUMENT, NotFast
from tests.support.copies import NEEDED, Copies, folder_of, node, tree_state
from tests.support.files import MIB, random_file, sha256
from tests.support.interpreters import interpreters
from tests.support.service import local_service
from tests.support.threads import wait_until

TIME_LIMIT = 20.0


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def places(tmp_path, monkeypatch):
    # The first python3 on PATH is a program, and not a script of some version manager.
    monkeypatch.setenv("PATH", "/usr/bin:" + os.environ["PATH"])
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return tmp_path / "here", tmp_path / "there"


def documents(service):
    return [one.request.document_name for one in service.sessions()]


@pytest.mark.parametrize("compress", [False, True], ids=["", "compressed"])
def test_a_file_and_a_tree_go_up_by_a_port(service, places, compress):
    here, there = places
    (here / "t").mkdir()
    digest = random_file(here / "t" / "a", MIB + 1)
    (here / "t" / "b").write_bytes(b"b" * 300000)
    for source in (here / "t" / "a", here / "t"):
        began = len(service.sessions())
        report = Copies(service).cp(
            source, node(there), recursive=True, preserve=True, speed="fast", compress=compress
        )
        assert [one.status for one in report.files] == [0], report
        assert documents(service)[began:].count(SSH_DOCUMENT) == 1
        assert len(service.sessions()) == began + 2
    assert sha256(there / "a") == digest and tree_state(there / "t") == tree_state(here / "t")
    assert sorted(os.listdir(str(there))) == ["a", "t"]


@pytest.mark.volume
def test_auto_is_for_what_is_worth_it(service, places):
    here, there = places
    large = transfer.FAST_FROM
    # What is not compressed goes as it is, by a terminal too.
    for name, size, text, ports in (
        ("small", 1000, True, 0), ("raw", large, False, 0), ("large", large, True, 1)
    ):
        digest, began = random_file(here / name, size), len(service.sessions())
        report = Copies(service).cp(here / name, node(there), speed="auto", compress=text)
        assert report.result.status == 0
        assert documents(service)[began:].count(SSH_DOCUMENT) == ports
        assert sha256(there / name) == digest


def test_input_that_ends_somewhen_goes_by_a_port_too(service, places):
    _, there = places
    pieces = iter([b"one", b"two" * 50000, b""])
    report = Copies(service).cp("-", node(there / "a"), speed="auto", read=lambda: next(pieces))
    assert (report.result.status, report.result.reason) == (0, "")
    assert (there / "a").read_bytes() == b"one" + b"two" * 50000


@pytest.mark.volume
def test_a_node_with_nothing_to_listen_with_gets_it_by_a_terminal(tmp_path, places, monkeypatch):
    here, there = places
    digest = random_file(here / "a", transfer.FAST_FROM)
    tools = NEEDED + ["sha256sum", "stty", "mkfifo", "sleep"]
    monkeypatch.setenv("PATH", folder_of(tools, tmp_path / "bin"))
    with local_service() as service:
        report = Copies(service).cp(here / "a", node(there), speed="fast")
        assert isinstance(report.result.error, NotFast) and report.result.status == 255
        assert "neither Python nor perl" in report.result.reason
        assert "--speed auto" in report.result.reason and os.listdir(str(there)) == []
        report = Copies(service).cp(here / "a", node(there), speed="auto", compress=True)
        assert report.result.status == 0, report
        assert SSH_DOCUMENT not in documents(service)
    assert sha256(there / "a") == digest


def refuse_ports(copies, service):
    """The second session of a copy is not allowed."""
    started = []

    def before_start():
        started.append(1)
        if len(started) == 2:
            service.ssm.answer_with("StartSession", "AccessDeniedException")

    copies.environment.service.before_start = before_start
    return copies


def test_where_the_document_is_forbidden_auto_goes_by_a_terminal(service, places):
    here, there = places
    digest = random_file(here / "a", transfer.FAST_FROM)
    report = refuse_ports(Copies(service), service).cp(here / "a", node(there), speed="fast")
    assert isinstance(report.result.error, NotFast), report
    assert "AccessDenied" in report.result.reason
    wait_until(lambda: os.listdir(str(there)) == [])
    copies = refuse_ports(Copies(service), service)
    report = copies.cp(here / "a", node(there), speed="auto", compress=True)
    assert report.result.status == 0 and sha256(there / "a") == digest


def test_what_the_script_refuses_is_said_in_its_words(service, places):
    here, there = places
    random_file(here / "a", 1000)
    report = Copies(service).cp(here / "a", node(there / "none" / "x"), speed="fast")
    assert (report.result.status, report.files[0].status) == (1, 1)
    assert "/none/" in report.result.reason and "fast" not in report.result.reason


@pytest.mark.volume
def test_a_lost_connection_costs_only_time(service, places):
    here, there = places
    digest, seen = random_file(here / "a", 4 * MIB), threading.Event()

    def tell(progress):
        if progress.done > MIB and not seen.is_set():
            seen.set()
            for session in service.open_sessions():
                session.drop_connection()

    report = Copies(service).cp(here / "a", node(there), tell=tell, speed="fast")
    assert (report.result.status, seen.is_set()) == (0, True) and sha256(there / "a") == digest


@pytest.mark.volume
def test_a_port_session_that_is_ended_leaves_a_part_and_resume_goes_on(service, places):
    here, there = places
    digest, seen = random_file(here / "a", 6 * MIB), threading.Event()

    def tell(progress):
        if progress.done > 2 * MIB and not seen.is_set():
            seen.set()
            for session in service.open_sessions():
                if session.request.document_name == SSH_DOCUMENT:
                    session.terminate()

    report = Copies(service).cp(here / "a", node(there), tell=tell, speed="fast")
    assert report.result.status in (1, 255) and report.result.reason, report
    part, = there.glob("*")
    assert part.name.endswith(".part") and part.stat().st_size
    report = Copies(service).cp(here / "a", node(there), resume=True, speed="fast")
    assert report.result.status == 0 and report.files[0].resumed > 0
    assert sha256(there / "a") == digest and os.listdir(str(there)) == ["a"]


def test_what_progress_raises_comes_out(service, places):
    here, there = places
    random_file(here / "a", 2 * MIB)

    def fail(progress):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Copies(service).cp(here / "a", node(there), tell=fail, speed="fast")
    assert not (there / "a").exists()


# --- The listener alone


def listeners():
    pythons = interpreters()
    newer = [version for version in pythons if version > (3,)]
    for version in sorted({(2, 7), min(newer), max(newer)} & set(pythons)):
        yield pytest.param([pythons[version], "-ESs", "-c", PYTHON], id="python%d.%d" % version)
    if shutil.which("perl"):
        yield pytest.param(["perl", "-e", PERL], id="perl")


LISTENERS = list(listeners())


class Listener:
    """The program in a process of its own, with ``told`` from its third descriptor."""

    def __init__(self, argv):
        argv = [word.replace("@GIVEN_UP@", GIVEN_UP) for word in argv]
        words = ["sh", "-c", 'exec "$@" 3>&2', "sh"] + argv
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **pipes)
        self.told = self.process.stderr
        self._sockets = []
        _, port, self.secret = self.told.readline().split()
        self.port = int(port)

    def connect(self, first):
        sock = socket.create_connection(("localhost", self.port), TIME_LIMIT)
        self._sockets.append(sock)
        sock.sendall(first)
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for file in [self.told] + self._sockets:
            file.close()
        self.process.stdout.close()
        self.process.wait(TIME_LIMIT)


@pytest.mark.parametrize("argv", LISTENERS)
def test_only_the_secret_gets_in_and_nobody_after_it(argv):
    with Listener(argv) as listener:
        silent = listener.connect(b"")
        assert listener.connect(b"x" * 33).recv(1) == b""
        assert listener.connect(listener.secret.upper() + b"!").recv(1) == b""
        with listener.connect(listener.secret + b"\n") as sock:
            assert listener.told.readline() == b"taken\n"
            assert silent.recv(1) == b""
            with pytest.raises(OSError):
                listener.connect(b"")
            sock.sendall(b"\0\0\0\3abc" + b"\0\1\0\0" + b"d" * 65536)
            sock.sendall(b"\0\0\0\0")
            assert listener.process.stdout.read() == b"abc" + b"d" * 65536
        assert listener.process.wait(TIME_LIMIT) == 0


@pytest.mark.parametrize("argv", LISTENERS)
def test_a_connection_that_ends_early_is_a_sender_that_gave_up(argv):
    with Listener(argv) as listener:
        with listener.connect(listener.secret + b"\n") as sock:
            listener.told.readline()
            sock.sendall(b"\0\0\0\3ab")
        assert listener.process.stdout.read() == b"ab" + GIVEN_UP.encode("ascii") + b"\n"
        assert listener.process.wait(TIME_LIMIT) == 1


@pytest.mark.parametrize("argv", LISTENERS)
def test_it_ends_with_the_script_that_reads_it(argv):
    for first in (None, b""):
        with Listener(argv) as listener:
            if first is not None:
                listener.connect(listener.secret + b"\n")
                listener.told.readline()
            listener.process.stdout.close()
            assert listener.process.wait(TIME_LIMIT) == 0
