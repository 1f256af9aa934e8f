"""Where a tunnel may be fast, and what it is where it may not, or cannot."""

import os
import threading

import pytest

from ssm_plugin.errors import RemoteError
from ssm_plugin.forwarding.reports import ENDED, RECONNECTED
from ssm_plugin.relay import pace
from ssm_plugin.relay.choice import PREFERENCES, LoggingCheck
from tests.support.fast_tunnels import (
    PORT,
    connect,
    fast_tunnel,
    kill_relay,
    relays,
    same,
    send_all,
    through,
)
from tests.support.running import service_client
from tests.support.service import local_service
from tests.support.target import Target
from tests.support.threads import wait_until


def plain_because(service, echo, prepare):
    """How many sessions it took until a plain tunnel works."""
    prepare(service)
    with fast_tunnel(service, "0:%d" % echo.port, speed="auto") as running:
        assert through_plain(running) == b"hello"
        wait_until(lambda: relays() == [])  # one that cannot work may just be ending

        def documents():
            return [one.request.document_name for one in service.open_sessions()]

        service.wait_for(lambda: documents() == [PORT])


def through_plain(running):
    with connect(running) as sock:
        sock.sendall(b"hello")
        return sock.recv(5)


def refuse_command(service):
    service.ssm.answer_with("StartSession", "AccessDeniedException")


def refuse_documents(service):
    service.ssm.answer_with("GetDocument", "AccessDeniedException", times=2)


def log_sessions(service):
    service.ssm.diagnosis.preferences = {"s3BucketName": "logs", "cloudWatchLogGroupName": ""}


@pytest.mark.parametrize("prepare", [refuse_command, refuse_documents, log_sessions])
def test_auto_is_plain_where_something_is_missing(quick_python, echo, prepare):
    with local_service() as service:
        plain_because(service, echo, prepare)


def test_fast_is_an_error_where_something_is_missing(quick_python, echo):
    with local_service() as service:
        refuse_command(service)
        with fast_tunnel(service, "0:%d" % echo.port, ready=False) as running:
            error = running.wait_for(ENDED).error
            assert isinstance(error, RemoteError) and "--speed auto" in str(error)


def test_fast_says_that_its_output_is_logged(quick_python, echo):
    with local_service() as service:
        log_sessions(service)
        with fast_tunnel(service, "0:%d" % echo.port) as running:
            assert through(running, b"hello") == b"hello"
            assert ["logs sessions" in line for line in running.warnings] == [True]


def test_auto_is_plain_with_an_agent_of_one_connection(quick_python, echo):
    with local_service(agent_version="3.0.100.0") as service:
        with fast_tunnel(service, "0:%d" % echo.port, speed="auto") as running:
            assert through_plain(running) == b"hello"
            service.wait_for(lambda: not relays())


def test_auto_is_plain_at_a_node_without_an_interpreter(echo, tmp_path, monkeypatch):
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with local_service() as service:
        plain_because(service, echo, lambda service: None)


def test_auto_stays_plain_after_two_relays_that_ended(quick_python, echo):
    with local_service() as service:
        with fast_tunnel(service, "0:%d" % echo.port, speed="auto") as running:
            for _ in range(2):
                assert through(running, b"x") == b"x"
                kill_relay()
                running.wait_for(RECONNECTED)
            assert through_plain(running) == b"hello"
            assert relays() == []


@pytest.mark.volume
def test_auto_that_is_no_faster_is_plain_once_its_connections_have_ended(
    quick_python, caplog, monkeypatch
):
    monkeypatch.setattr(pace, "PERIOD", 1.0)
    caplog.set_level("INFO", "ssm_plugin")
    data = os.urandom(2000000)
    with local_service(faults="pace=1.2ms", paces_commands=True) as service, Target() as target:
        with fast_tunnel(service, "0:%d" % target.port, speed="auto") as running:
            with connect(running) as sock, target.accept() as peer:
                threading.Thread(target=send_all, args=(peer, data), daemon=True).start()
                with sock.makefile("rb") as incoming:
                    assert same(incoming.read(), data)
            running.wait_for(RECONNECTED)
            with connect(running) as sock, target.accept() as peer:
                peer.sendall(b"plain")
                assert sock.recv(5) == b"plain"
            service.wait_for(lambda: len(service.open_sessions()) == 1)
            assert service.session().request.document_name == PORT
    assert "is reached at plain speed: the relay at the node is no faster" in caplog.text


@pytest.mark.parametrize(
    "content, logged",
    [
        ({}, False),
        ({"inputs": None}, False),
        ({"inputs": {"s3BucketName": "", "cloudWatchLogGroupName": ""}}, False),
        ({"inputs": {"s3BucketName": "b"}}, True),
        ({"inputs": {"cloudWatchLogGroupName": "{{ group }}"}}, True),
        ("schemaVersion: 1.0", True),
        ([], True),
    ],
)
def test_a_document_tells_whether_sessions_are_logged(service, content, logged):
    """One that cannot be read may say so."""
    service.ssm.diagnosis.contents[PREFERENCES] = content
    check = LoggingCheck(service_client(service), PREFERENCES)
    check.begin()
    assert bool(check.reason()) == logged
