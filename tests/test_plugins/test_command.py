import os
import signal
import threading
import time

import pytest

from ssm_plugin.loopback.agent_documents import NON_INTERACTIVE, Document
from ssm_plugin.plugins.command import CommandPlugin, status_of
from ssm_plugin.session.types import SessionType
from ssm_plugin.terminal.signals import Signalled
from tests.support.commands import processes_with, wait_until_gone
from tests.support.running import RunningSession
from tests.support.service import local_service

DOCUMENT = "AWS-StartNonInteractiveCommand"


@pytest.fixture(scope="module")
def service():
    with local_service(documents={"Plain": Document(NON_INTERACTIVE)}) as service:
        yield service


@pytest.fixture
def command(service):
    def command(line, separate=True, **options):
        parameters = {"command": line, "separateOutputStream": str(separate).lower()}
        return RunningSession(
            service,
            DOCUMENT,
            parameters,
            SessionType.NON_INTERACTIVE_COMMANDS,
            reads_input=False,
            **options
        )

    return command


def test_output_goes_out_errors_aside_and_the_exit_code_becomes_the_status(command):
    with command("sh -c 'echo out; echo err >&2; exit 7'") as running:
        assert running.finish() == 7
    assert (running.output, running.errors) == (b"out\n", b"err\n")
    assert b"EXIT_CODE" not in running.notices
    assert running.notices.startswith(b"\nStarting session with SessionId: ")
    assert running.notices.endswith(b"\n\nExiting session with sessionId: %s.\n\n" % (
        running.session.session_id.encode()
    ))


def test_a_document_that_reports_no_code_gives_0(command):
    with command("sh -c 'echo out; exit 7'", separate=False) as running:
        assert running.finish() == 0
    assert running.output == b"out\n"


def test_a_command_that_a_signal_ended_at_the_node_gives_255(command):
    with command("sh -c 'kill -KILL $$'") as running:
        assert running.finish() == 255


def test_a_command_that_cannot_start_gives_1_and_the_reason(command):
    with command("/no/such/program") as running:
        assert running.finish() == 1
    assert b"no such file" in running.errors, "it comes a second after the exit code"


def test_a_reason_in_place_of_the_sessions_own_end_is_a_failure(command):
    with command("echo 'a") as running:
        assert running.finish() == 255
    assert b"Failed to parse commands input" in running.errors
    line = "\n\nSessionId: %s : Unable to start command: " % running.session.session_id
    assert line.encode() in running.notices
    assert running.notices.endswith(b"No closing quotation\n\n"), "without the agent's line end"


def test_characters_come_out_whole(command):
    with command("printf %s '{}'".format("é€😀" * 5000)) as running:
        assert running.finish() == 0
    assert running.output.decode() == "é€😀" * 5000


def test_output_is_live(command):
    with command("sh -c 'echo first; sleep 1000'") as running:
        running.expect(b"first\n")
        running.session.signal(Signalled(signal.SIGTERM))
        assert running.finish() == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_typed_signal_is_passed_on_before_anything_else_is_done(command, number):
    script = "trap 'kill $!; echo interrupted; exit 3' INT QUIT; sleep 1000 & echo on; wait"
    with command('sh -c "{}"'.format(script)) as running:
        running.expect(b"on\n")
        running.session.signal(Signalled(number))
        assert running.finish() == 128 + number
    assert running.output == b"on\ninterrupted\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_us_terminates_the_session_without_an_interrupt(
    service, command, number, tmp_path, monkeypatch
):
    """After an interrupt that it survives the command could not be ended any more."""
    monkeypatch.setattr("ssm_plugin.session.session.LEAVE_LIMIT", 1000.0)  # for sessions stuck
    mark = "mark-%s" % tmp_path
    script = "trap 'echo interrupted' INT; echo on; while :; do sleep .1; done"
    with command('sh -c "{}" {}'.format(script, mark)) as running:
        running.expect(b"on\n")
        running.session.signal(Signalled(number))
        assert running.finish() == 128 + number
        assert running.output == b"on\n"
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


def test_without_leave_to_terminate_an_interrupt_is_better_than_nothing(service, command):
    seconds = "1000.%d" % os.getpid()
    with command("sh -c 'echo on; exec sleep %s'" % seconds) as running:
        running.expect(b"on\n")
        service.answer_with("TerminateSession", "AccessDeniedException")
        running.session.signal(Signalled(signal.SIGTERM))
        assert running.finish() == 143
    assert wait_until_gone(seconds, 10)


def test_a_command_that_survives_an_interrupt_is_given_up_and_the_user_told(command):
    """Nothing that a client can say reaches the node's agent then."""
    with command("sh -c \"trap '' INT; echo on; sleep 1000\"") as running:
        running.expect(b"on\n")
        start = time.monotonic()
        running.session.signal(Signalled(signal.SIGINT))
        assert running.finish() == 130
        assert 1.5 < time.monotonic() - start < 30
    assert b"has not ended 2 s after the interrupt, and may go on at the node\n" in running.errors


def test_a_second_signal_does_not_wait(command, monkeypatch):
    monkeypatch.setattr("ssm_plugin.plugins.command.INTERRUPT_LIMIT", 1000.0)
    with command("sh -c \"trap '' INT; echo on; sleep 1000\"") as running:
        running.expect(b"on\n")
        for _ in range(2):
            running.session.signal(Signalled(signal.SIGINT))
        assert running.finish() == 130


