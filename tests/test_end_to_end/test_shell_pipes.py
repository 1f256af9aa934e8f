"""Shells and interactive commands without a terminal: pipes, files, cron, CI."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from ssm_plugin.terminal.wake import writable
from tests.support.drop_in import TARGET, DropIn, with_built_file
from tests.support.service import local_service

INTERACTIVE = "AWS-StartInteractiveCommand"


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def drop_in(tmp_path, service):
    return DropIn(tmp_path, service)


def asked(drop_in, line):
    return drop_in.start(INTERACTIVE, {"command": [line]})


def lines_between(done, started):
    """The node's output: what stands between our first and our last line."""
    session_id = started.session_id.encode("ascii")
    first = b"\nStarting session with SessionId: %s\n" % session_id
    last = b"\n\nExiting session with sessionId: %s.\n\n" % session_id
    assert done.stdout.startswith(first) and done.stdout.endswith(last), done
    return done.stdout[len(first):-len(last)]


# Input


@pytest.mark.parametrize("stdin", [b"echo $((6*7)); exit\n", b"echo $((6*7))\n", b"echo $((6*7))"])
def test_the_answer_to_a_piped_line_comes_back(drop_in, stdin):
    started = drop_in.start()
    done = drop_in.run(started, stdin)
    assert (done.status, done.stderr) == (0, b"")
    assert b"\n42\r\n" in lines_between(done, started)
    assert started.session.is_over


@pytest.mark.e2e
def test_the_aws_cli_passes_a_pipe_on(tmp_path, service, zipapp, aws_cli):
    drop_in = DropIn(tmp_path)
    environ = with_built_file(drop_in.environ, zipapp)
    argv = [aws_cli, "ssm", "start-session", "--target", TARGET, "--region", "eu-west-1"]
    argv += ["--endpoint-url", service.endpoint_url]
    done = drop_in.call(argv, b"uname -n; exit\n", environ)
    assert (done.status, done.stderr) == (0, b"")
    assert b"\n%s\r\n" % os.fsencode(os.uname().nodename) in done.stdout
    assert service.open_sessions() == []


@pytest.mark.parametrize(
    "argv", [["env", "-i"], ["setsid"], ["nohup"], ["sh", "-c", 'exec "$@"; :', "sh"]]
)
def test_the_built_file_runs_from_anywhere(tmp_path, service, zipapp, argv):
    drop_in = DropIn(tmp_path, service, [sys.executable, str(zipapp)])
    drop_in.environ["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]  # which is filled
    started = drop_in.start()
    argv = argv + drop_in.argv(started, json.dumps(started.response))
    done = drop_in.call(argv, b"echo $((6*7)); exit\n")
    assert done.status == 0
    assert b"\n42\r\n" in done.stdout


def test_input_may_be_far_longer_than_any_buffer(drop_in):
    """As a shell reads it: a here-document of many lines."""
    started = drop_in.start()
    line = b"x" * 99 + b"\n"
    stdin = b"stty -echo\ncksum <<'END'\n" + line * 5000 + b"END\nexit\n"
    done = drop_in.run(started, stdin)
    expected = subprocess.check_output(["cksum"], input=line * 5000).split()[0]
    assert done.status == 0
    assert b" %s 500000\r\n" % expected in done.stdout


@pytest.mark.parametrize("line", ["cat", "cat; cat", "exec cat"])
def test_the_end_of_input_reaches_whoever_reads_it(drop_in, line):
    started = asked(drop_in, "echo ready; " + line)
    done = drop_in.run(started, b"one\ntwo")
    assert done.status == 0
    assert b"one\r\ntwo" in lines_between(done, started)


def test_a_command_that_waits_without_a_word_gets_its_input_after_a_while(drop_in, tmp_path):
    """Before its echo it prints nothing, so nothing tells that the session is open."""
    started = asked(drop_in, "stty -echo; cat > %s/file" % tmp_path)
    done = drop_in.run(started, b"one\ntwo\n")
    assert (done.status, lines_between(done, started)) == (0, b"")
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"


def test_input_is_never_searched_for_escapes(drop_in):
    started = asked(drop_in, "stty -echo; echo ready; cat")
    done = drop_in.run(started, b"~.\n~?\n~~\n")
    assert lines_between(done, started) == b"ready\r\n~.\r\n~?\r\n~~\r\n"


# Output


def test_output_to_a_reader_that_comes_late_is_complete(drop_in):
    """The node is done before anybody reads: what it sent waits here."""
    started = asked(drop_in, "seq 1 200000")
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        drop_in.service.wait_for(lambda: started.session.is_over)
        stdout, stderr = process.communicate(timeout=40)
    assert (process.returncode, stderr) == (0, b"")
    assert stdout.count(b"\r\n") == 200000
    assert b"\r\n200000\r\n\n\nExiting" in stdout


def test_a_reader_that_has_seen_enough_ends_the_session(drop_in):
    started = asked(drop_in, "yes")
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        process.stdout.read(1000)
        process.stdout.close()
        process.stdin.close()
        assert process.wait(15) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""
    assert started.session.is_over


def test_a_full_device_is_one_line_and_a_failure(drop_in):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    started = asked(drop_in, "echo hello")
    with open("/dev/full", "wb") as full:
        process = drop_in.spawn(drop_in.argv(started), drop_in.variables(started), stdout=full)
        with process:
            _, stderr = process.communicate(timeout=40)
    assert process.returncode == 255
    assert stderr == b"ssm-plugin: cannot write to standard output: No space left on device\n"
    assert started.session.is_over


def test_a_signal_ends_it_while_nobody_reads_its_output(drop_in):
    started = asked(drop_in, "yes")
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 143
    assert started.session.is_over


def test_an_escape_ends_it_while_nobody_reads_its_output(drop_in):
    started = asked(drop_in, "yes")
    reader, writer = os.pipe()
    try:
        with drop_in.on_terminal(started, stdout=writer) as program:
            tick = threading.Event()
            while writable(writer):
                tick.wait(0.01)
            program.send(b"\r~.")
            assert program.wait() == 0
            assert program.attributes() == program.first_attributes
    finally:
        os.close(reader)
        os.close(writer)
    assert started.session.is_over


# With a handshake


@pytest.mark.parametrize("document, line", [("", "exit"), (INTERACTIVE, "")])
def test_a_handshake_changes_nothing(tmp_path, document, line):
    with local_service(faults="force-handshake") as service:
        drop_in = DropIn(tmp_path, service)
        started = drop_in.start(document, {"command": ["echo hello"]} if document else None)
        done = drop_in.run(started, b"echo hello\nexit\n")
    assert (done.status, done.stderr) == (0, b"")
    assert b"hello\r\n" in lines_between(done, started)


def test_an_interactive_command_on_a_terminal(drop_in):
    started = asked(drop_in, "echo ready; read line; echo got-$line; stty size")
    with drop_in.on_terminal(started, cols=97, rows=31) as program:
        program.expect(b"ready")
        program.send(b"it\r")
        program.expect(b"got-it")
        program.expect(b"31 97")
        assert program.wait() == 0
        assert program.attributes() == program.first_attributes
    assert started.session.is_over


def test_an_interactive_command_on_a_terminal_with_a_handshake(tmp_path):
    with local_service(faults="force-handshake") as service:
        drop_in = DropIn(tmp_path, service)
        with drop_in.on_terminal(asked(drop_in, "echo ready; exec cat")) as program:
            program.expect(b"ready\r\n")
            program.send(b"it\r")
            program.expect(b"it\r\nit\r\n")
            program.send(b"\x03")
            assert program.wait() == 0
        assert service.open_sessions() == []
