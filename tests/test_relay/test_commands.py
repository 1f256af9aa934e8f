"""``--speed`` on the command line, with real programs at both ends."""

import hashlib
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.support import program
from tests.support.drop_in import DropIn
from tests.support.echo import EchoServer
from tests.support.pty import ROOT
from tests.support.service import local_service
from tests.support.serving import DemoService
from tests.support.ssh import HOST, OURS, ssh_through_a_session
from tests.support.tunnels import ForwardCommand

TIME_LIMIT = 40.0


@pytest.fixture(autouse=True)
def quick_python(monkeypatch):
    """The first python3 on PATH is a program, and not a script of some version manager."""
    monkeypatch.setenv("PATH", "/usr/bin:" + os.environ["PATH"])


def with_speed(speed):
    return OURS.replace("ssh --quiet", "ssh --quiet --speed " + speed)


def documents(service):
    return sorted(one.request.document_name for one in service.sessions())


def test_ssh_runs_commands_and_copies_files_both_ways(tmp_path):
    blob = os.urandom(3 << 20)
    with ssh_through_a_session(tmp_path, with_speed("fast"), faults="pace=1.2ms") as client:
        assert client.run("ssh", "exit 9").returncode == 9
        (tmp_path / "blob").write_bytes(blob)
        for source, copy in (
            ("%s:%s" % (HOST, tmp_path / "blob"), str(tmp_path / "down")),
            (str(tmp_path / "blob"), "%s:%s" % (HOST, tmp_path / "up")),
        ):
            done = client.run("scp", source, copy)
            assert (done.returncode, done.stderr) == (0, b"")
        for name in ("down", "up"):
            copied = hashlib.sha256((tmp_path / name).read_bytes()).digest()
            assert copied == hashlib.sha256(blob).digest()
        assert documents(client.service) == ["AWS-StartNonInteractiveCommand"] * 3 + [
            "AWS-StartSSHSession"
        ] * 3


def test_ssh_is_plain_under_auto_where_the_second_document_is_forbidden(tmp_path):
    with ssh_through_a_session(tmp_path, with_speed("auto")) as client:
        client.service.ssm.answer_with("StartSession", "AccessDeniedException")
        done = client.run("ssh", "exit 9")
        assert (done.returncode, done.stderr) == (9, b"")
        assert documents(client.service) == ["AWS-StartSSHSession"]


def test_ssh_says_in_one_line_why_it_cannot_be_fast(tmp_path):
    with ssh_through_a_session(tmp_path, with_speed("fast")) as client:
        client.service.ssm.answer_with("StartSession", "AccessDeniedException")
        done = client.run("ssh", "exit 9")
        assert done.returncode == 255
        (line,) = [one for one in done.stderr.splitlines() if b"ssm-plugin:" in one]
        assert b"AccessDenied" in line and b"--speed auto or plain" in line


def stdio(tmp_path, service, port, data, words=("--speed", "fast", "i-0123456789abcdef0")):
    """``ssm-plugin ssh`` as a program that carries bytes."""
    home = tmp_path / "home-of-stdio"
    home.mkdir()
    environ = dict(DropIn(home, service).environ, PYTHONPATH=ROOT)
    environ.update(AWS_ENDPOINT_URL=service.endpoint_url, AWS_REGION="us-east-1")
    argv = [sys.executable, "-m", "ssm_plugin", "ssh", "--quiet", *words, str(port)]
    return program.run(argv, TIME_LIMIT, data, env=environ)


def test_the_end_of_input_reaches_the_target_and_its_answer_comes_back(tmp_path):
    data = bytes(range(256)) * 8192
    with EchoServer() as echo, local_service() as service:
        began = time.monotonic()
        done = stdio(tmp_path, service, echo.port, data)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == data
        assert time.monotonic() - began < 25  # a plain one waits 30 s for what may still come
        service.wait_for(lambda: not service.open_sessions())


def test_the_speed_of_a_target_counts_where_its_name_comes_without_capitals(tmp_path):
    """OpenSSH gives names of hosts so."""
    path = tmp_path / "config.yaml"
    path.write_text("targets: {DB1: {id: i-0123456789abcdef0, speed: fast}}\n")
    with EchoServer() as echo, local_service() as service:
        done = stdio(tmp_path, service, echo.port, b"x", ("--config", str(path), "db1"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"x", b"")
        assert "AWS-StartNonInteractiveCommand" in documents(service)


def test_a_port_that_refuses_is_told_in_one_line(tmp_path):
    with socket.socket() as closed, local_service() as service:
        closed.bind(("127.0.0.1", 0))
        done = stdio(tmp_path, service, closed.getsockname()[1], b"")
        assert done.returncode == 255
        assert b"could not connect to port" in done.stderr and done.stderr.count(b"\n") == 1


def test_forward_tells_its_events_as_ever(tmp_path):
    with EchoServer() as echo, local_service() as service:
        arguments = ["i-0123456789abcdef0", "0:%d" % echo.port, "--json", "--speed", "fast"]
        with ForwardCommand(tmp_path, service, *arguments) as command:
            port = command.event("ready")["port"]
            assert ask(port) == b"hello"
            command.event("connection")
        service.wait_for(lambda: not service.open_sessions())


def test_one_relay_serves_all_ports_and_an_unread_one_holds_up_no_other(tmp_path):
    with EchoServer() as echo, socket.socket() as listener, local_service() as service:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(TIME_LIMIT)
        forwards = ["0:%d" % listener.getsockname()[1], "0:localhost:%d" % echo.port]
        arguments = ["i-0123456789abcdef0", "--json", "--speed", "fast"] + forwards
        with ForwardCommand(tmp_path, service, *arguments) as command:
            ready = [command.event("ready", number) for number in (1, 2)]
            unread, echoed = [
                next(one["port"] for one in ready if one["host"] == host)
                for host in (None, "localhost")
            ]
            with socket.create_connection(("127.0.0.1", unread), TIME_LIMIT):
                flood = listener.accept()[0]
                flood.settimeout(0.5)
                with flood, pytest.raises(socket.timeout):
                    while True:
                        flood.send(bytes(1 << 20))
                assert ask(echoed) == b"hello"
            assert documents(service) == ["AWS-StartNonInteractiveCommand"] + [
                "AWS-StartPortForwardingSession"
            ] * 2
        service.wait_for(lambda: not service.open_sessions())


def ask(port):
    with socket.create_connection(("127.0.0.1", port), TIME_LIMIT) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as incoming:
            return incoming.read()


def children_of(pid):
    listed = subprocess.check_output(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)])
    return [line for line in listed.splitlines() if b"binascii, errno" in line]


def test_no_relay_outlives_the_node_s_agent(tmp_path):
    with EchoServer() as echo, DemoService(tmp_path) as service:
        arguments = ["i-demo", "0:%d" % echo.port, "--json", "--speed", "fast"]
        with ForwardCommand(tmp_path, service, *arguments, more=service.keys) as command:
            assert ask(command.event("ready")["port"]) == b"hello"
            (relay,) = children_of(service.process.pid)
            service.kill()
            path = "/proc/%d" % int(relay.split()[0])
            command.wait_until(lambda: not os.path.exists(path))
