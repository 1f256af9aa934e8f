"""The start line, and what a silent terminal is told."""

import contextlib
import os
import socket
import sys

import pytest

from tests.support.drop_in import DropIn
from tests.support.pty import PtyProcess
from tests.support.service import local_service

from .test_dropin import read_until

FORWARDING = "AWS-StartPortForwardingSession"
SSH = "AWS-StartSSHSession"
OURS = [sys.executable, "-m", "ssm_plugin", "shell", "i-demo"]
FIRST_OUTPUT = b"ssm-plugin: waiting for the node's first output; Ctrl-C ends it, or Enter ~. "


@contextlib.contextmanager
def silent_gateway(started):
    """Takes the connection of that session's client, and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        started.response["StreamUrl"] = "ws://127.0.0.1:%d/" % silent.getsockname()[1]
        yield silent


@pytest.fixture
def slow(tmp_path):
    """A drop-in whose nodes' shells wait for a line in ``slow.home.path / "go"``. It gives up after
    half a second where nobody watches."""
    go = tmp_path / "go"
    os.mkfifo(str(go))
    line = "read line <%s; PS1='ready> ' exec /bin/sh" % go
    with local_service(shell=("/bin/sh", "-c", line)) as service:
        drop_in = DropIn(tmp_path, service)
        drop_in.go = go
        file = tmp_path / "config.yaml"
        file.write_text("network: {first_output_timeout: 500ms}\n")
        drop_in.environ["SSM_PLUGIN_CONFIG"] = str(file)
        drop_in.environ.update(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=service.endpoint_url)
        yield drop_in


def start_line(started):
    return b"\nStarting session with SessionId: %s\n" % started.session_id.encode("ascii")


def test_the_start_line_of_a_tunnel_comes_before_connecting(drop_in):
    started = drop_in.start(FORWARDING, {"portNumber": ["9"]})
    with silent_gateway(started):
        with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
            said = read_until(process.stdout, b"\n" + start_line(started).strip() + b"\n")
            process.kill()
            assert said + process.stdout.read() == start_line(started)


@pytest.mark.parametrize("document", ["", SSH])
def test_what_may_be_a_stream_waits_for_the_node_to_say_so(drop_in, document):
    started = drop_in.start(document, {"portNumber": ["9"]})
    with silent_gateway(started) as silent:
        with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
            connection, _ = silent.accept()
            connection.recv(1)
            process.kill()
            assert process.stdout.read() == b""
            connection.close()


@pytest.mark.parametrize("document", ["", FORWARDING, SSH])
def test_on_a_terminal_it_comes_at_once_and_then_what_is_waited_for(drop_in, document):
    started = drop_in.start(document, {"portNumber": ["9"]})
    with silent_gateway(started), drop_in.on_terminal(started) as program:
        program.expect(start_line(started).replace(b"\n", b"\r\n"))
        program.expect(b"ssm-plugin: connecting; Ctrl-C ends it\r\n")
        program.send(b"\x03")
        program.wait()
        assert program.output.count(b"connecting;") == 1
        assert program.output.count(b"Starting session") == 1


def test_a_shell_that_takes_long_is_waited_for_on_a_terminal(slow):
    started = slow.start()
    with slow.on_terminal(started) as program:
        program.expect(FIRST_OUTPUT)
        slow.go.write_text("go\n")
        program.expect(b"ready> ")
        program.send(b"exit\r")
        assert program.wait() == 0
        assert program.output.count(b"first output") == 1
        assert program.output.count(b"Starting session") == 1


def test_our_own_shell_waits_as_well(slow):
    with PtyProcess(OURS, env=slow.environ) as program:
        program.expect(FIRST_OUTPUT)
        slow.go.write_text("go\n")
        program.expect(b"ready> ")
        program.send(b"exit\r")
        assert program.wait() == 0


def test_ctrl_c_leaves_while_the_first_output_is_waited_for(slow):
    with slow.on_terminal(slow.start()) as program:
        program.expect(FIRST_OUTPUT)
        program.send(b"\x03")
        assert program.wait() == 130
    slow.wait_until_over()


def test_a_raw_terminal_is_told_how_to_leave_it(tmp_path):
    """An encrypted session begins with a handshake: the terminal is raw before the first output."""
    go = tmp_path / "go"
    os.mkfifo(str(go))
    key = "arn:aws:kms:us-east-1:000000000000:key/1"
    with local_service(shell=("/bin/sh", "-c", "read line <%s" % go), kms_key_id=key) as service:
        drop_in = DropIn(tmp_path, service)
        drop_in.environ["AWS_ENDPOINT_URL"] = service.endpoint_url
        with drop_in.on_terminal(drop_in.start()) as program:
            program.expect(b"ssm-plugin: waiting for the node's first output; Enter ~. ends it\r\n")
            program.send(b"\r~.")
            assert program.wait() == 0
            assert program.output.count(b"first output") == 1
        drop_in.wait_until_over()


def test_where_nobody_watches_there_is_a_limit_which_is_a_setting(slow):
    done = slow.run(slow.start())
    assert (done.status, done.stdout) == (255, b"")
    assert b"the node sent nothing within 0.5 s" in done.stderr
    assert b"'first_output_timeout' below 'network'" in done.stderr
    slow.wait_until_over()
