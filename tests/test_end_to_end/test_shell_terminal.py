"""A shell on a real terminal: everything that a person does there, and every way out of it."""

import hashlib
import os
import shlex
import shutil
import signal
import sys

import pytest

from tests.support.drop_in import TARGET, DropIn, with_built_file
from tests.support.pty import PtyProcess
from tests.support.service import local_service
from tests.support.serving import DemoService

PROMPT = b"ready> "
IGNORED_BY_THE_AWS_CLI = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
RUNNING = b"sh -c 'echo is-$(expr 40 + 2); exec sleep 100'\r"
# Tells the next change of the size, and ends.
WATCH_THE_SIZE = (
    b"sh -c \"trap 'stty size; exit' WINCH; echo watch''ing; while :; do sleep 0.1; done\"\r"
)


@pytest.fixture(scope="module")
def service():
    with local_service(shell=("env", "PS1=" + PROMPT.decode(), "/bin/bash", "--norc")) as service:
        yield service


@pytest.fixture
def drop_in(tmp_path, service):
    return DropIn(tmp_path, service)


@pytest.fixture
def shell(drop_in):
    started = drop_in.start()
    with drop_in.on_terminal(started, ignored=IGNORED_BY_THE_AWS_CLI) as program:
        program.expect(PROMPT)
        yield program
    started.session.terminate()


# What a person does there


@pytest.mark.e2e
def test_the_aws_cli_opens_a_working_shell(tmp_path, service, zipapp, aws_cli):
    drop_in = DropIn(tmp_path)
    environ = with_built_file(drop_in.environ, zipapp)
    argv = [aws_cli, "ssm", "start-session", "--target", TARGET, "--region", "eu-west-1"]
    argv += ["--endpoint-url", service.endpoint_url]
    with PtyProcess(argv, cols=101, rows=33, env=environ) as program:
        program.expect(PROMPT)
        program.send(b"tty; stty size\r")
        program.expect(b"/dev/pts/" if sys.platform == "linux" else b"/dev/tty")
        program.expect(b"33 101")
        program.send(WATCH_THE_SIZE)
        program.expect(b"watching")
        program.resize(77, 22)
        program.expect(b"22 77")
        program.send(RUNNING)
        program.expect(b"is-42")
        program.send(b"\x03")
        program.expect(PROMPT)
        program.send(b"echo status-$?; exit\r")
        program.expect(b"status-130")
        assert program.wait() == 0
        assert program.attributes() == program.first_attributes
    session_id = service.session().session_id.encode("ascii")
    assert program.output.startswith(b"\r\nStarting session with SessionId: %s\r\n" % session_id)
    assert program.output.endswith(b"Exiting session with sessionId: %s.\r\n\r\n" % session_id)
    assert service.open_sessions() == []


def test_the_size_is_right_and_follows_without_a_key(shell):
    for cols, rows in ((132, 43), (40, 10)):
        shell.send(WATCH_THE_SIZE)
        shell.expect(b"watching")
        shell.resize(cols, rows)
        shell.expect(b"%d %d" % (rows, cols))


@pytest.mark.parametrize(
    "key, shown, status", [(b"\x03", b"^C", b"130"), (b"\x1a", b"Stopped", b"148"),
                           (b"\x1c", b"Quit", b"131")]
)
def test_keys_that_signal_reach_the_nodes_program(shell, key, shown, status):
    shell.send(RUNNING)
    shell.expect(b"is-42")
    shell.send(key)
    shell.expect(shown)
    shell.expect(PROMPT)
    shell.send(b"echo status-$?\r")
    shell.expect(b"status-" + status)


def test_all_bytes_reach_the_node_as_they_are(shell):
    everything = bytes(byte for byte in range(256) if byte != ord("~"))
    shell.send(b"stty raw -echo; echo g''o; head -c 255 | sha256sum; stty sane\r")
    shell.expect(b"go")
    shell.expect(b"\n")
    shell.send(everything)
    shell.expect(hashlib.sha256(everything).hexdigest().encode("ascii"))


