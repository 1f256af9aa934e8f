import errno
import hashlib
import io
import os
import queue
import re
import shutil
import signal
import threading

import pytest

from ssm_plugin.channel import outbound
from ssm_plugin.errors import (
    LocalError,
    ServiceError,
    SessionInterrupted,
    SessionLost,
    UsageError,
)
from ssm_plugin.jobs.remote_command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest
from ssm_plugin.jobs.sinks import FileStreams
from ssm_plugin.loopback.agent_documents import NON_INTERACTIVE, PORT, STANDARD_STREAM, Document
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.terminal.signals import Signalled
from ssm_plugin.transport.worker import WorkerFailed
from tests.support.commands import Node, give_up_output, processes_with, wait_until_gone
from tests.support.running import TARGET
from tests.support.service import local_service
from tests.support.threads import wait_until

DOCUMENTS = {
    "Plain": Document(NON_INTERACTIVE, separate_output=False),
    "Shell": Document(STANDARD_STREAM),
}


@pytest.fixture(scope="module")
def service():
    with local_service(documents=DOCUMENTS) as service:
        yield service
        service.wait_for(lambda: service.open_sessions() == [])


@pytest.fixture
def node(service):
    return Node(service)


def test_output_errors_and_status_come_back(node, service):
    result, stdout, stderr = node.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.status, stdout, stderr) == (7, b"out\n", b"err\n")
    assert (result.stdout_bytes, result.stderr_bytes) == (4, 4)
    assert result.reason == ""
    assert result.error is None
    assert result.session_id == service.session().session_id
    assert 0 < result.seconds < 30


@pytest.mark.parametrize("set_to", [1000.0, 9000.0])
def test_a_clock_that_is_set_while_a_command_runs_leaves_its_seconds_right(node, set_to):
    clock = iter((5000.0, set_to))
    request = CommandRequest(TARGET, ("true",))
    result = RemoteCommand(request, node.environment, wall_clock=lambda: next(clock)).run()
    assert result.started_at == 5000.0
    assert 0 < result.seconds < 30


@pytest.mark.parametrize("text", ["", "x", "line\n", "é€😀" * 3000, "\n\n"])
def test_a_plain_document_gives_the_same_from_its_trailer(node, text):
    script = 'printf %s "$0"; exit 3'
    result, stdout, _ = node.run("sh", "-c", script, text, document_name="Plain")
    assert (result.status, stdout) == (3, text.encode())


def test_a_plain_document_mixes_errors_into_the_output(node):
    result, stdout, stderr = node.run("sh", "-c", "echo out; echo err >&2", document_name="Plain")
    assert (result.status, stdout, stderr) == (0, b"out\nerr\n", b"")


@pytest.mark.parametrize("status", [0, 1, 127, 255])
def test_every_status_is_told(node, status):
    assert node.run("sh", "-c", "exit %d" % status)[0].status == status


def test_a_command_that_a_signal_ended_at_the_node_gives_128_and_the_signal(node):
    assert node.run("sh", "-c", "kill -TERM $$")[0].status == 143


def test_output_is_live(node):
    seen, arrived = [], threading.Event()

    def take(data):
        seen.append(data)
        arrived.set()

    command, _ = node.command("sh", "-c", "echo first; sleep 1000", on_output=take)
    thread = threading.Thread(target=command.run)
    thread.start()
    assert arrived.wait(10)
    assert seen == [b"first\n"]
    command.signal(Signalled(signal.SIGTERM))
    thread.join(10)
    assert not thread.is_alive()


def test_a_document_without_separate_output_is_asked_for_less(node, service):
    before = len(service.ssm.calls("StartSession"))
    service.answer_with("StartSession", "InvalidParameters", "no such parameter")
    result, stdout, _ = node.run("echo", "hello")
    assert (result.status, stdout) == (0, b"hello\n")
    assert len(service.ssm.calls("StartSession")) == before + 2


def test_a_document_that_is_none_for_commands_is_an_error(node):
    result, _, _ = node.run("true", document_name="Shell")
    assert result.status == 255
    assert result.error is not None


def test_a_start_that_is_refused_is_in_the_result(node, service):
    service.answer_with("StartSession", "TargetNotConnected", "not connected")
    result, _, _ = node.run("true")
    assert result.status == 255
    assert isinstance(result.error, ServiceError)
    assert "TargetNotConnected" in result.reason
    assert result.session_id == ""


