"""The agent's side of port sessions, seen by a client that knows nothing of ours."""

import socket
import struct
import threading
from contextlib import suppress

import pytest

from ssm_plugin.channel.mux import MuxSession, StreamClosed, StreamData
from ssm_plugin.errors import LocalError
from ssm_plugin.loopback.agent_port_target import Target, open_target
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from ssm_plugin.wire.smux import FIN, NOP, PSH, SYN, encode_frame
from tests.support.channel_client import ChannelClient
from tests.support.service import local_service
from tests.test_plugins.port_helpers import (
    FORWARDING,
    REMOTE_FORWARDING,
    SSH,
    TargetServer,
    echo,
    random_bytes,
    read_all,
    read_exactly,
)

OLD = "3.0.196.0"
MIB = 1 << 20
SLACK = MIB // 2  # what the system keeps differs a little each time


@pytest.fixture
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def old_service():
    with local_service(agent_version=OLD) as service:
        yield service


def unused_port():
    with bind_tcp() as end:
        return str(end.port)


def open_port(service, target, document=FORWARDING, **parameters):
    port = str(target.port) if isinstance(target, TargetServer) else target
    client = ChannelClient(service, document, dict(parameters, portNumber=port))
    client.wait_for(lambda: client.started is not None)
    return client


def frames_of(client):
    """What the node said so far, by a parser of its own."""
    found, position, data = [], 0, client.output
    while position + 8 <= len(data):
        version, command, length, stream = struct.unpack_from("<BBHI", data, position)
        assert version == 1
        if position + 8 + length > len(data):
            break
        found.append((command, stream, data[position + 8:position + 8 + length]))
        position += 8 + length
    return found


def wait_for_frames(client, wanted):
    client.wait_for(lambda: wanted in [frame[:2] for frame in frames_of(client)])


# Stdio


def test_stdio_is_one_connection_for_the_session(service):
    with TargetServer(echo) as target, open_port(service, target, SSH) as client:
        assert client.started.properties == {"portNumber": str(target.port)}
        data = random_bytes(100000)
        client.send(data)
        client.wait_for(lambda: len(client.output) == len(data))
        assert client.output == data


def test_the_end_of_the_target_is_the_end_of_a_stdio_session(service):
    data = random_bytes(300000)
    with TargetServer(lambda one: one.sendall(data)) as target:
        with open_port(service, target, SSH) as client:
            assert client.wait_closed() == ""
            assert client.output == data
    assert not client.leaving  # a real agent says that of shells and commands only


@pytest.mark.parametrize("version", ["3.3.0.0", OLD])
def test_a_target_that_refuses_is_the_reason_of_the_end(version):
    document = SSH if version != OLD else FORWARDING
    port = unused_port()
    with local_service(agent_version=version) as service:
        with open_port(service, port, document) as client:
            reason = client.wait_closed()
    assert reason.startswith("unable to connect to the node's port %s: " % port)


@pytest.mark.parametrize("port", ["", "0", "65536", "http", "\u00b2", "655350"])
def test_a_port_that_is_none_is_the_reason_of_the_end(service, port):
    with ChannelClient(service, FORWARDING, {"portNumber": port}) as client:
        assert "is not a port" in client.wait_closed()


def test_a_terminated_session_closes_the_target(service):
    closed = threading.Event()

    def serve(connection):
        assert read_all(connection) == b""
        closed.set()

    with TargetServer(serve) as target, open_port(service, target, SSH) as client:
        client.channel.send_control(
            payloads.FLAG, payloads.build_flag(payloads.TERMINATE_SESSION)
        )
        assert client.wait_closed() == ""
        assert closed.wait(10)


@pytest.mark.volume
def test_acknowledgements_wait_for_a_slow_target(service):
    release = threading.Event()
    size = 16 * 1024 * 1024

    def serve(connection):
        release.wait(10)
        assert len(read_exactly(connection, size)) == size
        connection.sendall(b"all")

    with TargetServer(serve) as target, open_port(service, target, SSH) as client:
        sender = threading.Thread(target=client.send, args=(bytes(size),))
        sender.start()
        sender.join(0.5)
        assert sender.is_alive()
        release.set()
        client.expect(b"all")
        sender.join(10)


