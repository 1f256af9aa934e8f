import datetime
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssm_plugin.errors import (
    ConnectError,
    DeadlineError,
    HandshakeError,
    SessionInterrupted,
    SessionLost,
    StateError,
    UpgradeError,
    UsageError,
)
from ssm_plugin.loopback.service import LocalService
from ssm_plugin.session import lifecycle
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.session_thread import SessionThread
from ssm_plugin.session.streams import CallableStreams, write_all
from ssm_plugin.session.types import SessionStatus
from ssm_plugin.terminal.signals import Signalled
from tests.support.collected import Collected
from tests.support.hostile_agent import Script
from tests.support.pty import ROOT
from tests.support.running import NETWORK
from tests.support.service import local_service
from tests.support.threads import threads_left

from .sessions import (
    CLIENT,
    CONFIG,
    LIMIT,
    OtherChannel,
    SilentListener,
    other_session,
    quiet,
    read_to_end,
    real_environment,
    session_at,
)

PROPERTIES = {
    "session_id",
    "status",
    "session_type",
    "created_at",
    "client_id",
    "stream_url",
    "has_data_channel",
    "data_channel_open",
}


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture(autouse=True)
def nothing_left(service):
    """No thread, and so no connection either: the service has a thread for each. And every session
    is over there."""
    before = set(threading.enumerate())
    yield
    try:
        service.wait_for(lambda: not service.open_sessions(), 5.0)
    finally:
        for session in service.open_sessions():
            session.terminate()
    assert threads_left(before) == []


# --- What it says of itself


def test_a_new_session_waits():
    session = Session(CONFIG, CLIENT, environment=quiet())
    assert session.status is SessionStatus.CREATED
    assert session.session_id == "s-1"
    assert session.stream_url == CONFIG.stream_url
    assert session.token_value == "the-token"
    assert session.data_channel is None
    assert session.wait(0.01) is None


