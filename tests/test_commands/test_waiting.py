"""``--wait`` on the commands that start sessions, and the line that shows it."""

import os
import signal
import sys

import pytest

from ssm_plugin.commands.waiting import WaitingLine, span, waiting_text
from ssm_plugin.loopback.nodes import LocalNode
from tests.support.commands import Cli
from tests.support.nodes import OFF, service_with
from tests.support.pty import PtyProcess

LATE = LocalNode("i-00000000000000f5e", "late", connects_after=1.0)



@pytest.mark.parametrize(
    "words",
    [
        ["exec", "late", "--wait", "1m", "--", "echo", "hi"],
        ["shell", "late", "--wait", "1m"],
        ["run", "greet", "--wait", "1m"],
    ],
)
def test_a_node_that_connects_within_the_time_is_used(tmp_path, words):
    with service_with(LATE) as service:
        cli = Cli(tmp_path, service)
        cli.configure("jobs: {greet: {target: late, command: echo hi, output: %s/out}}" % tmp_path)
        status, _, stderr = cli.run(*words, input=b"exit\n")
        assert service.ssm.calls("StartSession")[0].error == "TargetNotConnected"
    assert status == 0, stderr
    said = b"ssm-plugin: i-00000000000000f5e is not connected yet: trying again for 1m\n"
    assert stderr.count(said) == 1


@pytest.mark.parametrize("command", ["exec", "shell", "ssh", "forward"])
def test_a_node_that_does_not_is_an_error_when_the_time_is_over(tmp_path, command):
    more = {"exec": ["--", "true"], "forward": ["0:80"]}.get(command, [])
    with service_with(OFF) as service:
        status, _, stderr = Cli(tmp_path, service).run(command, "off", "--wait", "1s", *more)
        assert len(service.ssm.calls("StartSession")) >= 2
    assert status == 255
    assert b"TargetNotConnected" in stderr.splitlines()[-1]


def test_quiet_it_waits_without_a_word(tmp_path):
    with service_with(LATE) as service:
        words = ["exec", "late", "--wait", "1m", "--quiet", "--", "true"]
        assert Cli(tmp_path, service).run(*words) == (0, b"", b"")


@pytest.mark.parametrize("given", ["soon", "0s", "-1"])
def test_a_time_that_is_none_is_a_mistake(tmp_path, given):
    status, _, stderr = Cli(tmp_path).run("shell", "i-1", "--wait=" + given)
    assert (status, stderr.count(b"\n")) == (255, 1)
    assert b"argument --wait" in stderr


def test_on_a_terminal_one_line_is_written_again_and_ctrl_c_ends_it(tmp_path):
    with service_with(OFF) as service:
        cli = Cli(tmp_path, service)
        argv = [sys.executable, "-m", "ssm_plugin", "shell", "off", "--wait", "5m"]
        with PtyProcess(argv, cols=100, env=cli.environ, cwd=str(tmp_path)) as program:
            seen = program.expect(b"is not connected; again in 1s, 5m left; Ctrl-C ends it")
            seen += program.expect(b"again in 2s, ")
            assert b"\n" not in seen.replace(b"^C", b"")
            program.send(b"\x03")
            program.expect(b"interrupted while waiting for %s to connect" % OFF.node_id.encode())
            assert program.wait() == 130


def test_a_signal_ends_it_without_a_terminal(tmp_path):
    with service_with(OFF) as service:
        with Cli(tmp_path, service).start("exec", "off", "--wait", "5m", "--", "true") as process:
            assert b"trying again for 5m" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=40)
        assert process.returncode == 128 + signal.SIGTERM


def test_several_that_wait_share_the_line():
    assert "i-1 and 2 more are not connected; again in 4s, 1m4s left" in waiting_text(
        "i-1", 3, 4.0, 60.0
    )


def test_without_a_terminal_each_node_is_told_once(tmp_path):
    with open(str(tmp_path / "out"), "wb") as file:
        line = WaitingLine(file.fileno())
        for target in ("i-1", "i-2", "i-1"):
            line.waits(target, 1.0, 59.0)
        line.over("i-1")
    told = (tmp_path / "out").read_text().splitlines()
    assert [text.split()[1] for text in told] == ["i-1", "i-2"]


def test_a_reader_that_has_gone_does_not_end_the_waiting():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        WaitingLine(writer).waits("i-1", 1.0, 59.0)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    "seconds, said", [(0, "0s"), (4.4, "4s"), (300, "5m"), (125, "2m5s"), (3900, "1h5m")]
)
def test_spans_are_written_as_the_option_is(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize("cols", [40, 80])
def test_a_narrow_terminal_is_not_filled_to_its_edge(tmp_path, cols):
    with service_with(OFF) as service:
        cli = Cli(tmp_path, service)
        argv = [sys.executable, "-m", "ssm_plugin", "shell", "off", "--wait", "1s"]
        with PtyProcess(argv, cols=cols, env=cli.environ, cwd=str(tmp_path)) as program:
            line = program.expect(b"\r\x1b[K") + program.expect(b"\r\x1b[K")
            assert len(line.replace(b"\r\x1b[K", b"")) <= cols - 3
            assert b"Ctrl" not in line
            assert program.wait() == 255
