"""A session outlives its connections: nothing is lost, nothing is left behind."""

import gc
import os
import re
import socket
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
import websocket

from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import DeadlineError, ServiceError, SessionLost
from ssm_plugin.session import timers
from ssm_plugin.session.connector import OwnDataChannel
from ssm_plugin.session.types import SessionStatus
from ssm_plugin.transport.data_channel import HIGH_WATER
from ssm_plugin.transport.link import Link
from tests.support.running import RunningSession, service_client
from tests.support.service import local_service
from tests.support.threads import TIME_LIMIT, threads_left, wait_until

PROMPT = b"ready> "
SHELL = ("env", "PS1=" + PROMPT.decode(), "/bin/sh")
# Silence, of either kind, ends as soon.
IMPATIENT = NetworkSettings(connect_timeout=5.0, first_output_timeout=0.5)
QUICK = NetworkSettings(connect_timeout=2.0, ping_interval=0.2, reconnect_timeout=10.0)


@pytest.fixture(scope="module")
def service():
    with local_service(shell=SHELL) as service:
        yield service


class CountingService:
    """A service client that counts the resumptions asked for, and notes their moments."""

    def __init__(self, client):
        self._client = client
        self.resumed_at = []
        self.asked = threading.Event()

    def resume_session(self, session_id):
        self.resumed_at.append(time.monotonic())
        self.asked.set()
        return self._client.resume_session(session_id)

    def __getattr__(self, name):
        return getattr(self._client, name)


def still_works(running, word):
    """The shell answers, with a line that its echo of the input does not hold. A prompt may stand
    before that: the input does not wait for one."""
    running.send(b"echo '%s'%s\n" % (word[:1], word[1:]))
    running.expect(word + b"\r\n")


def sockets():
    """The sockets that this process has open."""
    names = ("/proc/self/fd/" + name for name in os.listdir("/proc/self/fd"))
    return sorted(os.readlink(name) for name in names if os.path.islink(name))


@pytest.mark.parametrize("loss", ["drop_connection", "say_bye"])
def test_a_lost_connection_is_resumed_and_nothing_is_lost(service, loss):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        for _ in range(5):
            running.send(b"echo be''gin; seq 1 3000; echo fin''ished\n")
            running.expect(b"begin\r\n")
            getattr(running.at_service, loss)()
            text = running.expect(b"\nfinished")
            assert [int(word) for word in re.findall(rb"\b\d+\b", text)] == list(range(1, 3001))
        assert running.at_service.connections >= 5  # one may find nobody connected
        running.send(b"exit\n")
        assert running.finish() == 0
    assert b"Exiting session with sessionId" in running.notices


@pytest.mark.parametrize("resumed_url", ["same", "cell-number", "other-port", "empty"])
def test_the_url_that_the_resumption_names_is_dialled(resumed_url):
    with local_service(shell=SHELL, resumed_url=resumed_url) as service:
        with RunningSession(service) as running:
            running.expect(PROMPT)
            first = running.session.stream_url
            running.at_service.drop_connection()
            still_works(running, b"here")
            second = running.session.stream_url
    assert (first == second) == (resumed_url in ("same", "empty"))
    assert (urlsplit(first).port == urlsplit(second).port) == (resumed_url != "other-port")


def test_each_resumption_has_a_token_of_its_own(service):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        first = running.session.token_value
        running.at_service.drop_connection()
        still_works(running, b"here")
        assert running.session.token_value != first


def test_two_resumptions_are_refused_and_the_third_granted(service):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("refuse-token=2")
        running.at_service.drop_connection()
        still_works(running, b"here")
        running.at_service.misbehave("refuse-upgrade=2")
        running.at_service.drop_connection()
        still_works(running, b"again")


def test_failures_of_the_service_are_outlived(service):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        service.answer_with("ResumeSession", "InternalServerError", status=500, times=2)
        running.at_service.drop_connection()
        still_works(running, b"here")


def test_an_empty_token_means_that_the_session_is_over(service):
    with RunningSession(service, faults="lose-channel-closed") as running:
        running.expect(PROMPT)
        running.at_service.terminate()
        running.at_service.drop_connection()
        assert running.finish() == 255
    expected = "Session: %s timed out.\n" % running.session.session_id
    assert running.notices.decode().endswith(expected)


def test_a_shell_ends_by_the_agents_word_if_the_end_of_its_channel_is_lost(service):
    with RunningSession(service, faults="lose-channel-closed") as running:
        running.expect(PROMPT)
        began = time.monotonic()
        running.send(b"exit\n")
        assert running.finish() == 0
    assert time.monotonic() - began < 12
    assert running.at_service.connections == 1


