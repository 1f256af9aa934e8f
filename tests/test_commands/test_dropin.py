"""The drop-in: its arguments, its lines byte for byte, its exit statuses."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from ssm_plugin.commands import parent
from ssm_plugin.commands.dropin import parse, session_arguments
from ssm_plugin.errors import UsageError
from ssm_plugin.session.types import SessionType
from tests.support.commands import wait_until_gone
from tests.support.drop_in import REGION, VARIABLE, DropIn
from tests.support.service import local_service

INTERACTIVE = "AWS-StartInteractiveCommand"
NON_INTERACTIVE = "AWS-StartNonInteractiveCommand"
RESPONSE = {"SessionId": "s-1", "StreamUrl": "wss://host/", "TokenValue": "secret-token"}
TEXT = json.dumps(RESPONSE)
ORDINARY = [TEXT, "eu-west-1", "StartSession"]


# What the arguments say


def test_the_response_may_be_the_first_argument():
    invocation = parse(ORDINARY + ["ops", '{"Target": "i-1"}', "https://ssm.example"], {})
    assert invocation.response == RESPONSE
    assert (invocation.region, invocation.profile) == ("eu-west-1", "ops")
    assert invocation.request == {"Target": "i-1"}
    assert invocation.endpoint_url == "https://ssm.example"


@pytest.mark.parametrize("name", [VARIABLE, VARIABLE + "_7f3a"])
def test_the_response_may_be_in_a_variable_which_is_removed_then(name):
    environ = {name: TEXT, "OTHER": "stays"}
    assert parse([name] + ORDINARY[1:], environ).response == RESPONSE
    assert environ == {"OTHER": "stays"}


def test_what_follows_the_operation_may_be_missing_or_empty():
    for arguments in (ORDINARY, ORDINARY + ["", "", ""], ORDINARY + [""]):
        invocation = parse(arguments, {})
        assert (invocation.profile, invocation.endpoint_url) == (None, None)
        assert invocation.request == {}


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://ecs.eu-west-1.amazonaws.com",
        "https://ecs-fips.us-east-1.amazonaws.com",
        "https://ecs.eu-west-1.api.aws",
        "https://vpce-0a1b.ecs.eu-west-1.vpce.amazonaws.com",
        "https://ecs-a-12.eu-west-1.amazonaws.com/",
        "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s-1",
        "ssm.eu-west-1.amazonaws.com",
    ],
)
def test_an_endpoint_of_ecs_or_of_no_api_is_not_asked_about_sessions(endpoint):
    assert parse(ORDINARY + ["", "", endpoint], {}).endpoint_url is None


@pytest.mark.parametrize(
    "endpoint", ["https://ssm.eu-west-1.amazonaws.com", "http://127.0.0.1:4566"]
)
def test_any_other_endpoint_is_used(endpoint):
    assert parse(ORDINARY + ["", "", endpoint], {}).endpoint_url == endpoint


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "wanted 3 to 6 arguments, not 0"),
        (ORDINARY[:2], "wanted 3 to 6 arguments, not 2"),
        (ORDINARY + ["", "", "", "more"], "wanted 3 to 6 arguments, not 7"),
        ([TEXT, "eu-west-1", "EndSession"], "operation 'EndSession' is not StartSession"),
        (["{", "eu-west-1", "StartSession"], "the response is not JSON"),
        (["[1]", "eu-west-1", "StartSession"], "the response is not a JSON object"),
        (ORDINARY + ["", "{", ""], "the request is not JSON"),
        ([VARIABLE, "eu-west-1", "StartSession"], "the environment variable %s is not set"),
    ],
)
def test_wrong_arguments_are_named_and_never_repeated(arguments, said):
    with pytest.raises(UsageError) as caught:
        session_arguments(parse(arguments, {}))
    assert (said % VARIABLE if "%s" in said else said) in str(caught.value)
    assert "session-manager-plugin RESPONSE REGION StartSession" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_what_was_parsed_does_not_show_the_token():
    assert "secret-token" not in repr(parse(ORDINARY, {}))


@pytest.mark.parametrize(
    "spelling", ["SessionId StreamUrl TokenValue", "sessionId streamUrl tokenValue"]
)
def test_both_spellings_of_a_response_are_read(spelling):
    values = ("s-1", "wss://host/", "secret-token")
    text = json.dumps(dict(zip(spelling.split(), values)))
    found = session_arguments(parse([text] + ORDINARY[1:], {}))
    assert (found["sessionId"], found["streamUrl"], found["tokenValue"]) == values
    assert (found["target"], found["documentName"], found["sessionType"]) == (None, None, None)


def test_the_request_says_target_document_and_what_to_expect_of_it():
    request = {"Target": "i-1", "DocumentName": INTERACTIVE, "Parameters": {"command": ["top"]}}
    found = session_arguments(parse(ORDINARY + ["", json.dumps(request)], {}))
    assert (found["target"], found["documentName"]) == ("i-1", INTERACTIVE)
    assert found["parameters"] == {"command": ["top"]}
    assert found["sessionType"] is SessionType.INTERACTIVE_COMMANDS


def test_a_token_in_place_of_the_id_is_seen_and_the_id_is_in_the_url():
    url = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/ann%40x-0a1?role=x"
    text = json.dumps({"sessionId": "secret", "streamUrl": url, "tokenValue": "secret"})
    found = session_arguments(parse([text] + ORDINARY[1:], {}))
    assert (found["sessionId"], found["tokenValue"]) == ("ann@x-0a1", "secret")


@pytest.mark.parametrize("url", [5, None, [], "wss://[", "wss://host/"])
def test_a_url_without_the_id_gives_none(url):
    text = json.dumps({"sessionId": "secret", "streamUrl": url, "tokenValue": "secret"})
    assert session_arguments(parse([text] + ORDINARY[1:], {}))["sessionId"] is None


@pytest.mark.parametrize("request_text", ["null", "{}", '{"DocumentName": null, "Target": null}'])
def test_null_is_as_absent(request_text):
    text = json.dumps(dict(RESPONSE, SessionId=None, sessionId="s-2"))
    found = session_arguments(parse([text] + ORDINARY[1:] + ["", request_text], {}))
    assert (found["sessionId"], found["target"], found["documentName"]) == ("s-2", None, None)


# The program


def command(drop_in, line):
    return drop_in.start(INTERACTIVE, {"command": [line]})


def lines_of(started, between):
    text = "\nStarting session with SessionId: {0}\n{1}\n\nExiting session with sessionId: {0}.\n\n"
    return text.format(started.session_id, between).encode("ascii")


def test_its_lines_are_those_of_the_official_client(drop_in):
    started = command(drop_in, "printf hello")
    assert drop_in.run(started) == (0, lines_of(started, "hello"), b"")


def test_quiet_moves_the_lines_to_stderr(drop_in):
    started = command(drop_in, "printf hello")
    done = drop_in.run(started, SSM_PLUGIN_QUIET="1")
    assert done == (0, b"hello", lines_of(started, ""))


def test_a_command_that_prints_nothing_has_run_all_the_same(drop_in):
    started = command(drop_in, "true")
    assert drop_in.run(started) == (0, lines_of(started, ""), b"")


def test_a_shell_that_ended_before_it_said_anything_is_a_failure(tmp_path):
    with local_service(shell=("/bin/true",)) as service:
        drop_in = DropIn(tmp_path, service)
        started = drop_in.start()
        done = drop_in.run(started, b"make backup\n")
    assert (done.status, done.stdout) == (255, b"")
    assert started.session_id.encode("ascii") in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_the_services_reason_is_shown(drop_in):
    started = command(drop_in, "echo ready; read line")
    process = drop_in.spawn(drop_in.argv(started), drop_in.variables(started))
    with process:
        head = read_until(process.stdout, b"ready")
        started.session.terminate("Your session has expired.")
        stdout, stderr = process.communicate(timeout=40)
    assert process.returncode == 255
    assert (head + stdout).endswith(
        b"\n\nSessionId: %s : Your session has expired.\n\n" % started.session_id.encode("ascii")
    )
    assert stderr == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_is_gone_at_the_node(drop_in, number, tmp_path):
    mark = "mark-%s" % tmp_path
    parameters = {"command": ["sh -c 'echo on; sleep 1000; true' " + mark]}
    parameters["separateOutputStream"] = ["true"]
    started = drop_in.start("AWS-StartNonInteractiveCommand", parameters)
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        read_until(process.stdout, b"on\n")
        process.send_signal(number)
        assert wait_until_gone(mark, 10)
        assert process.wait(10) == 128 + number


def test_output_that_is_missing_is_no_success(drop_in):
    parameters = {"command": ["sh -c 'echo on; yes'"], "separateOutputStream": ["true"]}
    started = drop_in.start("AWS-StartNonInteractiveCommand", parameters)
    with drop_in.spawn(drop_in.argv(started), drop_in.variables(started)) as process:
        read_until(process.stdout, b"on\n")
        started.session.misbehave("down.lose=50%")
        read_until(process.stdout, b"y\n" * 2000)
        started.session.terminate()
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 255
    assert b"the output is incomplete" in stderr or b"exit code never came" in stderr


def test_a_session_that_cannot_be_resumed_any_more_has_timed_out(drop_in):
    started = command(drop_in, "echo ready; read line")
    process = drop_in.spawn(drop_in.argv(started), drop_in.variables(started))
    with process:
        read_until(process.stdout, b"ready")
        started.session.misbehave("lose-channel-closed")
        started.session.terminate()
        started.session.drop_connection()
        stdout, stderr = process.communicate(timeout=40)
    assert process.returncode == 255
    assert stdout.endswith(b"Session: %s timed out.\n" % started.session_id.encode("ascii"))
    assert stderr == b""


@pytest.mark.parametrize("operation", ["argv", "ecs"])
def test_the_response_as_an_argument_works_too(drop_in, operation):
    started = command(drop_in, "printf hello")
    response = started.response
    if operation == "ecs":
        response = {name[0].lower() + name[1:]: value for name, value in response.items()}
    done = drop_in.call(drop_in.argv(started, json.dumps(response)))
    assert done == (0, lines_of(started, "hello"), b"")


def test_a_legacy_cli_passes_three_arguments(drop_in):
    started = command(drop_in, "printf hello")
    argv = drop_in.argv(started)[:-3]
    environ = drop_in.variables(started, AWS_ENDPOINT_URL_SSM=drop_in.service.endpoint_url)
    assert drop_in.call(argv, environ=environ) == (0, lines_of(started, "hello"), b"")


def test_children_do_not_get_the_token(drop_in):
    seen = drop_in.home.path / "seen"
    document = {"Version": 1, "AccessKeyId": "AKIADEMODEMODEMODEMO", "SecretAccessKey": "secret"}
    keys = drop_in.home.program("keys", "env > %s; echo '%s'\n" % (seen, json.dumps(document)))
    drop_in.home.config("[profile ops]\ncredential_process = %s\n" % keys)
    started = command(drop_in, "printf hello")
    argv = drop_in.argv(started)
    argv[argv.index("StartSession") + 1] = "ops"
    assert drop_in.call(argv, environ=drop_in.variables(started)).status == 0
    environ = seen.read_text()
    assert "HOME=" in environ
    assert VARIABLE not in environ and started.response["TokenValue"] not in environ


@pytest.mark.parametrize(
    "response, said",
    [
        ({}, "sessionId is missing"),
        (dict(RESPONSE, SessionId=""), "sessionId is empty"),
        (dict(RESPONSE, StreamUrl="https://host/"), "streamUrl is not a WebSocket URL"),
        (dict(RESPONSE, StreamUrl="wss://evil.example/"), "not a Session Manager host of AWS"),
        (dict(RESPONSE, TokenValue=5), "tokenValue must be text"),
    ],
)
def test_a_wrong_response_is_one_line_without_the_token(drop_in, response, said):
    argv = drop_in.program + [json.dumps(response), "eu-west-1", "StartSession"]
    done = drop_in.call(argv + ["", "{}", drop_in.service.endpoint_url])
    assert (done.status, done.stdout) == (255, b"")
    assert said.encode("ascii") in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"secret-token" not in done.stderr


@pytest.mark.parametrize(
    "place, wrong, said",
    [
        (1, "eu west", b"'eu west' is not an AWS region"),
        (4, "{", b"the request is not JSON"),
        (4, "[]", b"the request is not a JSON object"),
        (4, '{"DocumentName": 5}', b"DocumentName in the request is not text"),
        (4, '{"Parameters": 5}', b"parameters must be a mapping"),
    ],
)
def test_what_was_called_wrongly_leaves_no_session_behind(drop_in, place, wrong, said):
    started = drop_in.start()
    stream = "wss://ssmmessages.%s.amazonaws.com/v1/data-channel/x" % REGION
    started.response["StreamUrl"] = stream
    argv = drop_in.argv(started)
    argv[len(drop_in.program) + place] = wrong
    done = drop_in.call(argv, environ=drop_in.variables(started))
    assert (done.status, done.stdout, done.stderr.count(b"\n")) == (255, b"", 1)
    assert said in done.stderr
    assert started.session.is_over


@pytest.mark.parametrize("wrong", [5, True, 1.5, [], ["x"], {}, {"x": 1}])
@pytest.mark.parametrize(
    "name", ["DocumentName", "Target", "Parameters", "localPortNumber", "SessionId", "TokenValue"]
)
def test_a_wrong_type_anywhere_is_one_clear_line_or_ignored(drop_in, name, wrong):
    started = drop_in.start("AWS-StartPortForwardingSession", {"portNumber": ["9"]})
    request, response = dict(started.request), dict(started.response, StreamUrl="wss://x/")
    if name == "localPortNumber":
        request["Parameters"] = {name: wrong}
    else:
        (response if name in response else request)[name] = wrong
    argv = drop_in.program + [json.dumps(response), "eu-west-1", "StartSession", ""]
    done = drop_in.call(argv + [json.dumps(request), drop_in.service.endpoint_url])
    started.session.terminate()
    assert (done.status, done.stderr.count(b"\n")) == (255, 1)
    assert b"internal error" not in done.stderr and b"Traceback" not in done.stderr


def test_a_profile_that_does_not_exist_is_a_warning(drop_in):
    drop_in.home.config("[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n")
    for profile, environ, status in (
        ("nosuch", {}, 0),
        ("nosuch", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 0),
        ("", {"AWS_PROFILE": "nosuch"}, 0),
    ):
        started = command(drop_in, "printf hello")
        argv = drop_in.argv(started)
        argv[argv.index("StartSession") + 1] = profile
        done = drop_in.call(argv, environ=drop_in.variables(started, **environ))
        assert (done.status, done.stdout) == (status, lines_of(started, "hello"))
        assert done.stderr == (
            b"ssm-plugin: warning: the AWS profile 'nosuch' was not found; going on with the "
            b"environment's credentials, if any\n"
        )


def test_wrong_arguments_are_one_line_and_status_255_or_0_for_old_scripts(tmp_path):
    drop_in = DropIn(tmp_path)
    done = drop_in.call(drop_in.program + ["nonsense"])
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"ssm-plugin: wanted 3 to 6 arguments, not 1: ")
    assert done.stderr.count(b"\n") == 1
    legacy = dict(drop_in.environ, SSM_PLUGIN_EXIT_STATUS="legacy")
    assert drop_in.call(drop_in.program + ["nonsense"], environ=legacy).status == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_though_the_aws_cli_had_them_ignored(drop_in, signum):
    started = command(drop_in, "echo ready; exec sleep 100")
    ignored = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
    reader, writer = os.pipe()
    try:
        with drop_in.on_terminal(started, stdin=reader, ignored=ignored) as program:
            program.expect(b"ready")
            program.signal(signum)
            assert program.wait() == 128 + signum
            assert b"Exiting session with sessionId" in program.output
    finally:
        os.close(reader)
        os.close(writer)
    assert started.session.is_over


def test_legacy_status_is_0_after_a_signal_too(drop_in):
    started = command(drop_in, "echo ready; exec sleep 100")
    environ = drop_in.variables(started, SSM_PLUGIN_EXIT_STATUS="legacy")
    process = drop_in.spawn(drop_in.argv(started), environ)
    with process:
        read_until(process.stdout, b"ready")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == 0


@pytest.mark.skipif(parent._open(os.getppid()) is None, reason="this system has no way to watch")
def test_a_command_ends_with_the_aws_cli_that_was_killed(drop_in):
    parameters = {"command": ["sh -c 'echo ready; exec sleep 100'"]}
    parameters["separateOutputStream"] = ["true"]  # without it, all output comes at the end
    started = drop_in.start(NON_INTERACTIVE, parameters)
    aws = (
        "import signal, subprocess, sys; "
        "[signal.signal(getattr(signal, name), signal.SIG_IGN) for name in "
        "('SIGINT', 'SIGQUIT', 'SIGTSTP')]; "
        "subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)"
    )
    argv = [sys.executable, "-c", aws] + drop_in.argv(started)
    with drop_in.spawn(argv, drop_in.variables(started)) as process:
        try:
            read_until(process.stdout, b"ready")
        finally:
            process.kill()
        assert b"Exiting session with sessionId" in process.stdout.read()
    drop_in.wait_until_over()
    assert started.session.is_over


def test_hang_ups_stay_ignored_under_nohup(drop_in):
    started = command(drop_in, "echo ready; read line; echo got $line")
    argv = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] + drop_in.argv(started)
    process = drop_in.spawn(argv, drop_in.variables(started))
    with process:
        read_until(process.stdout, b"ready")
        process.send_signal(signal.SIGHUP)
        stdout, _ = process.communicate(b"it\n", timeout=40)
    assert process.returncode == 0
    assert b"got it" in stdout


def test_a_signal_ends_it_while_a_silent_gateway_lets_it_wait(drop_in):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        url = "ws://127.0.0.1:%d/" % silent.getsockname()[1]
        argv = drop_in.program + [json.dumps(dict(RESPONSE, StreamUrl=url)), "eu-west-1"]
        argv += ["StartSession", "", "{}", drop_in.service.endpoint_url]
        process = drop_in.spawn(argv, stdin=subprocess.DEVNULL)
        with process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=40)
            connection.close()
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"ssm-plugin: interrupted while connecting\n"


def read_until(stream, wanted):
    """What a pipe gives, up to and with ``wanted``."""
    data = b""
    while wanted not in data:
        piece = os.read(stream.fileno(), 65536)
        assert piece, "ended without %r: %r" % (wanted, data)
        data += piece
    return data
