"""The demo: any command against a local service, which leaves nothing behind."""

import os
import signal
import sys

import pytest

from ssm_plugin.commands import demo
from tests.support.drop_in import DropIn
from tests.support.pty import PtyProcess

DEMO = [sys.executable, "-m", "ssm_plugin", "demo"]


@pytest.fixture
def caller(tmp_path):
    return DropIn(tmp_path)


def call(caller, arguments, stdin=b"", **more):
    return caller.call(DEMO + arguments, stdin, dict(caller.environ, SHELL="/bin/sh", **more))


def test_a_shell_without_a_terminal_prints_the_answer(caller):
    done = call(caller, ["shell"], b"echo $((6*7)); exit\n")
    assert done.status == 0
    assert b"42" in done.stdout
    assert b"Starting session with SessionId: loopback-" in done.stderr


def test_a_shell_on_a_terminal(caller):
    environ = dict(caller.environ, SHELL="/bin/sh", PS1="ready> ")
    with PtyProcess(DEMO + ["shell"], cols=101, rows=33, env=environ) as program:
        before = program.attributes()
        program.expect(b"ready> ")
        program.send(b"stty size\r")
        program.expect(b"33 101")
        program.send(b"exit\r")
        assert program.wait() == 0
        assert program.attributes() == before


def test_the_node_may_be_named_and_options_passed_on(caller):
    done = call(caller, ["shell", "i-other", "--quiet"], b"exit\n")
    assert done.status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo", "hi"],
        ["--", "echo", "hi"],
        ["i-other", "echo", "hi"],
        ["--timeout", "50s", "i-other", "echo", "hi"],
    ],
)
def test_a_command_runs_on_the_node_whether_it_is_named_or_not(caller, arguments):
    done = call(caller, ["exec"] + arguments)
    assert (done.status, done.stdout) == (0, b"hi\n")


def test_faults_are_the_services(caller):
    done = call(caller, ["--faults", "refuse-upgrade", "shell"])
    assert done.status == 255
    assert b"refused the data channel with HTTP status 403" in done.stderr


def test_the_users_own_aws_configuration_is_left_out(caller):
    environ = {"AWS_ENDPOINT_URL_SSM": "https://real.example", "AWS_PROFILE": "real", "X": "1"}
    kept = demo._environ(environ, "http://127.0.0.1:5")
    assert "real" not in repr(kept)
    assert (kept["X"], kept["AWS_ENDPOINT_URL"]) == ("1", "http://127.0.0.1:5")
    caller.home.config("[default]\nignore_configured_endpoint_urls = true\n")
    assert call(caller, ["shell"], b"exit\n", **environ).status == 0


@pytest.mark.parametrize(
    "signum, options", [(signal.SIGTERM, []), (signal.SIGINT, ["--faults", "lose=1%"])]
)
def test_serve_runs_until_a_signal_ends_it(caller, tmp_path, signum, options):
    ready = tmp_path / "ready"
    argv = DEMO + ["serve", "--ready-file", str(ready)] + options
    with caller.spawn(argv) as process:
        text = b""
        while not text.endswith(b"\n\n") or text.count(b"\n") < 5:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece
            text += piece
        assert b"aws ssm start-session --target i-demo --endpoint-url http://127.0.0.1:" in text
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=15)
    assert (process.returncode, stderr) == (0, b"")
    assert ready.read_text().strip().encode() in text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["demo"], b"a demo of the demo is the demo"),
        (["nonsense"], b"there is no command 'nonsense'"),
        (["exec", "--timeout", "5s", "--", "ls"], b"there is no TARGET"),
        (["serve", "--nonsense"], b"unrecognized arguments: --nonsense; see 'ssm-plugin demo s"),
        (["serve", "--faults", "nonsense"], b"cannot read fault 'nonsense'"),
        (["serve", "--ready-file", "/nowhere/at/all"], b"cannot write /nowhere/at/all"),
    ],
)
def test_mistakes_are_one_line(caller, arguments, said):
    done = call(caller, arguments)
    assert done.status == 255
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1