# Basic


def test_basic_connects_again_with_the_next_data_and_not_before(old_service):
    accepted = []

    def serve(connection):
        accepted.append(connection)
        connection.sendall(b"welcome %d;" % len(accepted))
        echo(connection)

    with TargetServer(serve) as target, open_port(old_service, target) as client:
        client.expect(b"welcome 1;")
        client.send(b"hello")
        client.expect(b"hello")
        disconnect(client)
        assert client.channel.drain(10)
        assert len(target.connections) == 1
        client.send(b"again")
        client.expect(b"welcome 2;")
        client.expect(b"again")
        disconnect(client)
        client.channel.send_control(payloads.OUTPUT, b"")  # nothing is data, too
        client.expect(b"welcome 3;")


def disconnect(client):
    client.channel.send_control(payloads.FLAG, payloads.build_flag(payloads.DISCONNECT_TO_PORT))


def test_basic_ends_without_a_word_when_it_cannot_connect_again(old_service):
    with TargetServer(echo) as target:
        client = open_port(old_service, target)
        client.send(b"x")
        client.expect(b"x")
    with client:
        disconnect(client)
        client.channel.send_control(payloads.FLAG, b"no flag")
        assert client.channel.drain(10)
        client.send(b"to nobody")
        assert client.wait_closed() == ""
        assert client.flags == []


def test_basic_does_not_tell_of_the_targets_end_and_takes_the_next_data_to_a_new_connection(
    old_service,
):
    with TargetServer(lambda one: one.sendall(b"bye")) as target:
        with open_port(old_service, target) as client:
            client.expect(b"bye")
            for _ in range(1000):
                client.send(b"still there?")  # is lost if the node has not seen the end yet
                assert client.channel.drain(10)
                if len(target.connections) > 1:
                    break
            client.expect(b"bye")
            assert client.flags == [] and client.closed is None


# Mux


def test_streams_are_connections(service):
    with TargetServer(echo) as target, open_port(service, target) as client:
        client.send(encode_frame(SYN, 3) + encode_frame(SYN, 5) + encode_frame(NOP, 0))
        client.send(encode_frame(PSH, 5, b"five") + encode_frame(PSH, 3, b"three"))
        client.wait_for(lambda: len(frames_of(client)) == 2)
        assert sorted(frames_of(client)) == [(PSH, 3, b"three"), (PSH, 5, b"five")]
        assert len(target.connections) == 2


def test_frames_do_not_care_for_the_borders_of_messages(service):
    with TargetServer(echo) as target, open_port(service, target) as client:
        data = random_bytes(30000)
        for byte in encode_frame(SYN, 3) + encode_frame(PSH, 3, data)[:20]:
            client.send(bytes([byte]))
        client.send(encode_frame(PSH, 3, data)[20:])
        mux = MuxSession(Role.CLIENT, False, 0)
        mux.open()
        client.wait_for(lambda: len(b"".join(one[2] for one in frames_of(client))) == len(data))
        events = mux.receive(client.output, 0)
        assert events == [StreamData(3, data)]


def test_a_fin_comes_after_the_data_and_closes_both_directions(service):
    ended = threading.Event()
    received = []

    def serve(connection):
        received.append(read_all(connection))
        ended.set()

    data = random_bytes(30000)
    with TargetServer(serve) as target, open_port(service, target) as client:
        client.send(encode_frame(SYN, 3) + encode_frame(PSH, 3, data) + encode_frame(FIN, 3))
        assert ended.wait(10)
        assert received == [data]
        wait_for_frames(client, (FIN, 3))
        assert frames_of(client) == [(FIN, 3, b"")]


def test_the_targets_end_is_a_fin_behind_its_data(service):
    data = random_bytes(100000)
    with TargetServer(lambda one: one.sendall(data)) as target:
        with open_port(service, target) as client:
            client.send(encode_frame(SYN, 3))
            wait_for_frames(client, (FIN, 3))
            mux = MuxSession(Role.CLIENT, False, 0)
            mux.open()
            assert mux.receive(client.output, 0) == [StreamData(3, data), StreamClosed(3)]
            client.send(encode_frame(PSH, 3, b"too late") + encode_frame(FIN, 3))


