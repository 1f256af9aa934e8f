"""Our own ``shell``: starts the session itself, on stdout nothing but the node's output."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from ssm_plugin.commands.shell import parameters_from
from ssm_plugin.errors import UsageError
from tests.support.drop_in import DropIn
from tests.support.http_server import HttpServer, reply

SHELL = [sys.executable, "-m", "ssm_plugin", "shell"]


@pytest.fixture
def caller(tmp_path, service):
    caller = DropIn(tmp_path, service)
    caller.environ.update(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=service.endpoint_url)
    return caller


def test_parameters_are_gathered_by_name():
    pairs = ["command=a=b", "x=1", "x=2", "empty="]
    assert parameters_from(pairs) == {"command": ["a=b"], "x": ["1", "2"], "empty": [""]}


@pytest.mark.parametrize("pair", ["command", "=value", ""])
def test_a_parameter_that_is_none_is_refused(pair):
    with pytest.raises(UsageError) as caught:
        parameters_from([pair])
    assert repr(pair) in str(caught.value)


def test_notices_go_to_stderr_and_output_to_stdout(caller):
    done = caller.call(SHELL + ["i-demo"], b"echo $((6*7)); exit\n")
    session = caller.service.session()
    assert (done.status, session.is_over) == (0, True)
    assert b"\n42\r\n" in done.stdout and b"session" not in done.stdout.lower()
    assert done.stderr.decode() == (
        "\nStarting session with SessionId: {0}\n\n\nExiting session with sessionId: {0}.\n\n"
    ).format(session.session_id)


def test_quiet_shows_no_notices(caller):
    done = caller.call(SHELL + ["i-demo", "--quiet"], b"echo $((6*7)); exit\n")
    assert (done.status, done.stderr) == (0, b"")
    assert b"\n42\r\n" in done.stdout


def test_quiet_keeps_errors(caller):
    caller.service.answer_with("StartSession", "TargetNotConnected", "i-demo is not connected.")
    done = caller.call(SHELL + ["i-demo", "--quiet"])
    assert (done.status, done.stdout) == (255, b"")
    assert b"i-demo" in done.stderr and done.stderr.count(b"\n") == 1


def test_quiet_still_tells_why_the_service_ended_the_session(caller):
    with caller.spawn(SHELL + ["i-demo", "--quiet"]) as process:
        process.stdin.write(b"echo $((6*7))\n")
        process.stdin.flush()
        seen = b""
        while b"\n42\r\n" not in seen:
            seen += os.read(process.stdout.fileno(), 1000)
        session = caller.service.session()
        session.terminate("Your session has expired.")
        process.wait(15)
        assert process.stderr.read().decode() == (
            "ssm-plugin: SessionId: %s : Your session has expired.\n" % session.session_id
        )


def test_a_configured_name_stands_for_its_target(caller):
    file = caller.home.path / "config.yaml"
    file.write_text("targets: {db1: i-0123456789abcdef0}\n")
    done = caller.call(SHELL + ["db1", "--config", str(file), "--reason", "why not"], b"exit\n")
    assert done.status == 0
    request = caller.service.session().request
    assert (request.target, request.reason) == ("i-0123456789abcdef0", "why not")


def test_a_document_and_its_parameters_are_passed_on(caller):
    document = ["--document-name", "AWS-StartInteractiveCommand"]
    done = caller.call(SHELL + ["i-demo", "--parameter", "command=printf hello"] + document)
    assert (done.status, done.stdout) == (0, b"hello")


def test_what_the_service_refuses_is_one_line(caller):
    caller.service.answer_with("StartSession", "TargetNotConnected", "i-demo is not connected.")
    done = caller.call(SHELL + ["i-demo"])
    assert (done.status, done.stdout) == (255, b"")
    assert b"i-demo" in done.stderr and done.stderr.count(b"\n") == 1


def test_a_signal_while_the_service_is_slow_to_start_the_session(caller):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        url = "http://127.0.0.1:%d" % silent.getsockname()[1]
        with caller.spawn(SHELL + ["i-demo", "--endpoint-url", url]) as process:
            connection, _ = silent.accept()
            connection.recv(1)
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=40)
            connection.close()
    assert (process.returncode, stdout) == (143, b"")
    assert stderr.startswith(b"ssm-plugin: interrupted ") and stderr.count(b"\n") == 1


def test_a_session_that_starts_after_the_signal_is_terminated(caller):
    asked, may_answer = threading.Event(), threading.Event()

    def answer(request):
        if request.headers["x-amz-target"] != "AmazonSSM.StartSession":
            caller.service.session(request.json()["SessionId"]).terminate()
            return reply(200, {})
        asked.set()
        may_answer.wait(10)
        return reply(200, caller.start().response)

    with HttpServer(answer) as api:
        argv = SHELL + ["i-demo", "--endpoint-url", api.url]
        with caller.spawn(argv, stdin=subprocess.DEVNULL) as process:
            assert asked.wait(10)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            may_answer.set()
            process.communicate(timeout=40)
    assert process.returncode == 130
    assert caller.service.session().is_over
