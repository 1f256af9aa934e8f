"""Shells and interactive commands: real programs on real terminals."""

import os
import subprocess
import threading
import time

import pytest

from ssm_plugin.wire import payloads
from tests.support.channel_client import ChannelClient
from tests.support.service import local_service

INTERACTIVE = "AWS-StartInteractiveCommand"
MANY = 300000


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def shell(service):
    with ChannelClient(service) as client:
        client.expect(b"# " if os.getuid() == 0 else b"$ ")
        client.send(b"PS1='> '\n")
        client.expect(b"\r\n> ")
        yield client
    client.session.terminate()


def run(shell, line):
    """What a command line prints."""
    shell.send(line + b"\n")
    shell.expect(line + b"\r\n")
    return shell.expect(b"> ")[:-2]


def is_alive(pid):
    """Whether it runs; the dead ones that nobody has waited for do not."""
    state = subprocess.Popen(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE)
    return state.communicate()[0].strip()[:1] not in (b"", b"Z")


def wait_until_dead(pid, seconds=5.0):
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while not tick.wait(0.01) and is_alive(pid):
        assert time.monotonic() < deadline, "{} is still alive".format(pid)


def test_a_shell_begins_with_its_prompt_and_without_a_handshake(shell):
    assert shell.started.session_type == ""
    assert not shell.started.encrypted


def test_a_shell_runs_commands_on_a_terminal_of_its_own(shell):
    assert run(shell, b"echo hello") == b"hello\r\n"
    assert run(shell, b"tty").startswith(b"/dev/")
    assert run(shell, b"echo $TERM") == b"xterm-256color\r\n"
    assert run(shell, b"test -n \"$LANG\" && echo set") == b"set\r\n"


def test_the_clients_size_becomes_the_terminals(shell):
    assert run(shell, b"stty size") == b"24 80\r\n"
    shell.resize(100, 30)
    assert run(shell, b"stty size") == b"30 100\r\n"


def test_a_size_that_cannot_be_read_is_survived(shell):
    shell.channel.send_control(payloads.SIZE, b"{}")
    assert run(shell, b"stty size") == b"24 80\r\n"


def test_the_interrupt_key_reaches_the_job_in_the_foreground(shell):
    shell.send(b"sh -c 'echo ready; exec sleep 1000'\n")
    shell.expect(b"\r\nready\r\n")
    shell.send(b"\x03")
    shell.expect(b"^C")
    shell.expect(b"> ")


def test_the_end_of_input_ends_a_shell(shell):
    shell.send(b"\x04")
    assert shell.wait_closed() == ""


def test_the_last_output_arrives_before_the_end(shell):
    shell.send(b"seq 1 20000; exit\n")
    assert shell.wait_closed() == ""
    assert b"\r\n19999\r\n20000\r\n" in shell.output


def test_a_child_that_keeps_the_terminal_is_waited_for(shell):
    began = time.monotonic()
    shell.send(b"(sleep 1.5; echo late) & exit\n")
    assert shell.wait_closed() == ""
    assert time.monotonic() - began >= 1.5 and b"late\r\n" in shell.output


def test_a_child_that_never_stops_writing_does_not_hold_up_the_end_of_the_session(shell):
    shell.send(b"exec yes & echo child $!; exit\n")
    shell.expect(b"\r\nchild ")
    shell.session.terminate()
    assert shell.wait_closed() == ""


def test_terminating_hangs_up_the_shell_and_its_jobs(service, shell):
    shell.send(b"echo pid $$; sh -c 'echo job $$; sleep 60'\n")
    shell.expect(b"\r\njob ")
    job = int(shell.expect(b"\r\n"))
    pid = int(shell.output.split(b"\r\npid ")[1].split()[0])
    shell.session.terminate()
    assert shell.wait_closed() == ""
    wait_until_dead(pid)
    wait_until_dead(job)


def test_a_program_that_ignores_hangups_is_killed(service):
    parameters = {"command": "trap '' HUP TERM; echo pid $$; while :; do sleep 1; done"}
    with ChannelClient(service, INTERACTIVE, parameters) as client:
        client.expect(b"pid ")
        pid = int(client.expect(b"\r\n"))
        client.session.terminate()
        assert client.wait_closed() == ""
    wait_until_dead(pid)


def test_flags_mean_nothing_to_a_shell(shell):
    for flag in (payloads.DISCONNECT_TO_PORT, payloads.TERMINATE_SESSION):
        shell.channel.send_control(payloads.FLAG, payloads.build_flag(flag))
    shell.channel.send_control(payloads.FLAG, b"?")
    assert run(shell, b"echo still here") == b"still here\r\n"


