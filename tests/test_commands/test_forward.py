"""``ssm-plugin forward`` as a process: what it says, to whom, and how it ends."""

import os
import resource
import signal
import socket
import stat
import time

import pytest

from ssm_plugin.net.local_end import bind_tcp
from tests.support.echo import EchoServer
from tests.support.service import local_service
from tests.support.serving import DemoService
from tests.support.tunnels import ForwardCommand

NODE = "i-1"


@pytest.fixture(scope="module")
def service():
    with local_service(targets=(NODE, "i-other")) as running:
        yield running


@pytest.fixture(scope="module")
def echo():
    with EchoServer() as server:
        yield server


@pytest.fixture(autouse=True)
def every_session_ends(service):
    yield
    service.wait_for(lambda: not service.open_sessions())


@pytest.fixture
def forward(service, tmp_path):
    def start(*arguments, **options):
        return ForwardCommand(tmp_path, service, *arguments, **options)

    return start


def ask(port, data=b"hello", host="127.0.0.1"):
    with socket.create_connection((host, port), 10) as sock:
        sock.sendall(data)
        return sock.recv(100)


def failure(command):
    """The one line of a command that failed."""
    with command:
        assert command.finish() == 255
    assert command.stderr.count(b"\n") == 1, command.stderr
    return command.stderr.decode()


def test_several_forwards_in_one_command(forward, service, echo, tmp_path):
    ready = tmp_path / "ready"
    with EchoServer() as other:
        words = [NODE, "0:%d" % echo.port, "0:%d" % other.port, "0:192.0.2.1:80"]
        with forward(*words, "--json", "--ready-file", str(ready)) as command:
            events = [command.event("ready", number) for number in (1, 2, 3)]
            command.wait_until(ready.exists)
            by_port = {(one["host"], one["remote_port"]): one for one in events}
            lines = ready.read_text().splitlines()
            assert lines == [
                by_port[None, echo.port]["local"],
                by_port[None, other.port]["local"],
                by_port["192.0.2.1", 80]["local"],
            ]
            assert ask(by_port[None, echo.port]["port"]) == b"hello"
            assert ask(by_port[None, other.port]["port"], host="::1") == b"hello"
            assert len(service.open_sessions()) == 3
            assert command.event("connection", 2)["session_id"] in [
                one["session_id"] for one in events
            ]
            began = time.monotonic()
            assert command.finish(signal.SIGTERM) == 128 + signal.SIGTERM
            assert time.monotonic() - began < 15
            assert [one["status"] for one in command.events[-3:]] == [143] * 3
    assert not ready.exists()


def test_people_are_told_on_stderr_and_stdout_stays_empty(forward, echo):
    with forward(NODE, "0:%d" % echo.port) as command:
        command.said(b" leads to port %d of i-1." % echo.port)
        port = int(command.stderr.split(b"Port ")[1].split()[0])
        assert ask(port) == b"hello"
        command.said(b"Connection accepted for session [")
        command.process.send_signal(signal.SIGUSR1)
        command.said(b"open for")
        assert b"number 1; 1 connection open, 1 so far" in command.stderr or (
            b"number 1; 0 connections open, 1 so far" in command.stderr
        )
        assert command.finish(signal.SIGINT) == 128 + signal.SIGINT
    assert b"Terminate signal received, exiting.\n" in command.stderr
    assert command.events == []


def test_two_signals_at_once_are_told_of_once(forward, echo):
    with forward(NODE, "0:%d" % echo.port) as command:
        command.said(b" leads to port %d of i-1." % echo.port)
        for signum in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):
            command.process.send_signal(signum)
        assert command.finish(signal.SIGCONT) in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert command.stderr.count(b"Terminate signal received, exiting.\n") == 1


def test_quiet_says_nothing_but_errors(forward, service, echo):
    with forward(NODE, "0:%d" % echo.port, "--quiet", "--json") as command:
        assert ask(command.event("ready")["port"]) == b"hello"
        service.session().terminate("maximum duration")
        command.event("reconnected")
        assert command.finish(signal.SIGTERM) == 143
    assert command.stderr.count(b"\n") == 1
    assert b"maximum duration; the local end stays open" in command.stderr


def test_a_session_that_ends_is_followed_by_another(forward, service, echo):
    with forward(NODE, "0:%d" % echo.port, "--json") as command:
        port = command.event("ready")["port"]
        for number in range(1, 4):
            assert ask(port) == b"hello"
            service.session().terminate("end %d" % number)
            again = command.event("reconnected", number)
            assert again["port"] == port
            assert again["session_id"] == service.session().session_id
            error = command.event("error", number)
            assert "end %d" % number in error["message"] and error["retry_in"] == 0
        assert ask(port) == b"hello"