def test_its_properties_are_these_and_never_the_token():
    before = datetime.datetime.now(datetime.timezone.utc)
    session = Session(CONFIG, CLIENT, environment=quiet())
    properties = session.get_session_properties()
    assert set(properties) == PROPERTIES
    created = datetime.datetime.strptime(
        properties.pop("created_at")[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z"
    )
    assert abs((created - before).total_seconds()) < 5
    assert properties == {
        "session_id": "s-1",
        "status": "Created",
        "session_type": "Standard_Stream",
        "client_id": "c-1",
        "stream_url": CONFIG.stream_url,
        "has_data_channel": False,
        "data_channel_open": False,
    }
    assert "the-token" not in repr(session) + str(session) + repr(properties)


# --- With somebody else's data channel


def test_a_data_channel_that_was_given_is_opened_and_closed():
    channel = OtherChannel()
    session = other_session(channel)
    assert session.data_channel is channel
    assert session.get_session_properties()["has_data_channel"]
    session.execute()
    assert session.status is SessionStatus.CONNECTED
    assert session.get_session_properties()["data_channel_open"]
    assert session.open_data_channel(), "it is open already"
    session.terminate_session()
    assert session.status is SessionStatus.TERMINATED
    assert channel.closed == 1


def test_a_data_channel_that_does_not_open_is_a_failure():
    session = other_session(OtherChannel(opens=False))
    with pytest.raises(ConnectError, match="s-1"):
        session.execute()
    assert session.status is SessionStatus.FAILED
    assert session.data_channel.closed == 1
    assert isinstance(session.wait().error, ConnectError)


def test_a_data_channel_may_be_opened_before_the_session_is_executed():
    channel = OtherChannel()
    session = other_session(channel)
    assert session.open_data_channel() is True
    session.execute()
    assert session.status is SessionStatus.CONNECTED
    session.terminate_session()


def test_a_data_channel_is_not_opened_again_after_the_end():
    session = other_session(OtherChannel())
    session.execute()
    session.terminate_session()
    assert session.open_data_channel() is False
    assert not session.data_channel.is_open


def test_a_session_is_executed_once():
    session = other_session(OtherChannel())
    session.execute()
    with pytest.raises(StateError):
        session.execute()
    assert session.status is SessionStatus.CONNECTED
    session.terminate_session()


def test_another_environment_leaves_it_its_data_channel():
    channel = OtherChannel()
    session = other_session(channel)
    session.use(quiet())
    assert session.data_channel is channel


def test_what_it_uses_cannot_be_changed_once_it_is_executed():
    session = other_session(OtherChannel())
    session.execute()
    with pytest.raises(StateError):
        session.set_data_channel(OtherChannel())
    with pytest.raises(StateError):
        session.use(quiet())
    session.terminate_session()


def test_what_it_uses_cannot_be_changed_once_its_data_channel_was_opened():
    session = other_session(OtherChannel())
    assert session.open_data_channel()
    with pytest.raises(StateError, match="has been opened"):
        session.set_data_channel(OtherChannel())
    with pytest.raises(StateError):
        session.use(quiet())
    session.terminate_session()
    assert session.data_channel.closed == 1


def test_a_session_may_be_terminated_before_it_began_and_again():
    session = Session(CONFIG, CLIENT, environment=quiet())
    for _ in range(3):
        session.terminate_session()
        assert session.status is SessionStatus.TERMINATED
    with pytest.raises(StateError):
        session.execute()
    assert session.status is SessionStatus.TERMINATED


def test_a_failed_session_may_be_terminated_and_stays_failed():
    session = other_session(OtherChannel(opens=False))
    with pytest.raises(ConnectError):
        session.execute()
    session.terminate_session()
    assert session.status is SessionStatus.FAILED


# --- With a node


def test_a_shell_runs_from_its_start_to_its_end(service):
    output, notices = Collected(), Collected()
    pieces = [b"echo one$((1+1))three; exit\n"]
    streams = CallableStreams(notices.add, notices.add)
    session = session_at(
        service,
        output.add,
        lambda: pieces.pop() if pieces else None,
        environment=Environment(environ={}, streams=streams),
    )
    session.execute()
    assert session.wait(LIMIT) == (0, None, "", None)
    assert b"one2three" in output.data
    assert session.status is SessionStatus.TERMINATED
    assert notices.data.decode() == (
        "\nStarting session with SessionId: {0}\n\n\nExiting session with sessionId: {0}.\n\n"
    ).format(session.session_id)
    assert not session.get_session_properties()["data_channel_open"]


def test_a_connection_that_is_lost_before_the_session_is_executed_is_resumed(service):
    output, pieces = Collected(), queue.Queue()
    session = session_at(service, output.add, pieces.get)
    at_service = service.session(session.session_id)
    assert session.open_data_channel() is True
    service.wait_for(lambda: at_service.connections == 1)
    at_service.drop_connection()
    service.wait_for(lambda: not session.data_channel.is_open)
    assert session.open_data_channel() is False, "its token has been used"
    session.execute()
    output.wait_for(b" ")
    pieces.put(b"exit\n")
    assert session.wait(LIMIT) == (0, None, "", None)
    assert at_service.connections == 2
    pieces.put(None)  # to the thread that waits for input


def test_an_executed_session_lives_in_a_thread_of_its_own(service):
    threads, output = [], Collected()

    def take(data):
        threads.append(threading.current_thread())
        output.add(data)

    session = session_at(service, take)
    session.execute()
    assert session.status is SessionStatus.CONNECTED
    output.wait_for(b" ")
    assert {thread.name for thread in threads} == {"ssm-session"}
    assert session.wait(0.05) is None
    assert session.status is SessionStatus.CONNECTED
    assert session.get_session_properties()["data_channel_open"]
    service.session(session.session_id).terminate()
    assert session.wait(LIMIT).status == 0
    assert session.wait() is session.wait(0.0), "it stays what it was"
    assert session.status is SessionStatus.TERMINATED


def test_a_session_ends_with_the_status_that_was_asked_for(service):
    notices = Collected()
    environment = real_environment(service, silent=False, streams=CallableStreams(notices.add))
    session = session_at(service, environment=environment)
    session.execute()
    session.end(42, "A line of its own\n")
    session.end(43)
    assert session.wait(LIMIT).status == 42
    assert notices.data.endswith(b"A line of its own\n")


def test_a_wrong_token_becomes_a_failure_without_anybody_waiting(service):
    session = session_at(service, token_value="wrong", environment=quiet())
    try:
        session.execute()  # the gateway refuses the token once the connection is open
    except SessionLost:
        pass
    assert threads_left((), "ssm-session") == []
    assert session.status is SessionStatus.FAILED
    error = session.wait(0.0).error
    assert "wrong" not in str(error)
    assert isinstance(error, SessionLost)
    service.session(session.session_id).terminate()


def test_a_token_that_is_refused_is_replaced_where_the_service_gives_another(service):
    output = Collected()
    session = session_at(service, output.add, token_value="wrong")
    session.execute()
    output.wait_for(b" ")
    assert session.token_value == service.session(session.session_id).token
    session.terminate_session()


def test_a_stream_url_that_leads_elsewhere_is_refused_before_the_token_leaves():
    session = Session(
        CONFIG._replace(stream_url="wss://evil.example/x"), CLIENT, environment=quiet()
    )
    with pytest.raises(UsageError, match="evil.example"):
        session.execute()
    assert session.status is SessionStatus.FAILED


def test_a_gateway_that_refuses_the_upgrade_is_a_failure(service):
    url = "ws" + service.endpoint_url[4:] + "/v1/data-channel/no-such-session"
    session = Session(
        CONFIG._replace(stream_url=url), CLIENT, environment=quiet(network=NETWORK)
    )
    with pytest.raises(UpgradeError):
        session.execute()
    assert session.status is SessionStatus.FAILED


@pytest.mark.parametrize("wanting", ["ssm-resume", "ssm-writer", "ssm-reader"])
def test_without_threads_for_another_connection_it_ends_and_leaves_nothing(
    service, monkeypatch, wanting
):
    output, start = Collected(), threading.Thread.start
    session = session_at(service, output.add)
    session.execute()
    output.wait_for(b" ")

    def start_few(thread):
        if thread.name in (wanting, "ssm-terminate"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    service.session(session.session_id).drop_connection()
    outcome = session.wait(LIMIT)
    assert outcome is not None and "no more threads can be started" in str(outcome.error)
    assert not session.data_channel.is_open
    service.wait_for(lambda: service.session(session.session_id).is_over)


# --- Ended by us


@pytest.mark.parametrize("error", [None, MemoryError])
def test_a_session_whose_thread_cannot_even_end_it_is_ended_by_who_waits(
    service, monkeypatch, error
):
    """There is no memory for its own safety net, and some again once its thread is gone."""
    before = threading.enumerate()
    clean_up, tries = SessionThread.clean_up, []

    def clean_up_the_second_time(life):
        tries.append(life)
        if len(tries) == 1:
            raise MemoryError
        clean_up(life)

    def fail(event):
        raise error

    monkeypatch.setattr(SessionThread, "clean_up", clean_up_the_second_time)
    session = session_at(service)
    session.execute()
    if error:
        monkeypatch.setattr(SessionThread, "_react_to_end", lambda life, event: fail(event))
    session.end(0)
    outcome = session.wait(LIMIT)
    assert outcome is not None and isinstance(outcome.error, error or type(None))
    assert session.status is (SessionStatus.FAILED if error else SessionStatus.TERMINATED)
    service.wait_for(lambda: service.session(session.session_id).is_over)
    assert threads_left(before) == []


def test_terminated_before_it_is_executed_it_is_over_at_the_service_too(service):
    session = session_at(service)
    session.terminate_session()
    assert session.status is SessionStatus.TERMINATED
    service.wait_for(lambda: service.session(session.session_id).is_over)


@pytest.mark.parametrize("threads", [1, 3])
def test_terminated_from_other_threads_it_is_over_once_they_return(service, threads):
    output = Collected()
    session = session_at(service, output.add)
    session.execute()
    output.wait_for(b" ")
    over = []

    def end():
        session.terminate_session()
        over.append((session.status, service.session(session.session_id).is_over))

    others = [threading.Thread(target=end) for _ in range(threads)]
    for other in others:
        other.start()
    assert session.wait(LIMIT).status == 0
    for other in others:
        other.join(LIMIT)
    assert over == [(SessionStatus.TERMINATED, True)] * threads
    session.terminate_session()


def test_terminated_while_it_dials_it_breaks_off_and_says_so(service):
    with SilentListener() as listener:
        session = session_at(service, stream_url=listener.url)
        peers = []

        def end():
            peers.append(listener.accept())
            session.terminate_session()

        other = threading.Thread(target=end)
        other.start()
        with pytest.raises(SessionInterrupted) as caught:
            session.execute()
        other.join(LIMIT)
        assert caught.value.exit_status == 0
        assert session.status is SessionStatus.TERMINATED
        read_to_end(peers[0])


def test_a_signal_while_it_dials_is_its_exit_status(service):
    with SilentListener() as listener:
        session = session_at(service, stream_url=listener.url)
        peers = []

        def end():
            peers.append(listener.accept())
            session.signal(Signalled(signal.SIGTERM))

        other = threading.Thread(target=end)
        other.start()
        with pytest.raises(SessionInterrupted) as caught:
            session.execute()
        other.join(LIMIT)
        assert caught.value.exit_status == 143
        read_to_end(peers[0])


def test_an_output_handler_may_terminate_its_session(service):
    def take(data):
        session.terminate_session()

    session = session_at(service, take)
    session.execute()
    assert session.wait(LIMIT) == (0, None, "", None)
    assert session.status is SessionStatus.TERMINATED


def test_an_output_handler_cannot_wait_for_the_end_of_its_session(service):
    session = session_at(service, lambda data: session.wait())
    session.execute()
    try:
        error = session.wait(5).error
    finally:
        session.terminate_session()
    assert isinstance(error, StateError) and "cannot wait for its own end" in str(error)


def test_terminated_after_its_end_nothing_happens(service):
    output = Collected()
    session = session_at(service, output.add)
    session.execute()
    output.wait_for(b" ")
    service.session(session.session_id).terminate("the reason")
    outcome = session.wait(LIMIT)
    calls = len(service.ssm.calls())
    session.terminate_session()
    assert session.wait(0.0) is outcome
    assert len(service.ssm.calls()) == calls


def test_a_node_that_never_speaks_is_given_up_after_the_limit_that_is_set(service):
    network = NETWORK._replace(first_output_timeout=0.3)
    session = session_at(service, environment=real_environment(service)._replace(network=network))
    service.session(session.session_id).misbehave("down.lose")
    session.execute()
    error = session.wait(LIMIT).error
    assert isinstance(error, DeadlineError)
    assert "the node sent nothing within 0.3 s" in str(error)


def test_a_node_that_falls_silent_in_the_handshake_is_given_up_where_silence_is_usual(monkeypatch):
    monkeypatch.setattr(lifecycle, "HANDSHAKE_LIMIT", 0.4)
    network = NETWORK._replace(first_output_timeout=0.2)
    with LocalService(Script(completes=False).start) as service:
        environment = real_environment(service)._replace(network=network)
        session = session_at(service, environment=environment, document_name="Mine")
        session.execute()
        try:
            outcome = session.wait(LIMIT)
        finally:
            session.terminate_session()
    assert isinstance(outcome.error, HandshakeError)


CTRL_C = """
import os, signal, sys, threading
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
session = Session(
    SessionConfig("s-1", sys.argv[1], "token"), ClientConfig("c-1", SessionType.STANDARD_STREAM)
)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("dialling", flush=True)
    session.execute()
except KeyboardInterrupt:
    print("interrupted", session.status.value, session.wait(0.0).status)
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(5)
print([thread.name for thread in threading.enumerate()])
"""


def test_a_keyboard_interrupt_while_it_dials_ends_it_and_comes_out():
    with SilentListener() as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", CTRL_C, listener.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=ROOT),
        )
        with process:
            try:
                peer = listener.accept()
                os.kill(process.pid, signal.SIGINT)
                output, errors = process.communicate(timeout=LIMIT)
            finally:
                process.kill()
        read_to_end(peer)
    assert output == b"dialling\ninterrupted Terminated 0\n['MainThread']\n"
    assert errors == b""


# --- What handlers do


class Oddity(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("broken"), KeyboardInterrupt(), SystemExit(3), Oddity("odd"), OSError(5, "no")],
    ids=lambda error: type(error).__name__,
)
def test_what_an_output_handler_raises_is_in_the_outcome(service, error):
    def fail(data):
        raise error

    session = session_at(service, fail)
    session.execute()
    outcome = session.wait(LIMIT)
    assert outcome.error is error
    assert outcome.status == 255
    assert session.status is SessionStatus.FAILED
    service.wait_for(lambda: service.session(session.session_id).is_over)
    session.terminate_session()