def test_a_large_input_arrives_whole(service):
    command = {"command": "stty raw -echo; echo ready; head -c %d | cksum" % MANY}
    data = os.urandom(MANY)
    digest = subprocess.Popen(["cksum"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ChannelClient(service, INTERACTIVE, command) as client:
        client.expect(b"ready")
        client.send(data)
        client.expect(digest.communicate(data)[0].strip())
        assert client.wait_closed() == ""


def test_a_target_that_does_not_read_holds_back_the_acknowledgements(service):
    command = {"command": "stty raw -echo; echo ready; sleep 1; head -c 2000000 | wc -c"}
    began = time.monotonic()
    with ChannelClient(service, INTERACTIVE, command) as client:
        client.expect(b"ready")
        client.send(b"x" * 2000000)
        assert time.monotonic() - began >= 1.0
        client.expect(b"2000000", timeout=20)
        assert client.wait_closed() == ""


@pytest.mark.volume
def test_both_directions_at_full_speed_do_not_block_each_other(service):
    size = 3000000
    command = {"command": "stty raw -echo; echo ready; head -c %d" % size}
    with ChannelClient(service, INTERACTIVE, command) as client:
        client.expect(b"ready\n" if b"ready\n" in client.output else b"ready")
        before = len(client.output)
        for _ in range(size // 100000):
            client.send(b"z" * 100000)
            while not client.events.empty():
                client.take(client.events.get())
        assert client.wait_closed(20) == ""
        assert len(client.output) >= before + size


def test_an_interactive_command_talks_on_a_terminal(service):
    command = {"command": "printf 'name? '; read name; echo hello $name; tty"}
    with ChannelClient(service, INTERACTIVE, command) as client:
        client.expect(b"name? ")
        client.send(b"bob\n")
        client.expect(b"hello bob\r\n/dev/")
        assert client.wait_closed() == ""
        assert client.exit_code is None


def test_a_program_that_does_not_exist_says_so_on_the_terminal():
    with local_service(shell=("/no/such/shell",)) as service:
        with ChannelClient(service) as client:
            client.expect(b"/no/such/shell")
            assert client.wait_closed() == ""


def test_a_command_that_no_program_can_be_given_is_the_reason_of_the_end(service):
    with ChannelClient(service, INTERACTIVE, {"command": "echo a\0b"}) as client:
        assert client.wait_closed().startswith("cannot run sh on a terminal: ")


def test_without_a_shell_of_its_own_the_service_takes_the_users():
    with local_service(shell=None) as service, ChannelClient(service) as client:
        client.wait_for(lambda: client.output)
        client.session.terminate()
        client.wait_closed()


def test_the_pace_of_a_real_node_is_slow():
    with local_service(faults="pace=1ms") as slow, ChannelClient(slow) as client:
        client.send(b"stty -echo; head -c 200000 /dev/zero | tr '\\0' x; exit\n")
        began = time.monotonic()
        client.wait_closed()
        assert time.monotonic() - began > 0.19


def test_a_session_goes_on_over_a_second_connection(shell):
    shell.session.drop_connection()
    shell.reconnect()
    assert run(shell, b"echo back") == b"back\r\n"


@pytest.mark.parametrize("faults", ["lose=5%,seed=1", "double=10%,reorder=10%,seed=2"])
def test_a_bad_line_changes_nothing(faults):
    with local_service(faults=faults) as service, ChannelClient(service) as client:
        client.send(b"seq 1 3000; exit\n")
        assert client.wait_closed() == ""
        assert b"\r\n1498\r\n1499\r\n1500\r\n" in client.output


def test_no_descriptor_is_left():
    def use():
        with local_service() as service:
            for document, parameters in (
                ("", {}),
                (INTERACTIVE, {"command": "true"}),
                ("AWS-StartNonInteractiveCommand", {"command": "true"}),
                (
                    "AWS-StartNonInteractiveCommand",
                    {"command": "true", "separateOutputStream": "true"},
                ),
            ):
                with ChannelClient(service, document, parameters) as client:
                    if not document:
                        client.wait_for(lambda: client.output)
                        client.session.terminate()
                    client.wait_closed()

    use()
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    use()
    after = os.listdir("/proc/self/fd") if before else []
    assert len(after) <= len(before)  # what others have left may go meanwhile