def test_a_signal_that_ends_nothing_changes_nothing(command, monkeypatch):
    monkeypatch.setattr("ssm_plugin.session.session.LEAVE_LIMIT", 0.0)  # after an ending one
    with command("sh -c 'echo on; sleep .3; exit 5'") as running:
        running.expect(b"on\n")
        running.session.signal(Signalled(signal.SIGWINCH))
        assert running.finish() == 5


def test_leaving_in_the_middle_ends_the_command(command, tmp_path):
    mark = "mark-%s" % tmp_path
    with command("sh -c 'echo on; sleep 1000' " + mark) as running:
        running.expect(b"on\n")
        assert processes_with(mark)
        running.session.end(0)
        assert running.finish() == 0
    assert wait_until_gone(mark, 10)


def test_the_status_is_enough_if_the_service_does_not_say_that_it_is_over(command, monkeypatch):
    # Before the agent's own word for its end, which the service keeps to itself, counts.
    monkeypatch.setattr("ssm_plugin.plugins.command.CLOSE_LIMIT", 0.5)
    with command("sh -c 'exit 6'", faults="lose-channel-closed") as running:
        assert running.finish(10) == 6
    assert running.errors == b""


def test_the_command_gets_no_input(command):
    with command("cat") as running:
        assert running.finish() == 0
    assert running.output == b""


def test_a_command_outlives_its_connection(service, command, tmp_path):
    path = tmp_path / "go"
    line = "sh -c 'echo one; until test -e %s; do sleep .05; done; echo two; exit 4'" % path
    with command(line) as running:
        running.expect(b"one\n")
        running.at_service.drop_connection()
        service.wait_for(lambda: running.at_service.connections == 2)
        path.write_text("")
        assert running.finish() == 4
    assert running.output == b"one\ntwo\n"


def test_a_slow_reader_gets_everything(command):
    seen, never = [], threading.Event()

    def take(data):
        seen.append(data)
        never.wait(0.01)

    with command("sh -c 'yes | head -c 3000000; exit 2'", on_output=take) as running:
        assert running.finish() == 2
    assert b"".join(seen) == b"y\n" * 1500000


@pytest.mark.volume
def test_a_reader_that_pauses_gets_all_of_what_the_node_has_ended_long_ago(service, command):
    """The agent waits four seconds for the last acknowledgements, not for our reader."""
    sizes, over = [], threading.Event()

    def take(data):
        assert over.wait(80)
        sizes.append(len(data))

    line = "sh -c 'yes | head -c 20000000; yes | head -c 1000 >&2; exit 2'"
    with command(line, on_output=take) as running:
        service.wait_for(lambda: running.at_service.is_over, 60)
        over.set()
        assert running.finish() == 2
    assert (sum(sizes), len(running.errors)) == (20000000, 1000)


INCOMPLETE = b"the output is incomplete: the session ended before all of it had arrived\n"


def test_output_with_a_hole_gives_255_and_says_so(command):
    with command("sh -c 'echo on; yes'") as running:
        running.expect(b"on\n")
        running.at_service.misbehave("down.lose=50%")
        running.wait_for(lambda: running.session.channel.is_incomplete)
        running.at_service.terminate()
        assert running.finish() == 255
    assert running.errors == INCOMPLETE


def test_separate_output_without_the_exit_code_gives_255_and_says_so(command):
    with command("sh -c 'echo on; sleep 1000'") as running:
        running.expect(b"on\n")
        running.at_service.terminate()
        assert running.finish() == 255
    assert running.errors == b"the output may be incomplete: the command's exit code never came\n"


@pytest.mark.parametrize("resumed", [False, True])
def test_the_plain_form_gets_a_warning_after_a_resumption(service, command, resumed, tmp_path):
    path = tmp_path / "go"
    line = "sh -c 'until test -e %s; do sleep .05; done; echo done'" % path
    with command(line, separate=False) as running:
        running.wait_for(lambda: b"Starting session" in running.notices)
        if resumed:
            running.at_service.drop_connection()
            service.wait_for(lambda: running.at_service.connections == 2)
        path.write_text("")
        assert running.finish() == 0
    assert running.output == b"done\n"
    assert (b"nothing tells whether the output is complete" in running.errors) is resumed


def test_a_signal_of_ours_is_no_loss(command):
    with command("sh -c 'echo on; yes'") as running:
        running.expect(b"on\n")
        running.at_service.misbehave("down.lose=50%")
        running.session.signal(Signalled(signal.SIGTERM))
        assert running.finish() == 143
    assert running.errors == b""


@pytest.mark.parametrize(
    "code, status",
    [(0, 0), (7, 7), (255, 255), (256, 255), (259, 3), (0xC000013A, 0x3A), (65536, 255), (-1, 255)],
)
def test_an_exit_code_becomes_a_byte_and_only_0_becomes_0(code, status):
    assert status_of(code) == status


def test_the_plugin_serves_commands_only():
    assert CommandPlugin().get_supported_session_types() == [SessionType.NON_INTERACTIVE_COMMANDS]