def test_a_command_that_cannot_be_sent_is_in_the_result(node):
    result, _, _ = node.run("printf", "\udcff")
    assert (result.status, type(result.error)) == (255, UsageError)


def test_a_failed_start_is_tried_again_as_often_as_allowed(node, service):
    service.answer_with("StartSession", "TargetNotConnected", times=2)
    assert node.run("true", retries=2)[0].status == 0
    service.answer_with("StartSession", "TargetNotConnected", times=2)
    assert node.run("true", retries=1)[0].status == 255


def test_a_start_that_may_have_been_made_is_not_tried_again(node, service):
    before = len(service.ssm.calls("StartSession"))
    service.answer_with("StartSession", "InternalServerError", status=500)
    result, _, _ = node.run("true", retries=5)
    assert (result.status, type(result.error)) == (255, ServiceError)
    assert len(service.ssm.calls("StartSession")) == before + 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidDocument"])
def test_what_another_attempt_cannot_heal_is_not_tried_again(node, service, code):
    service.answer_with("StartSession", code)
    assert node.run("true", retries=5)[0].status == 255
    assert node.run("true")[0].status == 0


def test_a_command_that_failed_is_not_run_again(node, tmp_path):
    path = tmp_path / "runs"
    result, _, _ = node.run("sh", "-c", 'echo run >>"$0"; exit 1', str(path), retries=5)
    assert result.status == 1
    assert path.read_text() == "run\n"


def test_a_signal_ends_the_wait_for_another_attempt(node, service):
    before = len(service.ssm.calls("StartSession"))
    service.answer_with("StartSession", "TargetNotConnected")
    command, _ = node.command("sleep", "1000", retries=100)
    results = []
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    wait_until(lambda: len(service.ssm.calls("StartSession")) > before)
    command.signal(Signalled(signal.SIGINT))
    thread.join(10)
    assert results[0].status == 130


def test_a_session_that_ends_before_the_status_came_is_an_error(node, service):
    seen = threading.Event()
    command, _ = node.command("sh", "-c", "echo x; sleep 1000", on_output=lambda data: seen.set())
    results = []
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert seen.wait(10)
    service.session(command.session_id).terminate("ended by an administrator")
    thread.join(10)
    assert results[0].status == 255
    assert isinstance(results[0].error, SessionLost)
    assert "never arrived: ended by an administrator" in results[0].reason


@pytest.mark.parametrize("faults", ["", "lose-channel-closed"])
def test_output_that_the_agent_gave_up_while_nobody_was_connected_is_a_loss(
    node, service, tmp_path, monkeypatch, faults
):
    monkeypatch.setattr("ssm_plugin.plugins.command.CLOSE_LIMIT", 1.0)
    # The wrapper waits for us fifteen minutes, a second each time.
    (tmp_path / "sleep").symlink_to(shutil.which("true"))
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    fifo = str(tmp_path / "words")
    os.mkfifo(fifo)
    script = 'echo one; while read -r word; do echo "$word"; done <"$0"'
    seen, results = threading.Event(), []
    command, _ = node.command("sh", "-c", script, fifo, on_output=lambda data: seen.set())
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert seen.wait(10)
    with open(fifo, "w", buffering=1) as words:
        session = service.session(command.session_id)
        give_up_output(service, session, lambda: words.write("word\n"))
        service.wait_for(lambda: session.connections == 2, 30)
        session.misbehave(faults)
        words.write("word\n")
    thread.join(60)
    assert results[0].status == 255
    assert "the output is cut: its end was lost with the connection" in results[0].reason