def test_a_target_that_has_finished_sending_is_closed_altogether(service):
    """There is no half-close at the agents in use."""
    closed = threading.Event()

    def serve(connection):
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
        closed.set()

    with TargetServer(serve) as target, open_port(service, target) as client:
        client.send(encode_frame(SYN, 3))
        wait_for_frames(client, (FIN, 3))
        assert closed.wait(10)


def test_a_refused_connection_is_a_flag_and_a_fin(service):
    with open_port(service, unused_port()) as client:
        client.send(encode_frame(SYN, 3))
        client.send(encode_frame(PSH, 3, b"for nobody"))
        wait_for_frames(client, (FIN, 3))
        assert client.flags == [payloads.CONNECT_TO_PORT_ERROR]
        assert frames_of(client) == [(FIN, 3, b"")]


@pytest.mark.parametrize(
    "host, reason",
    [
        ("127.0.0.1", "Forwarding to IP address 127.0.0.1 is forbidden."),
        ("no.such.host.invalid", "lookup no.such.host.invalid: no such host"),
    ],
)
def test_a_host_that_cannot_be_used_is_the_reason_of_the_end(service, host, reason):
    with TargetServer(echo) as target:
        with open_port(service, target, REMOTE_FORWARDING, host=host) as client:
            assert client.wait_closed() == reason
    assert target.connections == []


def test_messages_hold_at_most_1024_bytes(service):
    with TargetServer(echo) as target, open_port(service, target) as client:
        client.send(encode_frame(SYN, 3) + encode_frame(PSH, 3, bytes(30000)))
        client.wait_for(lambda: sum(len(one[2]) for one in frames_of(client)) == 30000)
        assert max(len(one[2]) for one in frames_of(client)) <= 1016


def capacity(port):
    """Bytes of a connection that the system keeps while nobody reads them."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setblocking(False)
        size = 0
        with suppress(BlockingIOError):
            while True:
                size += sock.send(bytes(32768))
    return size


def test_a_stuck_target_does_not_hold_up_another_before_four_mebibytes(service):
    release = threading.Event()
    stuck = []

    def serve(connection):
        if len(stuck) < 2:
            stuck.append(connection)
            release.wait()
        echo(connection)

    def send():
        client.send(encode_frame(SYN, 3))
        for _ in range(size // 32768):
            client.send(encode_frame(PSH, 3, bytes(32768)))
        client.send(encode_frame(SYN, 5) + encode_frame(PSH, 5, b"through"))

    with TargetServer(serve) as target, open_port(service, target) as client:
        sender = threading.Thread(target=send)
        try:
            size = capacity(target.port) + 4 * MIB - SLACK
            sender.start()
            client.expect(b"through")
        finally:
            release.set()
            sender.join()


def test_what_is_no_smux_ends_the_session_with_the_reason(service):
    with TargetServer(echo) as target, open_port(service, target) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert "no smux frame" in client.wait_closed()


# Targets


def target_of(host, port=80):
    return Target.of({"host": host, "portNumber": str(port)})


def test_another_host_may_be_reached():
    name = socket.gethostname()
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(name, 1, socket.AF_INET)}
    except OSError:
        addresses = set()
    for address in addresses:
        if not address.startswith("127."):
            with TargetServer(echo, address) as target:
                open_target(target_of(address, target.port)).close()
    assert str(Target("db.example", 5432)) == "db.example port 5432"


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.8.8.8", "::1", "169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0",
     "224.0.0.1", "::ffff:127.0.0.1"],
)
def test_addresses_of_the_node_itself_are_forbidden(host):
    with pytest.raises(LocalError, match="is forbidden"):
        target_of(host)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 300 + ".example"])
def test_a_host_that_does_not_resolve_is_an_error(host):
    with pytest.raises(LocalError, match="no such host"):
        target_of(host)
