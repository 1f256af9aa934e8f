"""Fast tunnels through a local service: what goes in comes out, and they stay up."""

import os
import socket

import pytest

from ssm_plugin.channel import mux
from ssm_plugin.forwarding.reports import ERROR, READY, RECONNECTED
from ssm_plugin.relay.messages import WINDOW
from ssm_plugin.relay.relay import SPARE_LEASE
from tests.support.fast_tunnels import (
    connect,
    fast_tunnel,
    kill_relay,
    relays,
    same,
    session_of_port,
    session_of_relay,
    through,
)
from tests.support.running import NETWORK
from tests.support.service import local_service
from tests.support.target import Target
from tests.support.threads import wait_until
from tests.support.tunnels import TIME_LIMIT

LONG = os.urandom(1 << 20) * 3


@pytest.fixture
def tunnel(service, echo):
    with fast_tunnel(service, "0:%d" % echo.port) as running:
        yield running


def test_bytes_of_every_value_come_back(tunnel):
    assert same(through(tunnel, bytes(range(256)) * 400), bytes(range(256)) * 400)


@pytest.mark.volume
def test_more_than_a_window_comes_back(tunnel):
    assert same(through(tunnel, LONG), LONG)


@pytest.mark.volume
def test_a_hundred_connections_at_once(tunnel):
    socks = [connect(tunnel) for _ in range(100)]
    for number, sock in enumerate(socks):
        sock.sendall(b"%d" % number)
        sock.shutdown(socket.SHUT_WR)
    for number, sock in enumerate(socks):
        with sock, sock.makefile("rb") as incoming:
            assert incoming.read() == b"%d" % number


