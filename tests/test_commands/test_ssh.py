"""``ssm-plugin ssh``: what it asks for, and how it fails. With OpenSSH: test_end_to_end."""

import sys
import threading

import pytest

from ssm_plugin.net.local_end import bind_tcp
from tests.support.drop_in import TIME_LIMIT, DropIn, Finished
from tests.support.echo import EchoServer
from tests.support.service import local_service

COMMAND = [sys.executable, "-m", "ssm_plugin"]


@pytest.fixture(scope="module")
def service():
    with local_service(targets=("i-1", "i-other")) as running:
        yield running


@pytest.fixture
def call(service, tmp_path):
    drop_in = DropIn(tmp_path, service)

    def call(*arguments, **more):
        environ = dict(
            drop_in.environ, AWS_ENDPOINT_URL=service.endpoint_url, AWS_REGION="us-east-1"
        )
        return drop_in.call(COMMAND + list(arguments), more.pop("stdin", b""), environ)

    call.drop_in = drop_in
    return call


def test_every_byte_comes_through_and_nothing_else(call, service):
    with EchoServer() as echo:
        sent = bytes(range(256)) * 100 + b"\n"
        # The far side closes only when it has all, as an SSH server does.
        done = call_and_close(call, ["ssh", "i-1", str(echo.port)], sent)
        assert done.stdout == sent
        assert b"Starting session with SessionId" in done.stderr
    request = service.session().request
    assert (request.target, request.document_name) == ("i-1", "AWS-StartSSHSession")
    assert request.parameters == {"portNumber": [str(echo.port)]}


def call_and_close(call, arguments, sent):
    """Reads what was sent back, then closes both of our ends, as a client does."""
    drop_in = call.drop_in
    environ = dict(
        drop_in.environ, AWS_ENDPOINT_URL=drop_in.service.endpoint_url, AWS_REGION="us-east-1"
    )
    with drop_in.spawn(COMMAND + arguments, environ=environ) as process:
        watchdog = threading.Timer(TIME_LIMIT, process.kill)
        watchdog.start()
        try:
            process.stdin.write(sent)
            process.stdin.flush()
            received = process.stdout.read(len(sent))
            process.stdin.close()
            process.stdout.close()
            stderr = process.stderr.read()
            status = process.wait()
        finally:
            watchdog.cancel()
            watchdog.join()
    return Finished(status, received, stderr)


def test_a_closed_port_is_one_line_and_a_failure(call, service):
    with bind_tcp() as closed:
        port = closed.port
    done = call("ssh", "i-1", str(port), "--quiet")
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"session with port %d of i-1 was ended: unable to connect" % port in done.stderr
    service.wait_for(lambda: not service.open_sessions())


def test_without_quiet_the_reason_is_told_once_too(call):
    with bind_tcp() as closed:
        port = closed.port
    done = call("ssh", "i-1", str(port))
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.count(b"unable to connect") == 1


def test_a_session_that_timed_out_is_one_line_and_a_failure(call, service):
    environ = dict(
        call.drop_in.environ, AWS_ENDPOINT_URL=service.endpoint_url, AWS_REGION="us-east-1"
    )
    with EchoServer() as echo:
        argv = COMMAND + ["ssh", "i-1", str(echo.port), "--quiet"]
        with call.drop_in.spawn(argv, environ=environ) as process:
            process.stdin.write(b"x")
            process.stdin.flush()
            assert process.stdout.read(1) == b"x"
            session = service.session()
            session.misbehave("lose-channel-closed")
            session.terminate()
            session.drop_connection()
            stderr = process.stderr.read()
            assert process.wait(TIME_LIMIT) == 255
    line = "ssm-plugin: the session with port %d of i-1 was ended: timed out\n" % echo.port
    assert stderr == line.encode("ascii")


def test_an_unknown_target_is_one_line_and_a_failure(call):
    done = call("ssh", "i-2")
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.count(b"\n") == 1 and b"TargetNotConnected" in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "ssh", "-5", "\u0662\u0662"])
def test_what_is_no_port(call, service, port):
    sessions = len(service.sessions())
    done = call("ssh", "i-1", port)
    assert done.status == 255
    assert done.stderr.count(b"\n") == 1
    assert len(service.sessions()) == sessions


def test_the_port_is_22_and_the_document_the_users(call, service):
    name = "AWS-StartPortForwardingSession"
    done = call("ssh", "i-1", "--reason", "backup", "--document-name", name)
    request = service.session().request
    assert request.parameters == {"portNumber": ["22"]}
    assert (request.document_name, request.reason) == (name, "backup")
    # It is one that opens a local port instead of a stream.
    assert (done.status, done.stdout) == (255, b"")
    assert b"it must be one like AWS-StartSSHSession" in done.stderr


def test_help_shows_the_lines_for_the_configuration_file(call):
    done = call("ssh", "--help")
    assert done.status == 0
    for line in call("ssh-config").stdout.splitlines()[:2]:
        assert line.strip() in done.stdout


def test_the_demo_of_it(tmp_path):
    with bind_tcp() as closed:
        port = closed.port
    done = DropIn(tmp_path).call(COMMAND + ["demo", "ssh", "i-demo", str(port), "--quiet"])
    assert done.status == 255 and b"unable to connect" in done.stderr
