"""A person at a terminal, whose connection is lost: what they see, and what becomes of it."""

import os
import sys

import pytest

from tests.support.pty import PtyProcess
from tests.support.running import KEYS
from tests.support.service import local_service

OURS = [sys.executable, "-m", "ssm_plugin"]
PROMPT = b"ready> "
NOTICE = b"connection lost, resuming"
GONE = b"\x1b7\x1b[999;1H\x1b[2K\x1b8"  # the last line is wiped, and the cursor is where it was
CONFIGURATION = "network: {connect_timeout: 2s, ping_interval: 200ms, reconnect_timeout: 20s}"


@pytest.fixture
def service():
    with local_service(shell=("env", "PS1=" + PROMPT.decode(), "/bin/sh")) as service:
        yield service


@pytest.fixture
def options():
    return []


@pytest.fixture
def terminal(service, tmp_path, options):
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    environment = dict(os.environ, SSM_PLUGIN_CONFIG=str(tmp_path / "config.yaml"), **KEYS)
    environment["AWS_REGION"] = "us-east-1"
    arguments = ["shell", "i-demo", "--endpoint-url", service.endpoint_url]
    arguments += options
    with PtyProcess(OURS + arguments, env=environment) as program:
        program.expect(PROMPT)
        yield program


def still_works(terminal, word):
    terminal.send(b"echo '%s'%s\r" % (word[:1], word[1:]))
    terminal.expect(word + b"\r\n")  # a prompt may stand before it


def test_a_notice_shows_while_resuming_and_is_gone_afterwards(service, terminal):
    service.session().misbehave("refuse-token=2")
    service.session().drop_connection()
    terminal.expect(NOTICE)
    terminal.expect(GONE)
    still_works(terminal, b"here")
    terminal.send(b"exit\r")
    assert terminal.wait() == 0
    assert b"Exiting session with sessionId" in terminal.output


@pytest.mark.parametrize("options", [["--quiet"]])
def test_quiet_shows_no_notice_of_it(service, terminal):
    service.session().misbehave("refuse-token=2")
    service.session().drop_connection()
    still_works(terminal, b"here")
    assert NOTICE not in terminal.output


def test_a_silent_network_is_outlived_with_what_was_typed_meanwhile(service, terminal):
    service.session().misbehave("silent=2s")
    terminal.send(b"echo 't'yped\r")
    terminal.expect(NOTICE)
    terminal.send(b"echo 'l'ater\r")
    terminal.expect(GONE)
    terminal.expect(b"typed\r\n")
    terminal.expect(b"later\r\n")


def test_a_service_that_says_bye_again_and_again_is_nothing_to_worry_about(service, terminal):
    for number in range(8):
        service.session().say_bye()
        still_works(terminal, b"%da" % number)
    assert service.session().connections == 9


def test_a_session_that_is_over_says_so(service, terminal):
    session = service.session()
    session.misbehave("lose-channel-closed")
    session.terminate()
    session.drop_connection()
    assert terminal.wait() == 255
    assert b"Session: %s timed out.\r\n" % session.session_id.encode() in terminal.output


def test_a_refusal_says_why(service, terminal):
    service.answer_with("ResumeSession", "AccessDeniedException", "not for you")
    service.session().drop_connection()
    assert terminal.wait() == 255
    line = terminal.output[terminal.output.rindex(b"ssm-plugin: "):]
    assert line.startswith(b"ssm-plugin: the session was lost and cannot be resumed: ")
    assert b"ssm:ResumeSession" in line


def test_a_refusal_stands_on_a_line_of_its_own_and_the_notice_is_gone(service, terminal):
    service.answer_with("ResumeSession", "AccessDeniedException", "not for you")
    service.session().drop_connection()
    assert terminal.wait() == 255
    before = terminal.output[:terminal.output.rindex(b"ssm-plugin: ")]
    assert before.endswith(GONE + b"\r\n")


def test_the_session_can_be_left_while_it_resumes(service, terminal):
    service.session().misbehave("refuse-upgrade")
    service.session().drop_connection()
    terminal.expect(NOTICE)
    terminal.send(b"\r~.")
    assert terminal.wait() == 0
    service.wait_for(lambda: service.session().is_over)
    assert GONE in terminal.output