def test_where_a_command_is_never_silent_its_lost_output_is_noticed_while_it_runs(
    node, service, tmp_path
):
    fifo = str(tmp_path / "words")
    os.mkfifo(fifo)
    script = 'echo one; while read -r word; do echo "$word"; done <"$0"'
    seen, results = threading.Event(), []
    command, _ = node.command(
        "sh", "-c", script, fifo, on_output=lambda data: seen.set(), silence_limit=0.5
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert seen.wait(10)
    with open(fifo, "w", buffering=1) as words:
        session = service.session(command.session_id)
        give_up_output(service, session, lambda: words.write("word\n"))
        thread.join(60)
    assert results[0].status == 255
    assert "the node has given up the command's output" in results[0].reason


def test_a_command_that_is_never_silent_outlives_a_loss_that_cost_nothing(node, service, tmp_path):
    results, pieces = [], queue.Queue()
    script = 'echo one; until test -e "$0"; do echo more; sleep .1; done; exit 7'
    command, _ = node.command(
        "sh", "-c", script, str(tmp_path / "go"), on_output=pieces.put, silence_limit=2.5
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    pieces.get(timeout=10)
    session = service.session(command.session_id)
    session.drop_connection()
    service.wait_for(lambda: session.connections == 2, 30)
    for _ in range(28):  # for longer than the limit
        pieces.get(timeout=10)
    (tmp_path / "go").write_text("")
    thread.join(60)
    assert results[0].status == 7


def test_a_command_is_not_given_up_while_its_node_repeats_what_we_have(
    node, service, tmp_path, monkeypatch
):
    monkeypatch.setattr(outbound, "AGENTS_PAUSE", 0.1)
    script = 'echo one; until test -e "$0"; do sleep .1; done; head -c 40000 /dev/zero; cat; exit 7'
    pieces, results = queue.Queue(), []
    command, _ = node.command(
        "sh", "-c", script, str(tmp_path / "go"), on_output=pieces.put, silence_limit=0.5
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert pieces.get(timeout=10) == b"one\n"
    session, came = service.session(command.session_id), 0
    session.misbehave("up.lose")
    (tmp_path / "go").write_text("")
    while came < 40000:
        came += len(pieces.get(timeout=10))
    session.misbehave("")
    session.drop_connection()
    thread.join(60)
    assert (results[0].status, came) == (7, 40000)


def test_a_slow_reader_gets_what_has_come_before_a_silence_is_one(node, service, tmp_path):
    script = 'echo one; until test -e "$0"; do sleep .1; done; head -c 600000 /dev/zero; exit 7'
    slowly, pieces, results = threading.Event(), [], []

    def take(data):
        pieces.append(len(data))
        if len(pieces) in (2, 3):
            slowly.wait(2.0)

    command, _ = node.command(
        "sh", "-c", script, str(tmp_path / "go"), on_output=take, silence_limit=1.5
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    wait_until(lambda: pieces)
    session = service.session(command.session_id)
    session.drop_connection()
    (tmp_path / "go").write_text("")
    service.wait_for(lambda: session.connections == 2, 30)
    thread.join(60)
    assert (results[0].status, results[0].reason) == (7, "")
    assert sum(pieces) == 600004 and len(pieces) > 4


def test_the_wrapper_killed_at_the_node_is_an_end_by_a_signal(node):
    result, _, _ = node.run("sh", "-c", "kill -KILL $PPID")
    assert result.status == 255


@pytest.mark.parametrize("script", ["sleep 1000 & sleep 1000", "trap '' INT TERM; sleep 1000"])
def test_a_time_limit_ends_the_command_and_then_the_session(node, script, tmp_path):
    mark = "mark-%s" % tmp_path
    result, _, _ = node.run("sh", "-c", script, mark, timeout=0.5)
    assert result.status == 124
    assert isinstance(result.error, SessionInterrupted)
    assert "time limit of 0.5 s" in result.reason
    assert wait_until_gone(mark, 10)
    assert result.seconds < 30


def test_a_time_limit_holds_although_nobody_takes_the_output(node):
    results, taken = [], threading.Event()
    command, _ = node.command(
        "sh", "-c", "echo x; sleep 1000", timeout=0.5, on_output=lambda data: taken.wait()
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    thread.join(15)
    taken.set()
    thread.join(10)
    assert results[0].status == 124
    assert results[0].seconds < 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_here_ends_the_command_there(node, number, tmp_path):
    mark, seen, results = "mark-%s" % tmp_path, threading.Event(), []
    command, _ = node.command(
        "sh", "-c", "echo on; sleep 1000", mark, on_output=lambda data: seen.set()
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert seen.wait(10)
    assert processes_with(mark)
    command.signal(Signalled(number))
    assert wait_until_gone(mark, 10)
    thread.join(10)
    assert results[0].status == 128 + number
    assert results[0].reason == "ended by signal %d here" % number


def test_a_second_signal_does_not_wait_for_the_command(node, monkeypatch):
    monkeypatch.setattr("ssm_plugin.plugins.command.INTERRUPT_LIMIT", 1000.0)
    seen, results = threading.Event(), []
    command, _ = node.command(
        "sh", "-c", "trap '' INT TERM; echo on; sleep 1000", on_output=lambda data: seen.set()
    )
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    assert seen.wait(10)
    command.signal(Signalled(signal.SIGINT))
    command.signal(Signalled(signal.SIGINT))
    thread.join(40)
    assert results[0].status == 130


def test_a_signal_while_starting_leaves_no_session_behind(node, service):
    command, _ = node.command("sleep", "1000")
    command.signal(Signalled(signal.SIGTERM))
    assert command.run().status == 143
    service.wait_for(lambda: not service.open_sessions())


def test_a_thread_that_breaks_while_starting_leaves_no_session_behind(node, service):
    command, _ = node.command("sleep", "1000")
    command.failed(WorkerFailed("signals", KeyError("broken")))
    assert command.run().reason.startswith("internal error in thread signals")
    service.wait_for(lambda: not service.open_sessions())


def test_megabytes_survive_a_bad_line(service):
    with local_service(faults="lose=1%,double=2%,reorder=2%") as bad:
        result, stdout, stderr = Node(bad).run(
            "sh", "-c", "yes 0123456789 | head -c 400000; yes abc | head -c 100000 >&2; exit 5"
        )
    assert result.status == 5
    assert stdout == (b"0123456789\n" * 40000)[:400000]
    assert stderr == (b"abc\n" * 25000)


def test_what_a_command_leaves_behind_holds_nobody_up_for_long(node):
    result, stdout, _ = node.run("sh", "-c", "sleep 30 & echo done; exit 4")
    assert (result.status, stdout) == (4, b"done\n")
    assert result.seconds < 25


def test_eight_threads_run_commands_at_once(node):
    results = [None] * 8

    def work(number):
        results[number] = node.run("sh", "-c", "echo $0; exit $0", str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert [(r.status, out) for r, out, _ in results] == [(n, b"%d\n" % n) for n in range(8)]


def test_what_an_output_function_raises_comes_out_and_ends_the_command(node, service, tmp_path):
    mark = "mark-%s" % tmp_path

    def refuse(data):
        raise KeyError("mine")

    command, _ = node.command("sh", "-c", "echo x; sleep 1000", mark, on_output=refuse)
    with pytest.raises(KeyError):
        command.run()
    assert wait_until_gone(mark, 10)
    service.wait_for(lambda: not service.open_sessions())


class LastDescriptors(CallableStreams):
    """Output that has all the descriptors there are, until it is finished."""

    def __init__(self):
        super().__init__(self.refuse, self.refuse)
        self.is_open = True

    def refuse(self, data):
        raise LocalError("no room")

    def finish(self):
        self.is_open = False


class ShortClient:
    """A service client that finds no descriptor for a connection while ``streams`` have the last
    ones."""

    def __init__(self, client, streams):
        self._client = client
        self._streams = streams

    def __getattr__(self, name):
        return getattr(self._client, name)

    def terminate_session(self, *arguments):
        if self._streams.is_open:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._client.terminate_session(*arguments)


def test_a_session_that_lacked_descriptors_to_be_ended_is_ended_with_those_of_the_output(
    node, service
):
    streams = LastDescriptors()
    client = ShortClient(node.environment.service, streams)
    environment = node.environment._replace(service=client)
    command = RemoteCommand(CommandRequest(TARGET, ("echo", "x")), environment, streams)
    assert command.run().reason == "no room"
    assert service.session(command.session_id).is_over


class OnAServer(io.FileIO):
    """A file whose server tells only at the end that there was no room for it."""

    def close(self):
        if not self.closed:
            super().close()
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_output_that_a_file_server_does_not_keep_is_in_the_result(node, tmp_path):
    files = [OnAServer(str(tmp_path / name), "w") for name in ("out", "err")]
    request = CommandRequest(TARGET, ("echo", "x"))
    result = RemoteCommand(request, node.environment, FileStreams(*files)).run()
    assert result.status == 255
    assert isinstance(result.error, LocalError)
    assert "cannot write to %s: " % files[0].name in result.reason
    assert all(file.closed for file in files)


# --- Standard input


def reader(*pieces):
    remaining = list(pieces) + [b""]
    return lambda: remaining.pop(0)


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 200000])
def test_input_of_any_bytes_arrives(node, size):
    data = os.urandom(size)
    script = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    pieces = [data[start : start + 1000] for start in range(0, size, 1000)]
    result, stdout, stderr = node.run("python3", "-c", script, read_input=reader(*pieces))
    assert (result.status, stderr) == (0, b"")
    assert stdout.decode().strip() == hashlib.sha256(data).hexdigest()


def test_a_command_need_not_read_its_input(node):
    data = b"x" * 65536
    result, stdout, _ = node.run("echo", "hello", read_input=reader(*[data] * 10))
    assert (result.status, stdout) == (0, b"hello\n")


def test_input_that_cannot_be_carried_is_an_error_not_an_end_of_input(node, service):
    """``wc`` must not report on half of it."""
    results = []
    blocked = threading.Event()

    def read():
        blocked.wait(10)
        return None

    command, (stdout, _) = node.command("wc", "-c", read_input=read)
    thread = threading.Thread(target=lambda: results.append(command.run()))
    thread.start()
    service.wait_for(lambda: len(service.open_sessions()) == 2)
    feed = [s for s in service.open_sessions() if s.session_id != command.session_id][0]
    feed.terminate("ended by an administrator")
    thread.join(15)
    blocked.set()
    assert results[0].status == 255
    assert results[0].reason.startswith("the input did not reach the command: ")
    assert not re.search("[0-9a-f]{20}", results[0].reason), "a marker is shown"
    assert stdout == []


def test_a_node_that_opens_something_else_for_the_input_is_an_error():
    other = {"AWS-StartInteractiveCommand": Document(PORT, {"portNumber": "1"})}
    with local_service(documents=other) as service:
        result, stdout, _ = Node(service).run("wc", "-c", read_input=reader(b"x"))
    assert (result.status, stdout) == (255, b"")
    assert "input did not reach the command" in result.reason


SLOW = """#!/bin/sh
%s "$@"
for path; do :; done
printf %%s "$path" >"%s"
sleep .5
"""


def test_input_that_cannot_begin_leaves_nothing_at_the_node(tmp_path, monkeypatch):
    """It is known before the node has prepared for it."""
    tool, made = tmp_path / "mkdir", tmp_path / "made"
    made.write_text("nothing so far")
    tool.write_text(SLOW % (shutil.which("mkdir"), made))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    other = {"AWS-StartInteractiveCommand": Document(PORT, {"portNumber": "1"})}
    with local_service(documents=other) as service:
        result, _, _ = Node(service).run("wc", "-c", read_input=reader(b"x"))
        assert "input did not reach the command" in result.reason
        assert not os.path.exists(made.read_text())


@pytest.mark.parametrize("raw", [False, True])
def test_a_command_that_has_its_input_goes_on_without_the_feed(node, service, monkeypatch, raw):
    monkeypatch.setattr("ssm_plugin.jobs.trailer_runner.FEED_LIMIT", 0.1)

    def end_feed(data):
        for session in service.open_sessions():
            if data == b"abc" and session.session_id != command.session_id:
                session.terminate("ended by an administrator")

    command, _ = node.command(
        "sh",
        "-c",
        "head -c 3; sleep 1; echo d",
        on_output=end_feed,
        read_input=reader(b"abc"),
        raw_input=raw,
    )
    result = command.run()
    assert (result.status, result.stdout_bytes) == (0, 5), result.reason


def test_the_end_of_the_feed_may_overtake_the_status_of_the_command(node, service):
    """The command wants no more input; on a plain document its status is all that tells so."""
    pieces = reader(*[b"x" * 65536] * 20)
    slow = []

    def read_slowly():
        if not slow:
            slow.append(service.session(command.session_id))
            slow[0].misbehave("down.delay=100%:700ms")
        return pieces()

    command, (stdout, _) = node.command(
        "head", "-c", "5", document_name="Plain", read_input=read_slowly
    )
    result = command.run()
    assert (result.status, result.reason, b"".join(stdout)) == (0, "", b"xxxxx")