def test_a_shell_whose_agent_says_nothing_either_ends_by_the_services_word(service):
    """Within 20 s if there is input that nobody acknowledges."""
    with RunningSession(service, faults="lose-channel-closed") as running:
        running.expect(PROMPT)
        running.at_service.terminate()
        running.send(b"hello?\n")
        assert running.finish(25) == 255
    assert running.at_service.connections == 1
    assert len(service.ssm.calls("DescribeSessions")) >= 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "DoesNotExistException"])
def test_a_refusal_that_cannot_heal_ends_the_session_at_once(service, code):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        service.answer_with("ResumeSession", code, "not for you")
        began = time.monotonic()
        running.at_service.drop_connection()
        with pytest.raises(SessionLost) as caught:
            running.finish()
    assert time.monotonic() - began < 20
    assert "cannot be resumed" in str(caught.value)
    assert isinstance(caught.value.__cause__, ServiceError)
    assert running.session.status is SessionStatus.FAILED


def test_without_a_way_to_resume_the_reason_is_told(service):
    with RunningSession(service, service=None) as running:
        running.expect(PROMPT)
        running.at_service.drop_connection()
        with pytest.raises(SessionLost, match="without AWS credentials it cannot be resumed"):
            running.finish()


@pytest.mark.parametrize("loss", ["drop_connection", "say_bye"])
def test_where_there_are_no_credentials_a_loss_is_the_end_and_told_at_once(service, tmp_path, loss):
    home = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    client = ServiceClient(
        CredentialProvider(environ=home), "us-east-1", service.endpoint_url, environ=home
    )
    with RunningSession(service, service=client) as running:
        running.expect(PROMPT)
        began = time.monotonic()
        getattr(running.at_service, loss)()
        with pytest.raises(SessionLost) as caught:
            running.finish()
    assert time.monotonic() - began < 20
    running.at_service.terminate()  # nobody else may
    service.wait_for(lambda: running.at_service.is_over)
    message = str(caught.value)
    assert "cannot be resumed: no AWS credentials were found" in message
    assert "run 'aws configure'" in message and "\n" not in message


def test_a_network_that_swallows_everything_is_noticed_and_outlived(service):
    with RunningSession(service, network=QUICK) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("silent=1500ms")
        still_works(running, b"here")
        assert running.at_service.connections > 1


def test_resumptions_that_lead_nowhere_come_at_growing_intervals(service):
    counting = CountingService(service_client(service, QUICK))
    network = QUICK._replace(reconnect_timeout=2.5)
    with RunningSession(service, service=counting, network=network) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("refuse-token")
        began = time.monotonic()
        running.at_service.drop_connection()
        with pytest.raises(SessionLost):
            running.finish()
    assert 2.0 < time.monotonic() - began < 20
    assert 2 <= len(counting.resumed_at) <= 7


def test_a_connection_that_served_well_is_resumed_without_delay(service):
    counting = CountingService(service_client(service))
    with RunningSession(service, service=counting) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("refuse-token=2")
        running.at_service.drop_connection()
        still_works(running, b"here")
        del counting.resumed_at[:]
        began = time.monotonic()
        running.at_service.drop_connection()
        still_works(running, b"again")
    assert counting.resumed_at[0] - began < 0.9  # a third attempt comes after a second or more


def test_what_comes_at_once_over_a_new_connection_counts_as_its_service(service, monkeypatch):
    attach = OwnDataChannel.attach

    def attach_and_let_all_come(channel, connection):
        seen, now = -1, channel.progress
        attach(channel, connection)
        while channel.is_open and seen != now:
            threading.Event().wait(0.2)
            seen, now = now, channel.progress

    monkeypatch.setattr(OwnDataChannel, "attach", attach_and_let_all_come)
    test_a_connection_that_served_well_is_resumed_without_delay(service)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's list")
def test_lost_connections_leave_no_descriptor_open(service):
    def settled():
        return len(sockets()) <= before

    with RunningSession(service) as running:
        running.expect(PROMPT)
        still_works(running, b"here")
        before = len(sockets())
        gc.disable()
        try:
            for number in range(20):
                running.at_service.drop_connection()
                still_works(running, b"%d" % number)
            deadline = time.monotonic() + 20
            while not settled() and time.monotonic() < deadline:
                still_works(running, b"settling")  # threads of the last connection are leaving
            assert settled(), sockets()
        finally:
            gc.enable()


