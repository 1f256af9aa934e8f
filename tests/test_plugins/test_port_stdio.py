"""A port session on standard input and output."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssm_plugin.plugins.port import GRACE
from ssm_plugin.terminal.signals import Signalled
from tests.support.service import local_service
from tests.support.threads import threads_left

from .port_helpers import (
    SSH,
    RunningSession,
    TargetServer,
    digest,
    echo,
    random_bytes,
    read_exactly,
)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def service():
    with local_service() as service:
        yield service


class Input:
    """The writing end of a session's standard input."""

    def __init__(self):
        self.reader, self._writer = os.pipe()

    def write(self, data):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writer, rest):]

    def end(self):
        os.close(self._writer)


@pytest.fixture
def stdin():
    stdin = Input()
    yield stdin
    os.close(stdin.reader)


def run(service, target, stdin, **parameters):
    return RunningSession(service, SSH, stdin.reader, portNumber=str(target.port), **parameters)


@pytest.mark.parametrize(
    "data", [b"\n", b"\r\n\r\n", b"\x03\x04\x1a\x1c", bytes(range(256)) * 300, b"\n" * 5000]
)
def test_every_byte_comes_back_untouched(service, stdin, data):
    with TargetServer(echo) as target, run(service, target, stdin) as session:
        stdin.write(data)
        session.notices.wait_for(data)
        assert session.notices.data == data
    stdin.end()


def test_stdout_carries_the_stream_and_nothing_else(service, stdin):
    with TargetServer(lambda one: one.sendall(b"SSH-2.0-x\r\n")) as target:
        session = run(service, target, stdin)
        session.join()  # the target has ended it
    assert session.notices.data == b"SSH-2.0-x\r\n"
    assert session.stderr.data.decode() == (
        "\nStarting session with SessionId: {0}\n\n\nExiting session with sessionId: {0}.\n\n"
    ).format(session.id)
    assert (session.status, session.error) == (0, None)
    assert threads_left((), "ssm-input") == []  # what is written from now on is for others
    stdin.end()


def test_the_answer_still_comes_after_the_end_of_input(service, stdin):
    answer = random_bytes(500000)

    def serve(connection):
        assert read_exactly(connection, 6) == b"query\n"
        threading.Event().wait(0.3)
        connection.sendall(answer)

    with TargetServer(serve) as target:
        session = run(service, target, stdin)
        stdin.write(b"query\n")
        stdin.end()
        session.join()
    assert digest(session.notices.data) == digest(answer)
    assert session.status == 0


def test_a_silent_target_is_left_after_a_grace_time(service, stdin):
    with TargetServer(echo) as target, run(service, target, stdin) as session:
        stdin.write(b"x")
        session.notices.wait_for(b"x")
        runner = session.runner
        stdin.end()
        deadline = time.monotonic() + 10
        while not runner._input_ended:
            assert time.monotonic() < deadline
        runner._quiet_since = 0.0
        runner.paused()
        runner.resumed()
        assert runner._quiet_since > deadline - 10  # it could say nothing before
        assert session.runner is runner
        runner._check(GRACE - 1)
        runner._check(GRACE)
        session.join()
    assert (session.status, session.error) == (0, None)
    service.wait_for(lambda: service.open_sessions() == [])


@pytest.mark.volume
def test_a_target_that_does_not_read_holds_up_the_input(service, stdin):
    release = threading.Event()
    received = []

    def serve(connection):
        release.wait(10)
        received.append(read_exactly(connection, 20 * 1024 * 1024))
        connection.sendall(b"done")

    data = random_bytes(20 * 1024 * 1024)
    with TargetServer(serve) as target, run(service, target, stdin) as session:
        writer = threading.Thread(target=stdin.write, args=(data,))
        writer.start()
        writer.join(0.5)
        assert writer.is_alive()
        release.set()
        session.notices.wait_for(b"done")
        writer.join()
    assert digest(received[0]) == digest(data)
    stdin.end()


def test_input_of_an_embedding_program_is_taken_in_place_of_stdin(service):
    pieces = [b"one", b"two", b""]
    output = []
    ready = threading.Event()

    def collect(data):
        output.append(data)
        ready.set()

    with TargetServer(echo) as target:
        handlers = (lambda: pieces.pop(0), collect)
        with RunningSession(service, SSH, None, handlers, portNumber=str(target.port)):
            assert ready.wait(10)
    assert b"".join(output)[:3] == b"one"


@pytest.mark.parametrize(
    "signum, line",
    [
        (signal.SIGTERM, b"Terminate signal received, exiting.\n"),
        (signal.SIGHUP, b""),  # so OpenSSH ends its ProxyCommand
    ],
)
def test_a_signal_ends_it_with_its_number(service, stdin, signum, line):
    with TargetServer(echo) as target:
        session = run(service, target, stdin)
        stdin.write(b"x")
        session.notices.wait_for(b"x")
        session.session.signal(Signalled(signum))
        session.join()
    assert session.status == 128 + signum
    start = "\nStarting session with SessionId: {}\n".format(session.id)
    assert session.stderr.data == start.encode() + line
    service.wait_for(lambda: service.open_sessions() == [])
    stdin.end()


@pytest.mark.parametrize("parameters", [{"portNumber": "1"}, {"host": "127.0.0.1"}])
def test_a_target_that_cannot_be_reached_is_told_with_the_reason(service, stdin, parameters):
    with TargetServer(echo) as target:
        parameters.setdefault("portNumber", str(target.port))
        session = RunningSession(service, SSH, stdin.reader, **parameters)
        session.join()
    told = session.stderr.data.decode() + str(session.error)
    assert "unable to connect to" in told or "is forbidden" in told
    assert session.notices.data == b""
    stdin.end()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from ssm_plugin.plugins.port import _nobody_reads
from ssm_plugin.session.streams import CallableStreams, Streams
sys.stderr.write("%s\\n" % _nobody_reads(Streams()))
sys.stderr.flush()
sys.stdin.read()
sys.stderr.write("%s %s" % (_nobody_reads(Streams()), _nobody_reads(CallableStreams(print))))
"""


def test_a_reader_that_is_gone_is_noticed_without_writing():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr.readline() == b"False\n"
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b"True False"
    finally:
        process.stderr.close()
        assert process.wait(10) == 0
