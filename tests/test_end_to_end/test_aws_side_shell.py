"""Shells over TLS with a private CA, through a proxy that wants a password, signed throughout."""

import os
import signal
import sys
import threading

import pytest

from tests.support.aws_side import OURS, PROMPT, REGION, TARGET, AwsSide, drop_in, run
from tests.support.http_server import HttpServer, SilentServer, reply
from tests.support.pty import PtyProcess

LOGIN = "ann:p@ss/w:rd"

# Runs a program on a further terminal, which is gone when this is killed.
TERMINAL = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]


@pytest.fixture
def aws(tmp_path):
    with AwsSide(tmp_path, tls=True, login=LOGIN) as aws:
        aws.profile_with_credential_process("ops")
        yield aws
        assert set(aws.verdicts()) == {"verified"}
        assert 407 not in [attempt.status for attempt in aws.proxy.attempts()] != []


def shell(aws, command=OURS, **options):
    return PtyProcess(command + ["shell", TARGET, "--profile", "ops"], env=aws.environ, **options)


def use(program):
    program.expect(PROMPT)
    program.send(b"echo $((6*7)) is it\r")
    program.expect(b"42 is it")
    program.expect(PROMPT)


@pytest.mark.e2e
def test_the_aws_cli_starts_a_shell_through_tls_proxy_and_credential_process(aws, zipapp, aws_cli):
    aws.use_plugin(zipapp)
    command = [aws_cli, "ssm", "start-session", "--target", TARGET, "--profile", "ops"]
    with PtyProcess(command + ["--region", REGION], env=aws.environ) as program:
        program.expect(b"Starting session with SessionId: loopback-")
        use(program)
        program.send(b"exit\r")
        assert program.wait() == 0
    assert aws.calls() == ["StartSession"]
    assert aws.verdicts() == {"verified": 2}  # its call, our upgrade
    assert aws.service.open_sessions() == []


@pytest.mark.e2e
def test_a_shell_of_the_aws_cli_survives_a_lost_connection(aws, zipapp, aws_cli):
    aws.use_plugin(zipapp)
    command = [aws_cli, "ssm", "start-session", "--target", TARGET, "--profile", "ops"]
    with PtyProcess(command + ["--region", REGION], env=aws.environ) as program:
        use(program)
        aws.service.session().drop_connection()
        program.send(b"echo $((6*8)) again\r")
        program.expect(b"48 again")
        program.send(b"exit\r")
        assert program.wait() == 0
    assert aws.calls() == ["StartSession", "ResumeSession"]
    assert aws.verdicts() == {"verified": 4}


def test_our_own_shell_needs_no_aws_cli_and_no_installed_package(aws, zipapp):
    # Isolated and without site-packages: what is not in the file is not there.
    bare = [sys.executable, "-I", "-S", str(zipapp.with_name("ssm-plugin"))]
    with shell(aws, bare) as program:
        use(program)
        program.send(b"exit\r")
        assert program.wait() == 0
    assert aws.calls() == ["StartSession"]
    assert aws.verdicts() == {"verified": 2}


@pytest.mark.parametrize("profile, variable", [("ops", ""), ("", "ops")])
def test_the_drop_in_uses_the_profile_it_is_given_or_that_of_the_environment(
    aws, profile, variable
):
    aws.environ["AWS_PROFILE"] = variable
    command = drop_in(aws.started_session(), profile=profile)
    done = run(command, aws.environ, b"echo $((6*7)) is it; exit\n")
    assert (done.status, done.stderr) == (0, "")
    assert "42 is it" in done.stdout


def type_keys(keys):
    return lambda aws, program: program.send(keys)


def send_signal(signum):
    return lambda aws, program: program.signal(signum)


def lose_for_good(aws, program):
    aws.service.answer_with("ResumeSession", "AccessDeniedException", "no", 400, times=9)
    aws.service.session().drop_connection()


WAYS_OUT = [
    pytest.param(type_keys(b"exit\r"), 0, [], id="exit"),
    pytest.param(type_keys(b"\x04"), 0, [], id="Ctrl-D"),
    pytest.param(type_keys(b"\r~."), 0, ["TerminateSession"], id="escape"),
    pytest.param(send_signal(signal.SIGTERM), 143, ["TerminateSession"], id="SIGTERM"),
    pytest.param(send_signal(signal.SIGHUP), 129, ["TerminateSession"], id="SIGHUP"),
    pytest.param(
        lose_for_good, 255, ["ResumeSession", "TerminateSession"], id="lost-connection"
    ),
]