def test_lost_connections_are_freed_without_the_collector_of_garbage(service):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        gc.collect()
        gc.disable()
        try:
            for number in range(10):
                running.at_service.drop_connection()
                still_works(running, b"%d" % number)
            kept = Counter(map(type, gc.get_objects()))
        finally:
            gc.enable()
    assert kept[Link] < 6  # its own, the node's, and those whose threads are still leaving
    assert kept[websocket.WebSocket] < 6


class Listener:
    """Takes connections and says nothing, like a service that is lost behind a dead network."""

    def __init__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(8)
        self._socket.settimeout(10)
        self.url = "ws://127.0.0.1:%d/" % self._socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()

    def accept(self):
        accepted, _ = self._socket.accept()
        accepted.settimeout(10)
        return accepted


def read_to_end(sock):
    while sock.recv(65536):
        pass


class Diverting(CountingService):
    """Sends resumed sessions to another stream URL."""

    stream_url = ""

    def resume_session(self, session_id):
        return super().resume_session(session_id)._replace(stream_url=self.stream_url)


def test_a_connection_that_is_still_being_made_at_the_end_is_dropped(service):
    diverting = Diverting(service_client(service))
    with Listener() as silent, RunningSession(service, service=diverting) as running:
        running.expect(PROMPT)
        diverting.stream_url = silent.url
        running.at_service.drop_connection()
        with silent.accept() as half_open:
            half_open.recv(1)
            began = time.monotonic()
            running.session.end(0)
            assert running.finish() == 0
            read_to_end(half_open)
            assert time.monotonic() - began < 10


def test_a_session_ends_at_once_while_it_resumes(service):
    counting = CountingService(service_client(service))
    with RunningSession(service, service=counting) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("refuse-upgrade")
        running.at_service.drop_connection()
        assert counting.asked.wait(20)
        began = time.monotonic()
        running.session.end(7)
        assert running.finish() == 7
        assert time.monotonic() - began < 10
    service.wait_for(lambda: running.at_service.is_over)


def test_what_is_typed_while_resuming_arrives(service):
    with RunningSession(service) as running:
        running.expect(PROMPT)
        running.at_service.misbehave("refuse-upgrade=2")
        running.at_service.drop_connection()
        still_works(running, b"typed")


def test_a_handshake_survives_the_loss_of_its_connection(service):
    for limit in range(1, 7):
        faults = "force-handshake,drop-after=%d" % limit
        with RunningSession(service, faults=faults) as running:
            running.expect(PROMPT)
            still_works(running, b"here")


def test_a_quiet_command_can_be_typed_into_once_the_wait_is_over(service):
    """Where a document that is not known opens a session without a handshake."""
    parameters = {"command": "read line; echo got $line; read line"}
    with RunningSession(
        service, "AWS-StartInteractiveCommand", parameters, network=IMPATIENT
    ) as running:
        running.send(b"hello\n")
        running.expect(b"got hello")
        assert running.notices.count(b"Starting session") == 1
        running.send(b"\n")
        assert running.finish() == 0


def test_a_session_that_never_starts_says_what_it_waited_for(service):
    with RunningSession(service, faults="down.lose", network=IMPATIENT) as running:
        with pytest.raises(DeadlineError, match="the node sent nothing"):
            running.finish()


def test_threads_end_with_their_session():
    before = set(threading.enumerate())
    with local_service(shell=SHELL) as own:
        with RunningSession(own) as running:
            running.expect(PROMPT)
            running.at_service.drop_connection()
            still_works(running, b"here")
            running.session.end(0)
            running.finish()
    assert threads_left(before) == []


def test_a_slow_reader_gets_all_that_came_although_the_session_is_over(service, monkeypatch):
    """What waits behind it has not been taken from the connection, the session's end least of all.
    The service, if asked, says that the session is over."""
    for name in ("QUIET_INTERVAL", "UNACKNOWLEDGED_LIMIT", "IDLE_LIMIT"):
        monkeypatch.setattr(timers, name, 0.05)
    is_over, slowly, pieces = threading.Event(), threading.Event(), []

    def take(data):
        pieces.append(len(data))
        if sum(pieces) > 100000:
            assert is_over.wait(TIME_LIMIT)
            slowly.wait(0.02)

    with RunningSession(service, on_output=take) as running:
        running.send(b"head -c 12000000 /dev/zero | tr '\\0' x\n")
        wait_until(lambda: pieces)
        channel = running.session.data_channel
        wait_until(lambda: channel.backpressure.waits_for_consumer)
        running.at_service.terminate("maintenance")
        is_over.set()
        assert running.finish() == 255
    assert running.outcome.reason == "maintenance"
    assert sum(pieces) > HIGH_WATER
