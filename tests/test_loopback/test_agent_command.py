"""Commands without a terminal, in both forms of their document."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ssm_plugin.loopback import agent
from ssm_plugin.loopback.agent_documents import NON_INTERACTIVE, Document
from ssm_plugin.loopback.agent_work import kill_sessions
from tests.support.channel_client import TIME_LIMIT, ChannelClient
from tests.support.commands import processes_with, wait_until_gone
from tests.support.service import local_service
from tests.support.threads import wait_until

DOCUMENT = "AWS-StartNonInteractiveCommand"

# A program that sees signals even where the tests themselves run with interrupts ignored.
SIGNALLED = (
    "import signal,sys,time;"
    "signal.signal(signal.SIG%s, signal.SIG_DFL);"
    "sys.stdout.write('ready');sys.stdout.flush();time.sleep(1000)"
)


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


def quoted(*words):
    return " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in words)


def command(service, line, separate=True, **options):
    parameters = {"command": line}
    if separate:
        parameters["separateOutputStream"] = "True"
    return ChannelClient(service, DOCUMENT, parameters, **options)


def run(service, line, separate=True):
    """A client at the end of its session."""
    with command(service, line, separate) as client:
        assert client.wait_closed() == ""
    return client


def shell(script):
    return quoted("sh", "-c", script)


def test_output_and_errors_come_apart_and_then_the_exit_code(service):
    client = run(service, shell("echo out; echo err >&2; exit 3"))
    assert (client.output, client.errors, client.exit_code) == (b"out\n", b"err\n", 3)
    assert client.started.session_type == NON_INTERACTIVE


def test_otherwise_they_come_as_one_and_without_a_code(service):
    client = run(service, shell("echo out; echo err >&2; echo out; exit 3"), separate=False)
    assert (client.output, client.errors, client.exit_code) == (b"out\nerr\nout\n", b"", None)


def test_no_shell_reads_the_command(service):
    assert run(service, "echo out; exit 3").output == b"out; exit 3\n"
    assert run(service, "echo '$HOME' a\\ b").output == b"$HOME a b\n"


def test_there_is_no_input_and_no_terminal(service):
    client = run(service, shell("cat; tty; test -t 0 || echo none"))
    assert client.output == b"not a tty\nnone\n"


def test_output_streams_while_the_command_runs(service):
    with command(service, shell("echo first; sleep 1000")) as client:
        client.expect(b"first\n")
        client.session.terminate()
        client.wait_closed()


def test_output_comes_at_the_end_otherwise(service):
    with command(service, shell("echo first; sleep 0.5; echo last"), separate=False) as client:
        client.wait_for(lambda: client.output)
        assert client.output == b"first\nlast\n"


@pytest.mark.parametrize("separate", [True, False])
def test_all_of_a_large_output_arrives(service, separate):
    client = run(service, "seq 1 100000", separate)
    assert client.output == b"".join(b"%d\n" % number for number in range(1, 100001))


def test_a_child_that_holds_an_output_is_waited_for_where_they_are_apart(service):
    began = time.monotonic()
    client = run(service, shell("echo out; (sleep 1.5; echo late) & exit 3"))
    assert (client.output, client.exit_code) == (b"out\nlate\n", 3)
    assert time.monotonic() - began >= 1.5


def test_an_interrupt_ends_the_waiting_for_such_a_child(service):
    began = time.monotonic()
    with command(service, shell("sleep 40 >&2 & echo out; exit 3")) as client:
        client.expect(b"out\n")
        client.send(b"\x03")
        assert client.wait_closed() == ""
    assert client.exit_code == 1
    assert time.monotonic() - began < 30


def test_so_does_the_end_of_the_session(service, tmp_path):
    mark = "mark-%s" % tmp_path
    with command(service, shell("sleep 40 & echo out") + " " + mark) as client:
        client.expect(b"out\n")
        assert wait_until_gone(mark, 10)
        client.session.terminate()
        assert client.wait_closed() == ""
        assert client.exit_code is None


def test_such_a_child_is_not_waited_for_otherwise(service):
    began = time.monotonic()
    assert run(service, shell("echo out; sleep 40 &"), separate=False).output == b"out\n"
    assert time.monotonic() - began < 30


def test_a_client_that_is_away_loses_what_follows_its_pause_and_gets_the_code(service, tmp_path):
    wait = "; until test -e %s/%%d; do sleep .05; done; " % tmp_path
    script = "echo one" + wait % 1 + "echo two" + wait % 2 + "echo three" + wait % 3
    with command(service, shell(script + "echo four; exit 4")) as client:
        client.expect(b"one\n")
        # Or else it is sent again, and leads to the pause.
        wait_until(lambda: not client.session._agent._protocol.unacknowledged)
        client.session.misbehave("pause-away")
        client.session.drop_connection()
        service.wait_for(lambda: client.session.state == "Disconnected")
        (tmp_path / "1").write_text("")
        service.wait_for(lambda: client.session.agent_pauses)
        wait_until(lambda: client.session._agent.link.is_paused)
        (tmp_path / "2").write_text("")
        assert client.session._agent._work._pumps[0].join(TIME_LIMIT)
        client.reconnect()
        client.expect(b"three\n")
        (tmp_path / "3").write_text("")
        assert client.wait_closed() == ""
        assert (client.output, client.exit_code) == (b"one\ntwo\nthree\n", 4)


def test_nobody_is_killed_whose_session_has_the_number_of_an_older_one():
    script = "sleep 60 & echo; wait"
    with subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        try:
            leader.stdout.readline()
            kill_sessions([leader.pid])
            assert leader.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                leader.wait(0.2)  # it would end with what it waits for
        finally:
            os.killpg(leader.pid, signal.SIGKILL)


def test_a_command_ended_by_a_signal_gives_minus_one(service):
    assert run(service, shell("kill -9 $$")).exit_code == -1


@pytest.mark.parametrize(
    "line, words",
    [
        ("/no/such/binary", b"fork/exec /no/such/binary: no such file or directory"),
        ("no-such-binary", b'exec: "no-such-binary": executable file not found in $PATH'),
        ("/", b"fork/exec /: permission denied"),
        ("echo a\0b", b"fork/exec echo: "),
    ],
)
def test_a_command_that_cannot_start_gives_one(service, line, words):
    client = run(service, line)
    assert client.exit_code == 1
    assert client.errors.startswith(words)
    assert run(service, line, separate=False).exit_code is None


@pytest.mark.parametrize("key, name", [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_keys_signal_the_command(service, key, name):
    with command(service, quoted(sys.executable, "-c", SIGNALLED % name)) as client:
        client.expect(b"ready")
        client.send(b"ignored " + key + b" ignored")
        assert client.wait_closed() == ""
        assert client.exit_code == 1


def test_an_interrupt_reaches_the_command_but_not_its_children(service, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    script = (
        "import os,signal,subprocess,sys;"
        "subprocess.Popen(['sh','-c','read -r word <$0',sys.argv[1]]);"
        "signal.signal(signal.SIGINT, lambda *_: os._exit(7));"
        "sys.stdout.write('ready');sys.stdout.flush();signal.pause()"
    )
    with command(service, quoted(sys.executable, "-c", script, gate)) as client:
        client.expect(b"ready")
        client.send(b"\x03")
        assert client.wait_closed() == ""
        assert client.exit_code == 1  # whatever the command's own is
    assert processes_with(gate)
    with open(gate, "r+b", buffering=0) as file:
        file.write(b"\n")
        assert wait_until_gone(gate, 10)


def test_other_input_and_sizes_are_acknowledged_and_thrown_away(service):
    with command(service, shell("echo ready; sleep 30")) as client:
        client.expect(b"ready")
        client.resize(100, 30)
        client.send(b"nobody reads this")
        assert client.channel.drain(5)
        client.session.terminate()
        client.wait_closed()


def test_the_end_is_told_between_the_two_waits_for_acknowledgements(monkeypatch):
    monkeypatch.setattr(agent, "DRAIN_LIMIT", 0.5)
    with local_service(faults="up.no-acknowledge") as service:
        with command(service, "echo out") as client:
            client.wait_for(lambda: client.leaving)
            told_at = time.monotonic()
            assert client.wait_closed() == ""
    assert time.monotonic() - told_at > 0.3


def test_an_interrupt_is_acknowledged_only_when_the_command_has_ended(service, tmp_path):
    ignoring = (
        "import os,signal,sys,time;"
        "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'caught'));"
        "os.write(1, b'ready')\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.05)"
    )
    go = tmp_path / "go"
    with command(service, quoted(sys.executable, "-c", ignoring, str(go))) as client:
        client.expect(b"ready")
        client.send(b"\x03")
        client.expect(b"caught")
        assert not client.channel.drain(0.5)
        go.write_text("")
        assert client.wait_closed() == ""
        assert client.protocol.unacknowledged == 0


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize(
    "printed, passed_on",
    [
        (b"a\xffb\xe2\x82c\xc3\xa9d\n", b"a\xffb\xe2\x82c\xc3\xa9d\n"),
        (bytes(range(256)), bytes(range(253))),
        ("a\ufffdbcd".encode("utf-8"), b"a\xefbcd"),
        ("abc\ufffd".encode("utf-8"), b"abc"),
        (b"abc\xc3\xa9\xe2\x82", b"abc\xc3\xa9"),
    ],
)
def test_bytes_that_are_no_text_pass_but_for_the_very_last(service, separate, printed, passed_on):
    line = quoted(sys.executable, "-c", "import os;os.write(1,%r)" % printed)
    assert run(service, line, separate).output == passed_on


def test_characters_may_be_cut_across_messages(service):
    line = quoted(sys.executable, "-c", "import os;os.write(1,b'x'+b'\\xc3\\xa9'*3000)")
    assert run(service, line).output.decode() == "x" + "\xe9" * 3000


def test_a_command_goes_on_without_its_client_until_it_is_terminated(service, tmp_path):
    (tmp_path / "log").write_text("")
    mark = "mark-%s" % tmp_path
    script = "echo on; while :; do echo x >> '{}'; sleep 0.05; done".format(tmp_path / "log")
    with command(service, shell(script) + " " + mark) as client:
        client.expect(b"on\n")
    service.wait_for(lambda: client.session.state == "Disconnected")
    size = (tmp_path / "log").stat().st_size
    wait_until(lambda: (tmp_path / "log").stat().st_size > size)
    client.session.terminate()
    assert wait_until_gone(mark, 10)


def test_a_command_that_ignores_requests_to_end_is_killed(service, tmp_path):
    mark = "mark-%s" % tmp_path
    script = shell("trap '' TERM; echo on; while :; do sleep 1; done")
    with command(service, script + " " + mark) as client:
        client.expect(b"on\n")
        client.session.terminate()
        client.wait_closed()
    assert wait_until_gone(mark, 10)


def test_a_client_that_acknowledges_nothing_gets_two_seconds_twice():
    with local_service(faults="up.no-acknowledge") as service:
        began = time.monotonic()
        assert run(service, "echo out").output == b"out\n"
        assert 3.9 < time.monotonic() - began < 30


def test_why_a_command_cannot_start_is_told_a_second_after_its_exit_code(service):
    began = time.monotonic()
    with command(service, "/no/such/binary") as client:
        client.wait_for(lambda: client.exit_code == 1)
        assert client.errors == b""
        client.wait_for(lambda: client.errors)
        assert 1.0 <= time.monotonic() - began < 30
        assert client.wait_closed() == ""


def test_a_line_that_cannot_be_split_gives_no_code_but_a_reason(service):
    began = time.monotonic()
    with command(service, "echo 'a") as client:
        reason = client.wait_closed()
        assert 2.9 < time.monotonic() - began < 30
        assert reason.startswith("Unable to start command: Failed to parse commands input")
        assert (client.errors.decode(), client.exit_code) == (reason, None)


def test_the_end_of_a_session_kills_the_command_and_nothing_else(service, tmp_path):
    mark = "mark-%s" % tmp_path
    script = "sh -c 'sleep 1000; true' %s & echo on; wait" % mark
    with command(service, shell(script) + " direct-" + mark) as client:
        client.expect(b"on\n")
        client.session.terminate()
        assert wait_until_gone("direct-" + mark, 10)
        assert processes_with(mark)
        client.session.close(5)
        assert wait_until_gone(mark, 10)


def test_after_an_interrupt_that_it_survives_the_command_cannot_be_ended(service, tmp_path):
    """The agent waits for it in the thread that takes messages."""
    mark, path = "mark-%s" % tmp_path, tmp_path / "go"
    script = "trap 'echo caught' INT; echo ready; until test -e '%s'; do sleep .05; done" % path
    with command(service, shell(script) + " " + mark) as client:
        client.expect(b"ready\n")
        client.send(b"\x03")
        client.expect(b"caught\n")
        client.session.terminate()
        assert not wait_until_gone(mark, 1)
        path.write_text("")
        assert wait_until_gone(mark, 10)


def test_a_document_of_ones_own_may_fix_the_form():
    documents = {"Own": Document(NON_INTERACTIVE, separate_output=True)}
    with local_service(documents=documents) as service:
        with ChannelClient(service, "Own", {"command": "false"}) as client:
            assert client.wait_closed() == ""
            assert client.exit_code == 1