@pytest.mark.parametrize("leave, status, calls", WAYS_OUT)
def test_no_session_is_left_open(aws, leave, status, calls):
    with shell(aws) as program:
        use(program)
        leave(aws, program)
        assert program.wait() == status
        assert aws.service.open_sessions() == []
    assert aws.calls() == ["StartSession"] + calls


def test_no_session_is_left_open_when_the_terminal_is_killed(aws):
    with PtyProcess(
        TERMINAL + OURS + ["shell", TARGET, "--profile", "ops"], env=aws.environ
    ) as terminal:
        use(terminal)
        terminal.signal(signal.SIGKILL)
        aws.wait_until_no_session_is_open()


def test_no_session_is_left_open_when_the_terminal_hangs_up(aws):
    with shell(aws) as program:
        use(program)
        program.hang_up()
        # Whatever it hears of first: the signal, or that nobody takes its output any more.
        assert program.wait() in (128 + signal.SIGHUP, 128 + signal.SIGPIPE)
        assert aws.service.open_sessions() == []


def test_no_session_is_left_open_by_a_signal_while_connecting(aws):
    with SilentServer() as gateway:
        aws.configure("network: {stream_endpoint: '127.0.0.1:%d'}" % gateway.port)
        with shell(aws) as program:
            aws.service.wait_for(aws.service.open_sessions)
            program.signal(signal.SIGTERM)
            assert program.wait(20) == 143
            assert aws.service.open_sessions() == []


def test_no_session_is_left_open_when_there_is_no_way_to_the_gateway(aws):
    aws.configure("network: {stream_endpoint: '127.0.0.1:9'}")
    with shell(aws) as program:
        assert program.wait() == 255
        assert aws.service.open_sessions() == []
    assert aws.calls() == ["StartSession", "TerminateSession"]


def test_a_session_that_starts_after_the_signal_is_terminated_too(tmp_path):
    asked, answers = threading.Event(), threading.Event()

    def answer(request):
        if request.headers["x-amz-target"] == "AmazonSSM.StartSession":
            asked.set()
            answers.wait(10)
        url = "ws://127.0.0.1:%d/" % gateway.port
        return reply(200, {"SessionId": "s-late", "StreamUrl": url, "TokenValue": "t"})

    with AwsSide(tmp_path) as aws, SilentServer() as gateway, HttpServer(answer) as service:
        aws.environ = aws.keys_in_environment(AWS_ENDPOINT_URL=service.url)
        with PtyProcess(OURS + ["shell", TARGET], env=aws.environ) as program:
            assert asked.wait(10)
            program.signal(signal.SIGINT)
            answers.set()
            assert program.wait(20) == 130
    last = service.requests[-1]
    assert last.headers["x-amz-target"] == "AmazonSSM.TerminateSession"
    assert last.json() == {"SessionId": "s-late"}


def test_a_signal_ends_a_start_that_is_never_answered(tmp_path):
    asked, over = threading.Event(), threading.Event()

    def answer(request):
        asked.set()
        over.wait(40)
        return b""

    with AwsSide(tmp_path) as aws, HttpServer(answer) as service:
        aws.environ = aws.keys_in_environment(AWS_ENDPOINT_URL=service.url)
        try:
            with PtyProcess(OURS + ["shell", TARGET], env=aws.environ) as program:
                assert asked.wait(20)
                program.signal(signal.SIGTERM)
                assert program.wait(20) == 143
        finally:
            over.set()


def test_a_search_for_credentials_ends_with_us(tmp_path):
    with AwsSide(tmp_path) as aws:
        told = tmp_path / "told"
        os.mkfifo(str(told))
        aws.profile_with_credential_process("ops", "echo $$ > %s; exec sleep 1000" % told)
        with shell(aws) as program:
            pid = int(told.read_text())
            program.signal(signal.SIGTERM)
            assert program.wait(20) == 143
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


@pytest.fixture
def metadata():
    """Instance metadata that has nothing, and keeps what it was asked."""
    with HttpServer(lambda request: reply(404)) as metadata:
        yield metadata


@pytest.mark.parametrize("query, searches", [("", 1), ("&X-Amz-Signature=" + "0" * 64, 0)])
def test_without_a_signature_of_ours_the_end_looks_for_no_credentials(
    tmp_path, metadata, query, searches
):
    with AwsSide(tmp_path, secret_keys={}, require_signatures=False) as aws:
        aws.environ["AWS_EC2_METADATA_DISABLED"] = "false"
        aws.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url
        started = aws.started_session()
        started["StreamUrl"] += query
        with PtyProcess(drop_in(started), env=aws.environ) as program:
            use(program)
            assert len(metadata.requests) == searches
            program.signal(signal.SIGTERM)
            assert program.wait() == 143
        assert len(metadata.requests) == searches
        assert aws.calls() == []