def test_once_ends_with_the_first_session(forward, service, echo):
    with forward(NODE, "0:%d" % echo.port, "--json", "--once") as command:
        assert ask(command.event("ready")["port"]) == b"hello"
        command.event("connection")
        service.session().terminate("maximum duration")
        assert command.event("ended")["status"] == 255, "a reason is a failure"
        assert command.finish() == 255


def test_a_unix_socket(forward, echo, tmp_path):
    path = tmp_path / "socket"
    with forward(NODE, str(echo.port), "--unix", str(path), "--json") as command:
        ready = command.event("ready")
        assert (ready["local"], ready["port"]) == (str(path), None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
        command.said(b"Unix socket %s opened for sessionId" % str(path).encode())
        assert command.finish(signal.SIGTERM) == 143
    assert not path.exists()


def test_systemd_is_told_of_readiness_and_of_the_end(forward, service, echo, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(str(tmp_path / "notify"))
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with forward(NODE, "0:%d" % echo.port, "0:80", more=more) as command:
            assert manager.recv(1000) == b"READY=1\nSTATUS=2 of 2 tunnels open"
            service.session().terminate()
            assert manager.recv(1000) == b"STATUS=1 of 2 tunnels open"
            assert manager.recv(1000) == b"STATUS=2 of 2 tunnels open"
            assert command.finish(signal.SIGTERM) == 143
            assert manager.recv(1000) == b"STOPPING=1"


def test_a_service_that_dies_shows_at_once_in_every_place(tmp_path, echo):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager, DemoService(tmp_path) as served:
        manager.settimeout(10)
        manager.bind(str(tmp_path / "notify"))
        more = dict(served.keys, NOTIFY_SOCKET=str(tmp_path / "notify"))
        words = ["i-demo", "0:%d" % echo.port, "--json", "--quiet"]
        with ForwardCommand(tmp_path, served, *words, more=more) as command:
            ready = command.event("ready")
            assert manager.recv(1000) == b"READY=1\nSTATUS=1 of 1 tunnels open"
            died_at = time.time()
            served.kill()
            lost = command.event("lost")
            assert lost["time"] - died_at < 20
            assert lost["session_id"] == ready["session_id"] and lost["message"]
            assert manager.recv(1000) == b"STATUS=0 of 1 tunnels open, 1 lost and being resumed"
            command.said(b"new connections wait up to 30 s")
            assert command.stderr.count(b"\n") == 1
            command.process.send_signal(signal.SIGUSR1)
            command.said(b": lost for ")
            assert command.finish(signal.SIGTERM) == 143


def test_a_connection_that_comes_back_is_told_in_every_place(forward, service, echo, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(str(tmp_path / "notify"))
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with forward(NODE, "0:%d" % echo.port, "--json", more=more) as command:
            ready = command.event("ready")
            assert manager.recv(1000) == b"READY=1\nSTATUS=1 of 1 tunnels open"
            service.session().drop_connection()
            assert command.event("lost")["port"] == ready["port"]
            assert command.event("reconnected")["session_id"] == ready["session_id"]
            assert manager.recv(1000) == b"STATUS=0 of 1 tunnels open, 1 lost and being resumed"
            assert manager.recv(1000) == b"STATUS=1 of 1 tunnels open"
            command.wait_for(lambda: command.stderr.count(b" leads to port ") == 2)
            assert ask(ready["port"]) == b"hello"


def test_an_address_beyond_loopback_is_warned_of(forward, echo):
    with forward(NODE, "0:%d" % echo.port, "--bind", "0.0.0.0", "--json") as command:
        assert command.event("ready")["local"].startswith("0.0.0.0:")
        assert b"ssm-plugin: warning: whoever can reach 0.0.0.0 port " in command.stderr


def test_a_port_in_use_starts_nothing(forward, service, echo):
    sessions = len(service.sessions())
    with bind_tcp() as taken:
        line = failure(forward(NODE, "0:1", "%d:%d" % (taken.port, echo.port)))
    assert "cannot listen on 127.0.0.1 port %d: it is in use" % taken.port in line
    assert len(service.sessions()) == sessions


def test_no_permission_for_the_sockets_path(forward, service, tmp_path):
    sessions = len(service.sessions())
    if os.getuid():
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
    else:
        folder = "/proc"  # where nobody can make a socket
    line = failure(forward(NODE, "80", "--unix", "%s/socket" % folder))
    assert "cannot listen on unix socket %s/socket" % folder in line
    assert len(service.sessions()) == sessions


def test_a_node_that_refuses_the_host_at_once_ends_it_in_one_line(forward, service):
    with forward(NODE, "0:127.0.0.1:80", "--quiet", "--json") as command:
        assert command.finish() == 255
    assert command.stderr.count(b"\n") == 1
    assert b"Forwarding to IP address 127.0.0.1 is forbidden." in command.stderr
    assert b"some nodes refuse their own address: leave the host out" in command.stderr


def test_a_closed_remote_port(forward, service):
    with bind_tcp() as closed:
        port = closed.port
    with forward(NODE, "0:%d" % port, "--json", "--quiet") as command:
        assert ask(command.event("ready")["port"]) == b""
        error = command.event("error")
        assert "could not connect to port %d of i-1" % port in error["message"]
        assert error["retry_in"] is None
        assert command.finish(signal.SIGTERM) == 143
    assert command.stderr.count(b"\n") == 1 and b"could not connect" in command.stderr


@pytest.mark.parametrize(
    "arguments, wanted",
    [
        ([NODE, "80"], "names one port"),
        ([NODE, "0:80", "--unix", "/x", "0:81"], "--unix is for one FORWARD"),
        ([NODE, "80", "--unix", "/x", "--bind", "0.0.0.0"], "--unix is for one FORWARD"),
        ([NODE], "required"),
        (["i-unknown", "0:80"], "TargetNotConnected"),
        ([NODE, "0:80", "--ready-file", "/no/such/directory/x"], "cannot write the ready file"),
        ([NODE, "0:80", "--ready-file", ""], "cannot write the ready file ''"),
        ([NODE, "0:80", "--bind", "no.such.host.example"], "not an address of this machine"),
    ],
)
def test_what_cannot_work_is_one_line_and_a_failure(forward, service, arguments, wanted):
    assert wanted in failure(forward(*arguments))


def test_a_service_that_refuses(forward, service):
    service.answer_with("StartSession", "AccessDeniedException", "no")
    assert "need the permission ssm:StartSession" in failure(forward(NODE, "0:80"))


def test_one_that_fails_ends_the_others(forward, service):
    service.answer_with("StartSession", "AccessDeniedException", "no")
    with forward(NODE, "0:80", "0:81", "0:82", "--json", "--quiet") as command:
        assert command.finish() == 255
    ended = [event for event in command.events if event["event"] == "ended"]
    assert len(ended) == 3 and len([event for event in ended if event["message"]]) == 1


def test_a_signal_while_it_starts(forward, service, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        url = "http://127.0.0.1:%d" % silent.getsockname()[1]
        with forward(NODE, "0:80", more={"AWS_ENDPOINT_URL": url}) as command:
            silent.settimeout(10)
            connection, _ = silent.accept()
            began = time.monotonic()
            assert command.finish(signal.SIGTERM) == 143
            assert time.monotonic() - began < 15
            connection.close()


def test_a_reader_of_events_that_is_gone_ends_it(service, echo, tmp_path):
    reader, writer = os.pipe()
    with ForwardCommand(
        tmp_path, service, NODE, "0:%d" % echo.port, "--json", stdout=writer
    ) as command:
        os.close(writer)
        assert b"ready" in os.read(reader, 4096)
        os.close(reader)
        service.session().terminate()
        assert command.finish() == 128 + signal.SIGPIPE


def test_a_terminal_that_is_gone_ends_nothing(service, echo, tmp_path):
    ready = tmp_path / "ready"
    reader, writer = os.pipe()
    os.close(reader)
    command = ForwardCommand(
        tmp_path, service, NODE, "0:%d" % echo.port, "--ready-file", str(ready), stderr=writer
    )
    os.close(writer)
    with command:
        command.wait_until(ready.exists)
        port = int(ready.read_text().split(":")[1])
        assert ask(port) == b"hello"
        assert command.finish(signal.SIGTERM) == 143


def test_a_terminal_that_takes_nothing_holds_up_nothing(service, echo, tmp_path):
    ready = tmp_path / "ready"
    reader, writer = os.pipe()
    fill(writer)
    words = [NODE, "0:%d" % echo.port, "--ready-file", str(ready)]
    with ForwardCommand(tmp_path, service, *words, stderr=writer) as command:
        command.wait_until(ready.exists)
        port = int(ready.read_text().split(":")[1])
        assert ask(port) == b"hello"
        began = time.monotonic()
        assert command.finish(signal.SIGTERM) == 143
        assert time.monotonic() - began < 15
    os.close(reader)
    os.close(writer)


def fill(writer):
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 1000)
    except BlockingIOError:
        os.set_blocking(writer, True)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of others are Linux's")
def test_connections_beyond_the_limit_of_open_files_wait_for_their_turn(forward, echo):
    with forward(NODE, "0:%d" % echo.port, "--json") as command:
        port = command.event("ready")["port"]
        resource.prlimit(command.process.pid, resource.RLIMIT_NOFILE, (30, 30))
        several = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(30)]
        assert "raise the limit of open files" in command.event("error")["message"]
        for sock in several:
            sock.close()
        # Those that are closed make room, although no descriptor is left to find out with.
        assert ask(port) == b"hello"


def test_the_demo_of_it(tmp_path, echo):
    with ForwardCommand(tmp_path, None, "0:%d" % echo.port, "--json") as command:
        assert ask(command.event("ready")["port"]) == b"hello"
        assert command.finish(signal.SIGTERM) == 143
