"""How the connections of a fast tunnel end where not all goes well, as its two ends see it."""

import os
import socket
import struct
import threading

import pytest

from ssm_plugin.relay.messages import WINDOW
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


# --- The target breaks off a download.


def abort(sock):
    """Close it with a reset, whatever has been read of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def only_connection(running):
    """As our side has it."""
    streams = running.tunnel._current._runner._streams
    (found,) = [one for one in streams.connections() if one.sock is not None]
    return found


def read_while_it_has_to(connection, sock):
    """Until our side is told that the target is gone, and no more than it takes for that: so it
    still holds some of the data then."""
    tick = threading.Event()
    while not connection.broken:
        if connection.held > WINDOW // 2:
            sock.recv(65536)
        else:
            tick.wait(0.005)


def read_to_reset(sock):
    """What comes before a reset; an end is an error."""
    came = bytearray()
    with pytest.raises(ConnectionResetError):
        while True:
            data = sock.recv(65536)
            assert data, "the connection ended as if all had come"
            came += data
    return bytes(came)


def test_a_download_that_its_target_breaks_off_is_delivered_and_then_reset(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            sock.sendall(b"question")
            assert peer.recv(8) == b"question"
            peer.sendall(b"a part")
            abort(peer)
            assert read_to_reset(sock) == b"a part"


def test_a_slow_reader_of_a_download_that_its_target_breaks_off_sees_no_end_of_it(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            connection = only_connection(running)
            fill(peer)
            abort(peer)
            read_while_it_has_to(connection, sock)
            assert read_to_reset(sock)


def test_a_target_that_ended_before_it_was_gone_has_an_end_at_our_side_too(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            peer.sendall(b"all")
            sock.sendall(b"unread")
            assert peer.recv(1) == b"u"
            peer.shutdown(socket.SHUT_WR)
            peer.close()
            with sock.makefile("rb") as incoming:
                assert incoming.read() == b"all"