def test_what_an_input_handler_raises_is_in_the_outcome(service):
    def fail():
        raise ValueError("broken")

    session = session_at(service, read=fail)
    session.execute()
    error = session.wait(LIMIT).error
    assert isinstance(error.__cause__, ValueError)
    assert session.status is SessionStatus.FAILED


class StuckPipe:
    """Nobody reads it, until the end."""

    def __init__(self):
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        try:
            while True:
                os.write(self._writer, bytes(65536))
        except BlockingIOError:
            os.set_blocking(self._writer, True)
        self.stuck = threading.Event()

    def write(self, data):
        self.stuck.set()
        write_all(self._writer, data)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self._reader)  # whoever writes gets an error, and ends

    def close(self):
        os.close(self._writer)


@pytest.mark.parametrize("how", ["signal", "terminate"])
def test_a_session_that_is_stuck_in_writing_ends_all_the_same(service, how):
    before = set(threading.enumerate())
    pipe = StuckPipe()
    with pipe:
        session = session_at(service, pipe.write)
        session.execute()
        assert pipe.stuck.wait(LIMIT)
        start = time.monotonic()
        if how == "signal":
            session.signal(Signalled(signal.SIGTERM))
            assert session.wait(LIMIT).status == 143
        else:
            session.terminate_session()
            assert session.wait(LIMIT).status == 0
        assert time.monotonic() - start < 5
        assert session.status is SessionStatus.TERMINATED
        service.wait_for(lambda: service.session(session.session_id).is_over)
    assert threads_left(before) == [], "the thread ends once it can"
    pipe.close()
    assert session.status is SessionStatus.TERMINATED, "and changes nothing then"


SILENT = """
import sys
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
output = []
session = Session(
    SessionConfig(*sys.argv[1:]),
    ClientConfig("c-1", SessionType.STANDARD_STREAM, lambda: b"", output.append),
    environment=Environment(silent=True, environ={}),
)
session.execute()
sys.exit(session.wait().status)
"""


def test_an_environment_without_notices_prints_nothing(service):
    config = session_at(service).config
    process = subprocess.Popen(
        [sys.executable, "-c", SILENT] + list(config[:3]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, PYTHONPATH=ROOT),
    )
    with process:
        try:
            output, _ = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert (process.returncode, output) == (0, b"")
    service.wait_for(lambda: service.session(config.session_id).is_over)