def test_a_long_paste_arrives_whole(shell):
    """One mebibyte in one go, most of it in lines far longer than a terminal's own limit."""
    paste = b"".join(b"%d " % number * 3000 + b"\r" for number in range(60))
    paste = (paste * (1 + (1 << 20) // len(paste)))[: 1 << 20]
    shell.send(b"stty raw -echo; echo g''o; head -c 1048576 | sha256sum; stty sane\r")
    shell.expect(b"go")
    shell.expect(b"\n")
    shell.send(paste)
    shell.expect(hashlib.sha256(paste).hexdigest().encode("ascii"))


@pytest.mark.may_skip
@pytest.mark.skipif(not shutil.which("vi"), reason="there is no vi")
def test_vi_edits_a_file(shell, tmp_path):
    path = os.fsencode(str(tmp_path / "file"))
    shell.send(b"vi " + path + b"\r")
    shell.expect(b"file")
    shell.send(b"ihello from vi\x1b")
    shell.expect(b"vi")
    shell.send(b":wq\r")
    shell.expect(PROMPT)
    assert (tmp_path / "file").read_text() == "hello from vi\n"


@pytest.mark.may_skip
@pytest.mark.skipif(not shutil.which("less"), reason="there is no less")
def test_less_shows_a_screenful_at_a_time(shell):
    shell.send(b"seq 1 1000 | less\r")
    assert b"24" not in shell.expect(b"23\r\n").replace(b"[24;1H", b"")
    shell.send(b"G")
    shell.expect(b"1000")
    shell.send(b"q")
    shell.expect(PROMPT)


def test_a_lost_connection_is_told_of_while_it_is_resumed(service, shell):
    service.session().drop_connection()
    shell.expect(b"connection lost, resuming")
    shell.send(b"echo is-$((6*7))\r")
    shell.expect(b"is-42")


# Escape sequences


def test_a_question_mark_after_a_tilde_helps(shell):
    shell.send(b"\r~?")
    shell.expect(b" ~-  no more escape sequences in this session\r\n")
    shell.send(b"echo al''ive\r")
    shell.expect(b"alive")


def test_two_tildes_are_one(shell):
    shell.send(b"\r~~\x01echo got-\r")
    shell.expect(b"got-~")


def test_a_tilde_in_the_middle_of_a_line_is_a_tilde(shell):
    shell.send(b"echo got-~. '~?' a~-b\r")
    shell.expect(b"got-~. ~? a~-b")


def test_a_minus_after_a_tilde_turns_escapes_off(shell):
    shell.send(b"\r~-~.\x01echo got-\r")
    shell.expect(b"got-~.")


# Stopped as a job, and on again


@pytest.fixture
def job(drop_in):
    """The shell as a job of a local one."""
    started = drop_in.start()
    environ = dict(drop_in.variables(started), PS1="local> ")
    with PtyProcess(["bash", "--norc", "--noediting"], env=environ) as program:
        program.expect(b"local> ")
        line = " ".join(map(shlex.quote, drop_in.argv(started)))
        program.send(os.fsencode(line) + b"\n")
        program.expect(PROMPT)
        yield program
    started.session.terminate()


def stop_by_escape(program):
    program.send(b"\r~\x1a")


def stop_by_signal(program):
    os.killpg(os.tcgetpgrp(program.master), signal.SIGSTOP)


@pytest.mark.parametrize("stop", [stop_by_escape, stop_by_signal])
def test_a_job_that_was_stopped_goes_on_with_raw_keys_and_the_new_size(job, stop):
    job.send(WATCH_THE_SIZE)
    job.expect(b"watching")
    stop(job)
    job.expect(b"Stopped")
    job.expect(b"local> ")
    job.send(b"stty -a\n")
    job.expect(b" icanon")
    job.expect(b"local> ")
    job.resize(77, 22)
    job.send(b"fg\n")
    job.expect(b"22 77")
    job.send(RUNNING)
    job.expect(b"is-42")
    job.send(b"\x03")
    job.expect(PROMPT)
    job.send(b"echo status-$?; exit\r")
    job.expect(b"status-130")
    job.expect(b"Exiting session")
    job.expect(b"local> ")


def test_a_job_that_goes_on_in_the_background_stops_until_it_has_the_terminal(job):
    stop_by_escape(job)
    job.expect(b"Stopped")
    job.expect(b"local> ")
    job.send(b"bg; wait\n")
    job.expect(b"Stopped")
    job.expect(b"local> ")
    job.send(b"stty -a\n")
    job.expect(b" icanon")


@pytest.mark.parametrize("ignored", [(), IGNORED_BY_THE_AWS_CLI])
def test_a_shell_that_nobody_could_bring_back_is_not_stopped(drop_in, ignored):
    started = drop_in.start()
    with drop_in.on_terminal(started, ignored=ignored) as program:
        program.expect(PROMPT)
        program.send(b"\r~\x1aecho al''ive\r")
        program.expect(b"alive")
        while program.attributes() == program.first_attributes:
            program.send(b"echo is-$((6*7))\r")
            program.expect(b"is-42")
        program.send(b"exit\r")
        assert program.wait() == 0
    assert b"^Z" not in program.output


# Ways out


def end_by_escape(service, program):
    program.send(b"\r~.")
    return 0


def end_by_escape_under_a_pause(service, program):
    """Keys that cannot be sent do not stand in the way."""
    service.session().misbehave("up.lose")
    program.send(b"echo into the void\r" * 20000 + b"~.")
    return 0


def end_by_end_of_file(service, program):
    program.send(b"\x04")
    return 0


def end_by_exit(service, program):
    program.send(b"exit\r")
    return 0


def end_by_signal(signum):
    def end(service, program):
        program.signal(signum)
        return 128 + signum

    return end


def end_by_service(service, program):
    service.session().terminate("That is enough.")
    return 255  # a reason, in place of the session's own end, is a failure


def end_by_loss(service, program):
    service.answer_with("ResumeSession", "AccessDeniedException", "no", 400, times=5)
    service.session().drop_connection()
    return 255


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(end_by_exit, id="exit"),
        pytest.param(end_by_end_of_file, id="end-of-file"),
        pytest.param(end_by_escape, id="escape"),
        pytest.param(end_by_escape_under_a_pause, id="escape-while-stuck"),
        pytest.param(end_by_signal(signal.SIGTERM), id="SIGTERM"),
        pytest.param(end_by_signal(signal.SIGHUP), id="SIGHUP"),
        pytest.param(end_by_signal(signal.SIGINT), id="SIGINT"),
        pytest.param(end_by_signal(signal.SIGQUIT), id="SIGQUIT"),
        pytest.param(end_by_service, id="service"),
        pytest.param(end_by_loss, id="loss"),
    ],
)
def test_every_way_out_restores_the_terminal_and_ends_the_session(service, drop_in, end):
    started = drop_in.start()
    with drop_in.on_terminal(started, ignored=IGNORED_BY_THE_AWS_CLI) as program:
        program.expect(PROMPT)
        assert program.attributes() != program.first_attributes
        status = end(service, program)
        assert program.wait() == status
        assert program.attributes() == program.first_attributes
    assert started.session.is_over
    # Where it stopped, a line begins.
    assert program.output.endswith(b"\n")


def test_a_terminal_that_hangs_up_ends_the_session(drop_in):
    started = drop_in.start()
    with drop_in.on_terminal(started) as program:
        program.expect(PROMPT)
        program.hang_up()
        assert program.wait() in (129, 141)
    assert started.session.is_over


def test_a_service_that_is_killed_leaves_the_terminal_as_it_was(tmp_path):
    caller = DropIn(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("network: {reconnect_timeout: 500ms, connect_timeout: 2s}\n")
    with DemoService(tmp_path, environ={"PS1": PROMPT.decode()}) as serving:
        environ = dict(caller.environ, **serving.keys)
        argv = [sys.executable, "-m", "ssm_plugin", "shell", TARGET, "--config", str(config)]
        argv += ["--endpoint-url", serving.endpoint_url]
        with PtyProcess(argv, env=environ) as program:
            program.expect(PROMPT)
            serving.kill()
            assert program.wait() == 255
            assert program.attributes() == program.first_attributes
            assert b"ssm-plugin: the session was lost and cannot be resumed" in program.output
