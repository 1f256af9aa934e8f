"""How the connections of a fast tunnel end where not all goes well, as its two ends see it."""

import contextlib
import os
import queue
import socket
import struct
import threading

import pytest

from ssm_plugin.channel import outbound
from ssm_plugin.errors import RemoteError, SessionLost, SsmPluginError
from ssm_plugin.forwarding.reports import ENDED, LOST, READY, RECONNECTED, Report
from ssm_plugin.loopback.agent_handshake import Encryption
from ssm_plugin.relay import liveness
from ssm_plugin.relay.messages import ECHOED, OUTPUT, WINDOW
from ssm_plugin.relay.relay import MOST_SECRETS, Relay
from ssm_plugin.relay.stdio import RelayStdioRunner
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.starting import SessionRequest, make_session, start_session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import SessionType
from ssm_plugin.wire import payloads
from tests.support.commands import give_up_output
from tests.support.fast_tunnels import connect, fast_tunnel, session_of_port, session_of_relay
from tests.support.running import NETWORK, TARGET, service_client
from tests.support.service import local_service
from tests.support.target import Target
from tests.support.threads import wait_until
from tests.support.tunnels import TIME_LIMIT


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


# --- A relay that does not keep to what was agreed.


def test_a_relay_that_sends_more_than_a_window_is_not_kept_in_memory(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        relay = running.shared._relay
        known = set(relay._sinks)
        with connect(running), target.accept():  # of which nobody reads
            (number,) = set(relay._sinks) - known
            with pytest.raises(RemoteError, match="more than there is room for"):
                for _ in range(4096):
                    relay._sinks[number](OUTPUT, bytes(32768))
            assert only_connection(running).held <= WINDOW + 32768


def test_a_relay_that_makes_secrets_without_end_is_not_kept_in_memory():
    relay = Relay(TARGET, Environment(None, NETWORK, environ={}), strict=True)
    relay.take(payloads.OUTPUT, b"@%s 22222\n" % relay._token.encode())
    secret = b"~%d %d s 16 AAAAAAAAAAAAAAAAAAAAAA==\n"
    with pytest.raises(RemoteError, match="more secrets"):
        for number in range(1, 2 * MOST_SECRETS):
            relay.take(payloads.OUTPUT, secret % (number, number))
    assert len(relay._secrets) <= MOST_SECRETS


def test_why_a_relay_is_of_no_use_is_told(tmp_path, monkeypatch):
    """Here something writes lines between its own that look like them."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -V ] || printf "@%s 22222\\n~7 1 s 0 \\n" "$4"; cat')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    with local_service() as service, fast_tunnel(service, "0:22", ready=False) as running:
        error = running.wait_for(ENDED).error
    assert isinstance(error, RemoteError) and "writes to its standard output" in str(error)


def test_why_its_session_does_not_open_is_told_at_once():
    with local_service(encryption=Encryption("key-1", lambda text, context: b"")) as service:
        client = service_client(service, NETWORK, kms_endpoint_url=service.endpoint_url)
        relay = Relay(TARGET, Environment(client, NETWORK, environ={}), strict=True)
        relay.begin()
        with pytest.raises(SessionLost, match="a data key has 64 bytes"):
            relay.wait(queue.Queue())
        relay.close()
        assert relay.join()


def test_a_mistake_of_ours_is_told_and_not_the_end_that_it_brings(service):
    def connecting():
        raise KeyError("mine")

    environment = Environment(service_client(service), NETWORK, environ={})
    relay = Relay(TARGET, environment, strict=True, connecting=connecting)
    relay.begin()
    with pytest.raises(SsmPluginError, match="internal error in thread relay: KeyError"):
        relay.wait(queue.Queue())
    assert relay.join()


# --- The node gives up what the relay says.


def test_a_relay_that_the_node_hears_no_more_is_noticed_and_another_one_takes_its_place(
    service, monkeypatch
):
    monkeypatch.setattr(liveness, "QUIET_LIMIT", 0.5)
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            give_up_output(service, session_of_relay(service), lambda: peer.sendall(b"word"))
            with pytest.raises(ConnectionResetError):
                while sock.recv(65536):
                    pass
        running.wait_for(RECONNECTED)
        is_of_use(running, target)


def test_a_relay_that_had_nothing_to_say_meanwhile_answers_and_goes_on(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        relay, answered = running.shared._relay, threading.Event()
        ((number, sink),) = relay._sinks.items()

        def told(kind, data):
            sink(kind, data)
            if kind == ECHOED:
                answered.set()

        relay.listen_to(number, told)
        with connect(running) as sock, target.accept() as peer:
            session_of_relay(service).drop_connection()
            assert answered.wait(TIME_LIMIT)
            peer.sendall(b"still here")
            with sock.makefile("rb") as incoming:
                assert incoming.read(10) == b"still here"
        assert running.shared._relay is relay


def is_reset(running):
    """Whether a new connection is accepted, and reset."""
    try:
        with connect(running) as sock:
            return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_connects_long_after_a_loss_of_the_relay_alone_is_reset_until_it_is_back(service):
    with Target() as target:
        with fast_tunnel(service, "0:%d" % target.port, patience=0.3) as running:
            with connect(running) as sock, target.accept() as peer:
                service.answer_with("ResumeSession", "ThrottlingException", times=4)
                session_of_relay(service).drop_connection()
                assert running.wait_for(LOST).message
                assert is_reset(running)  # it came early, and has waited
                assert is_reset(running)
                running.wait_for(RECONNECTED)
                peer.sendall(b"still here")
                with sock.makefile("rb") as incoming:
                    assert incoming.read(10) == b"still here"
            is_of_use(running, target)


def test_a_tunnel_whose_sessions_were_both_lost_is_back_when_both_are(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        service.answer_with("ResumeSession", "ThrottlingException", times=2)
        session_of_relay(service).drop_connection()
        wait_until(lambda: len(service.ssm.calls("ResumeSession")) == 2)
        session_of_port(service).drop_connection()  # it is resumed at once, and before the relay
        running.wait_for(LOST)
        running.wait_for(RECONNECTED)
        assert not running.shared._relay.is_paused
        is_of_use(running, target)
        kinds = [one.kind for one in running.seen if isinstance(one, Report)]
        assert kinds == [READY, LOST, RECONNECTED]


def test_a_relay_is_not_given_up_while_its_node_repeats_what_we_have(service, monkeypatch):
    monkeypatch.setattr(outbound, "AGENTS_PAUSE", 0.1)
    monkeypatch.setattr(liveness, "QUIET_LIMIT", 0.5)
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            lose_acknowledgements(session_of_relay(service), sock, peer)
            # What was acknowledged comes again, ten messages a second, before anything new does.
            peer.sendall(b"more")
            assert sock.recv(4) == b"more"
            assert running.shared._relay.resumptions == 1


def lose_acknowledgements(session, sock, peer):
    """Let a relay bring a little, and its node not learn of that, as the connection breaks."""
    session.misbehave("up.lose")
    peer.sendall(bytes(40000))
    came = 0
    while came < 40000:
        came += len(sock.recv(65536))
    session.misbehave("")
    session.drop_connection()


def test_nor_does_the_one_connection_of_ssh_wait_for_a_relay_that_the_node_hears_no_more(
    service, monkeypatch
):
    monkeypatch.setattr(liveness, "QUIET_LIMIT", 0.5)
    came = threading.Event()
    with Target() as target, stdio_session(service, target, lambda data: came.set()) as session:
        with target.accept() as peer:
            peer.sendall(b"SSH-2.0")
            assert came.wait(TIME_LIMIT)
            give_up_output(service, session_of_relay(service), lambda: peer.sendall(b"word"))
            outcome = session.wait(TIME_LIMIT)
            assert "gave up the relay's output" in str(outcome.error)


@contextlib.contextmanager
def stdio_session(service, target, output):
    """Of one that has no input."""
    environment = Environment(
        service_client(service), NETWORK, environ={}, silent=True,
        streams=CallableStreams(output, output),
    )
    relay, events = Relay(TARGET, environment, strict=True), queue.Queue()
    relay.begin()
    relay.wait(events)
    kind, port = SessionType.PORT, {"portNumber": [str(relay.port)]}
    request = SessionRequest(TARGET, kind, "AWS-StartSSHSession", port)
    started = start_session(environment.service, request, events)
    way = "", target.port
    session = make_session(
        request, started, environment, events,
        lambda session, started: RelayStdioRunner(session, started, relay, way, bool),
    )
    session.execute()
    try:
        yield session
    finally:
        session.terminate_session()
        relay.close()
        relay.join()


def is_of_use(running, target):
    with connect(running) as sock, target.accept() as peer:
        peer.sendall(b"hello")
        with sock.makefile("rb") as incoming:
            assert incoming.read(5) == b"hello"


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


def test_who_connects_while_a_session_that_is_over_delivers_the_rest_is_reset(service):
    with Target() as target, fast_tunnel(service, "0:%d" % target.port) as running:
        with connect(running) as sock, target.accept() as peer:
            connection, relay = only_connection(running), running.shared._relay
            fill(peer)  # so it has to deliver as long as it may
            session_of_port(service).terminate("That is enough.")
            wait_until(lambda: connection.number not in relay._sinks)
            with connect(running) as late:
                assert read_to_reset(late) == b""
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
