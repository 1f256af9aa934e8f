"""How the connections of a fast tunnel end where not all goes well, as its two ends see it."""

import os
import socket

import pytest

from tests.support.fast_tunnels import fast_tunnel
from tests.support.service import local_service
from tests.support.target import Target
from tests.support.tunnels import TIME_LIMIT


@pytest.fixture
def service(monkeypatch):
    # The first python3 on PATH is a program, and not a script of some version manager.
    monkeypatch.setenv("PATH", "/usr/bin:" + os.environ["PATH"])
    with local_service() as running:
        yield running


def connect(running):
    return socket.create_connection(running.address, TIME_LIMIT)


def fill(sock):
    """Send until no more is taken for a while; how much it was."""
    sent = 0
    sock.settimeout(0.3)
    with pytest.raises(socket.timeout):
        while True:
            sent += sock.send(bytes(65536))
    sock.settimeout(TIME_LIMIT)
    return sent


def is_told_of_a_reset(sock):
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            sock.sendall(bytes(65536))
    return True


def test_who_only_sends_is_told_when_the_target_goes_with_data_unread(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            fill(sock)
            assert peer.recv(1) == b"\0"
            peer.close()
            assert is_told_of_a_reset(sock)


def test_who_still_sends_is_told_when_a_target_that_has_ended_goes(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            peer.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
            fill(sock)
            assert peer.recv(1) == b"\0"
            peer.close()
            assert is_told_of_a_reset(sock)
