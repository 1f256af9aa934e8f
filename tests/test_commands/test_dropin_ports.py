"""Port sessions of the drop-in: how they end, where they listen, and who says so."""

import os
import signal
import socket
import sys

import pytest

from ssm_plugin.commands import parent
from tests.support.echo import EchoServer
from tests.support.pty import PtyProcess
from tests.support.service import local_service

from .test_dropin import read_until

FORWARDING = "AWS-StartPortForwardingSession"
SSH = "AWS-StartSSHSession"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

needs_watch = pytest.mark.skipif(
    parent._open(os.getppid()) is None, reason="this system has no way to watch"
)


@pytest.fixture(scope="module")
def service():
    with local_service() as service, EchoServer() as target:
        service.target = target
        yield service


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def forwarding(drop_in, **parameters):
    values = dict({"portNumber": str(drop_in.service.target.port)}, **parameters)
    return drop_in.start(FORWARDING, {name: [value] for name, value in values.items()})


def farewell(started):
    end = "Terminate signal received, exiting.\n\n\nExiting session with sessionId: %s.\n\n"
    return (end % started.session_id).encode("ascii")


def is_open(port):
    with socket.socket() as sock:
        sock.settimeout(5.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


# Told to end


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_port_session_that_is_told_to_end_says_so_and_ends_with_0(drop_in, signum):
    started = forwarding(drop_in)
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        read_until(process.stdout, b"Waiting for connections...\n")
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=40)
    assert (process.returncode, stderr) == (0, b"")
    assert stdout == farewell(started)
    drop_in.wait_until_over()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_says_it_aside(drop_in, signum):
    started = drop_in.start(SSH, {"portNumber": [str(drop_in.service.target.port)]})
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        process.stdin.write(b"x")
        process.stdin.flush()
        read_until(process.stdout, b"x")
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=40)
    assert (process.returncode, stdout) == (0, b"")
    assert stderr.endswith(farewell(started))
    drop_in.wait_until_over()


def test_the_hang_up_by_which_openssh_ends_it_is_no_failure_and_nothing_to_read_about(drop_in):
    started = drop_in.start(SSH, {"portNumber": [str(drop_in.service.target.port)]})
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        process.stdin.write(b"x")
        process.stdin.flush()
        read_until(process.stdout, b"x")
        process.send_signal(signal.SIGHUP)
        stdout, stderr = process.communicate(timeout=40)
    assert (process.returncode, stdout) == (0, b"")
    assert stderr.count(b"\n") == 2 and b"Starting session" in stderr
    drop_in.wait_until_over()


def test_also_while_connecting(drop_in):
    started = forwarding(drop_in)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        started.response["StreamUrl"] = "ws://127.0.0.1:%d/" % silent.getsockname()[1]
        with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=40)
            connection.close()
    assert process.returncode == 0
    assert stdout.endswith(farewell(started)) and stdout.count(b"Starting session") == 1
    drop_in.wait_until_over()


def test_packers_tunnel_survives_the_hourly_good_bye(drop_in):
    started = forwarding(drop_in)
    argv = drop_in.argv(started)[:-1] + [started.response["StreamUrl"]]
    environ = drop_in.variables(started, AWS_ENDPOINT_URL_SSM=drop_in.service.endpoint_url)
    with drop_in.spawn(argv, environ) as process:
        said = read_until(process.stdout, b"Waiting for connections...\n")
        port = int(said.split(b"Port ")[1].split()[0])
        started.session.misbehave("bye-after=1")
        with socket.create_connection(("127.0.0.1", port), 15) as connection:
            connection.sendall(b"through")
            assert connection.recv(7) == b"through"
        assert started.session.connections == 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 0
    drop_in.wait_until_over()


# Where it listens