def test_one_direction_may_end_long_before_the_other(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            with peer.makefile("rb") as incoming:
                assert incoming.read() == b"question"
            peer.sendall(b"answer")
            peer.shutdown(socket.SHUT_WR)
            with sock.makefile("rb") as incoming:
                assert incoming.read() == b"answer"


@pytest.mark.volume
def test_one_that_is_not_read_holds_up_no_other_and_memory_is_bounded(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as unread, target.accept() as flood:
            flood.setblocking(False)
            sent = fill(flood)
            with connect(running) as sock, target.accept() as peer:
                peer.sendall(b"not held up")
                assert sock.recv(100) == b"not held up"
            sent += fill(flood)
            held = [one.held for one in running.tunnel._current._runner._streams.connections()]
            assert max(held) <= WINDOW
            flood.setblocking(True)
            flood.shutdown(socket.SHUT_WR)
            unread.settimeout(TIME_LIMIT)
            with unread.makefile("rb") as incoming:
                assert len(incoming.read()) == sent


def fill(sock):
    """Send until nothing more is taken; how much it was."""
    sent, piece = 0, bytes(65536)
    try:
        while sent < 64 << 20:
            sent += sock.send(piece)
    except BlockingIOError:
        pass
    return sent


@pytest.mark.parametrize("host", ["", "no..host:", 40 * "too-long." + "host:"])
def test_a_target_that_refuses_is_told_and_its_connection_reset(service, host):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with fast_tunnel(service, "0:%s%d" % (host, closed.getsockname()[1])) as running:
            with connect(running) as sock, pytest.raises(ConnectionResetError):
                sock.recv(1)
            assert "could not connect" in running.wait_for(ERROR).message


def test_a_host_behind_the_node_is_reached(service, echo):
    with fast_tunnel(service, "0:localhost:%d" % echo.port) as running:
        assert through(running, b"hello") == b"hello"


@pytest.mark.parametrize(
    "faults",
    ["drop-every=300", "bye-every=600", "lose=3%,double=3%,reorder=3%", "down.corrupt=2%"],
)
@pytest.mark.volume
def test_nothing_is_lost_or_doubled_on_a_bad_network(quick_python, echo, faults):
    data = LONG[:300000]
    with local_service(faults=faults) as service:
        with fast_tunnel(service, "0:%d" % echo.port) as running:
            assert same(through(running, data), data)


def test_a_broken_python_and_one_that_greets_are_no_hindrance(echo, tmp_path, monkeypatch):
    python, perl = tmp_path / "python3", tmp_path / "python2"
    python.write_text("#!/bin/sh\nexit 1\n")
    perl.write_text('#!/bin/sh\necho "Welcome"; exec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    perl.chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with local_service() as service, fast_tunnel(service, "0:%d" % echo.port) as running:
        assert same(through(running, LONG), LONG)


def test_perl_serves_where_there_is_no_python(echo, tmp_path, monkeypatch):
    for name in ("sh", "perl"):
        (tmp_path / name).symlink_to("/usr/bin/" + name)
    monkeypatch.setenv("PATH", str(tmp_path))
    with local_service() as service, fast_tunnel(service, "0:%d" % echo.port) as running:
        assert same(through(running, LONG), LONG)


def test_ready_is_told_once_the_way_up_is_proven(service, echo):
    with fast_tunnel(service, "0:%d" % echo.port, ready=False) as running:
        assert running.wait_for(READY).session_id


# --- Its ends.


def end_by_kill(service):
    kill_relay()


def end_command(service):
    session_of_relay(service).terminate("the command is over")


def end_port(service):
    session_of_port(service).terminate("the port session is over")


@pytest.mark.parametrize("end", [end_by_kill, end_command, end_port])
def test_whatever_ends_connections_are_reset_and_the_port_stays(quick_python, echo, end):
    with local_service() as service, fast_tunnel(service, "0:%d" % echo.port) as running:
        with connect(running) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            end(service)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        running.wait_for(RECONNECTED)
        assert through(running, b"again") == b"again"
        assert len(relays()) == 1


def test_a_way_up_that_is_refused_once_leaves_auto_fast(quick_python, echo):
    """A relay that has served is lost then, and a new one takes its place: as when its end has
    not arrived here yet."""
    with local_service() as service:
        with fast_tunnel(service, "0:%d" % echo.port, speed="auto") as running:
            assert through(running, b"x") == b"x"
            service.ssm.answer_with("StartSession", "TargetNotConnected")
            end_port(service)
            running.wait_for(RECONNECTED)
            assert through(running, b"again") == b"again"
            assert len(relays()) == 1


def test_auto_is_fast_again_after_a_restart_of_the_node(quick_python, echo):
    """Neither kind of session can be started for a moment."""
    with local_service() as service:
        with fast_tunnel(service, "0:%d" % echo.port, speed="auto") as running:
            assert through(running, b"x") == b"x"
            service.ssm.answer_with("StartSession", "TargetNotConnected", times=2)
            kill_relay()
            running.wait_for(RECONNECTED)
            assert through(running, b"again") == b"again"
            assert len(relays()) == 1


def test_at_its_end_nothing_is_left_at_the_node(quick_python, echo):
    with local_service() as service:
        with fast_tunnel(service, "0:%d" % echo.port) as running:
            port = running.shared._relay.port
            socket.create_connection(("127.0.0.1", port), TIME_LIMIT).close()
            assert through(running, b"x") == b"x"
        service.wait_for(lambda: not service.open_sessions())
        service.wait_for(lambda: not relays())
        wait_until(lambda: refuses(port))  # who ends closes its sockets last


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), TIME_LIMIT).close()
    except ConnectionRefusedError:
        return True
    return False


def is_there_after(seconds, sock):
    """A connection on which nothing comes for so long still carries what is sent."""
    sock.settimeout(seconds)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    sock.settimeout(TIME_LIMIT)
    sock.sendall(b"still here")
    assert sock.recv(10) == b"still here"


def test_idle_for_longer_than_a_relay_waits_for_us_nothing_dies(service, echo):
    network = NETWORK._replace(reconnect_timeout=2 - SPARE_LEASE, ping_interval=0.5)
    with fast_tunnel(service, "0:%d" % echo.port, network=network) as running:
        assert running.shared._relay.lease == 2
        with connect(running) as sock:
            is_there_after(3.0, sock)
        assert through(running, b"and new ones") == b"and new ones"
        assert [one for one in running.seen if getattr(one, "kind", "") == ERROR] == []


def test_secrets_that_were_lost_are_replaced(tunnel):
    """As those of connections that the relay hung up on before they had shown theirs."""
    relay = tunnel.shared._relay
    lose_secrets(relay)
    assert is_answered(tunnel)  # by the one that was reserved; a wrong one is now
    lose_secrets(relay)
    assert not is_answered(tunnel)
    assert any(is_answered(tunnel) for _ in range(4))


def is_answered(tunnel):
    """False if the connection is reset."""
    with connect(tunnel) as sock:
        sock.sendall(b"hello")
        try:
            return sock.recv(5) == b"hello"
        except ConnectionResetError:
            return False


def lose_secrets(relay):
    """Have three instead that the relay does not know."""
    with relay._lock:
        relay._secrets = {1000 + number: bytes(16) for number in range(3)}


@pytest.mark.parametrize("speed", ["plain", "fast"])
def test_an_agent_that_wants_keep_alives_gets_them(quick_python, echo, monkeypatch, speed):
    monkeypatch.setattr(mux, "KEEP_ALIVE_INTERVAL", 1.0)  # it ends the session after three
    with local_service(agent_version="3.1.1511.0") as service:
        with fast_tunnel(service, "0:%d" % echo.port, speed) as running:
            with connect(running) as sock:
                is_there_after(5.0, sock)