@pytest.mark.parametrize("way", ["variable", "file"])
@pytest.mark.parametrize("named", [True, False])
def test_the_user_says_where_port_sessions_listen_and_is_warned(drop_in, way, named):
    more = {"SSM_PLUGIN_LOCAL_HOST": "0.0.0.0"}
    if way == "file":
        file = drop_in.home.path / "config.yaml"
        file.write_text("network: {local_host: 0.0.0.0}\n")
        more = {"SSM_PLUGIN_CONFIG": str(file)}
    started = forwarding(drop_in, **({"localPortNumber": str(free_port())} if named else {}))
    environ = drop_in.variables(started, **more)
    with drop_in.spawn(drop_in.argv(started), environ) as process:
        said = read_until(process.stdout, b"Waiting for connections...\n")
        port = int(said.split(b"Port ")[1].split()[0])
        with open("/proc/net/tcp") as table:
            assert "00000000:%04X 00000000:0000 0A" % port in table.read()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=40)
    assert stderr.decode() == (
        "ssm-plugin: warning: whoever can reach 0.0.0.0 port %d of this machine can use the "
        "tunnel\n" % port
    )


def test_an_address_that_is_not_ours_ends_it_before_it_is_opened(drop_in):
    started = forwarding(drop_in, localPortNumber=str(free_port()))
    done = drop_in.run(started, SSM_PLUGIN_LOCAL_HOST="192.0.2.1")
    assert (done.status, done.stderr.count(b"\n")) == (255, 1)
    assert b"192.0.2.1" in done.stderr
    drop_in.wait_until_over()


# The end of who waits for it

AWS_CLI = """
import signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
    signal.signal(number, signal.SIG_IGN)
subprocess.call(sys.argv[1:])
"""
# Starts it, and leaves once it is told to. What the argument names marks that it does not wait.
LAUNCHER = """
import os, signal, subprocess, sys
how = sys.argv[1]
if how == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
if how == "background":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
child = subprocess.Popen(sys.argv[2:], start_new_session=how == "setsid")
sys.stderr.write("%d\\n" % child.pid)
sys.stderr.flush()
sys.stdin.read()
os._exit(0)
"""


@needs_watch
@pytest.mark.parametrize("nohup", [False, True])
def test_its_port_is_free_once_the_aws_cli_that_waits_was_killed(drop_in, nohup):
    port = free_port()
    started = forwarding(drop_in, localPortNumber=str(port))
    argv = [sys.executable, "-c", AWS_CLI] + drop_in.argv(started)
    if nohup:
        argv = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] + argv
    with drop_in.spawn(argv, drop_in.variables(started)) as process:
        read_until(process.stdout, b"Waiting for connections...\n")
        process.kill()
        assert process.stdout.read().endswith(farewell(started))
    assert not is_open(port)
    drop_in.wait_until_over()


@pytest.mark.parametrize("how", ["setsid", "nohup", "background", "plainly"])
def test_a_launcher_that_does_not_wait_may_leave(drop_in, how):
    port = free_port()
    started = forwarding(drop_in, localPortNumber=str(port))
    argv = [sys.executable, "-c", LAUNCHER, how] + drop_in.argv(started)
    with drop_in.spawn(argv, drop_in.variables(started)) as process:
        pid = int(process.stderr.readline())
        try:
            read_until(process.stdout, b"Waiting for connections...\n")
            process.stdin.close()
            assert process.wait(15) == 0
            with socket.create_connection(("127.0.0.1", port), 15) as connection:
                connection.sendall(b"still here")
                assert connection.recv(10) == b"still here"
        finally:
            os.kill(pid, signal.SIGTERM)
        assert process.stdout.read().endswith(farewell(started))
    drop_in.wait_until_over()


def test_ctrl_c_on_a_terminal_as_the_aws_cli_starts_it(drop_in):
    started = forwarding(drop_in)
    argv = [sys.executable, "-c", AWS_CLI] + drop_in.argv(started)
    with PtyProcess(argv, env=drop_in.variables(started)) as program:
        program.expect(b"Waiting for connections...")
        program.send(b"\x03")
        program.expect(farewell(started).replace(b"\n", b"\r\n"))
        program.wait()
    drop_in.wait_until_over()
