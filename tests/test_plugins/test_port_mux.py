"""Forwarding with many connections, over real sockets and the local service."""

import hashlib
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.plugins.port_mux import STUCK_LIMIT
from ssm_plugin.terminal.signals import Signalled
from tests.support.service import local_service
from tests.support.threads import wait_until

from .port_helpers import (
    REMOTE_FORWARDING,
    TIME_LIMIT,
    RunningSession,
    TargetServer,
    digest,
    echo,
    random_bytes,
    read_all,
    read_exactly,
)

MEBIBYTE = 1024 * 1024


@pytest.fixture
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def target():
    with TargetServer(echo) as target:
        yield target


@pytest.fixture
def session(service, target):
    with RunningSession(service, portNumber=str(target.port)) as session:
        yield session
    assert session.error is None


def streams_at_node(service):
    return len(service.session()._agent._work._streams.connections())


def check_echo(connection, size):
    data = random_bytes(size)
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    assert read_exactly(connection, size) == data
    sender.join()


def test_the_lines_are_those_that_scripts_know(service, target):
    with RunningSession(service, portNumber=str(target.port)) as session:
        port = session.port
        with session.connect() as one, session.connect() as other:
            check_echo(one, 10)
            check_echo(other, 10)
    assert session.notices.data.decode() == (
        "\nStarting session with SessionId: {0}\n"
        "Port {1} opened for sessionId {0}.\nWaiting for connections...\n"
        "\nConnection accepted for session [{0}]\n"
        "\n\nExiting session with sessionId: {0}.\n\n"
    ).format(session.id, port)
    assert (session.status, session.error) == (0, None)


@pytest.mark.parametrize("size", [1, 1016, 1017, 64008, 64009, 3 * MEBIBYTE + 1])
def test_bytes_come_back_as_they_went(session, size):
    with session.connect() as connection:
        check_echo(connection, size)


def test_both_loopback_addresses_are_served(session):
    try:
        connection = socket.create_connection(("::1", session.port), TIME_LIMIT)
    except OSError:
        assert len(session.runner._own.sockets) == 1
        return
    with connection:
        check_echo(connection, 10)


@pytest.mark.volume
def test_two_hundred_connections_work_at_once(session, service):
    connections = [session.connect() for _ in range(200)]
    data = [random_bytes(10000 + n) for n in range(200)]
    for connection, piece in zip(connections, data):
        connection.sendall(piece)
    for connection, piece in zip(connections, data):
        assert read_exactly(connection, len(piece)) == piece
    assert streams_at_node(service) == 200
    for connection in connections:
        connection.close()
    wait_until(lambda: session.runner._reader.count == 0)


@pytest.mark.volume
def test_two_hundred_connections_in_turn_leave_nothing_behind(session, service):
    with session.connect() as first:
        check_echo(first, 10)
    wait_until(lambda: session.runner._reader.count == 0)
    descriptors, threads = count_descriptors(), threading.active_count()
    for n in range(200):
        with session.connect() as connection:
            connection.sendall(b"%d" % n)
            assert read_exactly(connection, len(str(n))) == b"%d" % n
    wait_until(lambda: session.runner._reader.count == 0 and streams_at_node(service) == 0)
    assert len(session.runner._streams.connections()) == 0
    wait_until(lambda: count_descriptors() <= descriptors)
    wait_until(lambda: threading.active_count() <= threads)


def count_descriptors():
    return len(os.listdir("/dev/fd"))


@pytest.mark.volume
def test_a_peer_that_does_not_read_does_not_slow_the_others():
    block = random_bytes(MEBIBYTE)

    def serve(connection):
        for _ in range(struct.unpack(">I", read_exactly(connection, 4))[0]):
            connection.sendall(block)

    with local_service() as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as stuck, session.connect() as other:
                stuck.sendall(struct.pack(">I", 12))
                wait_until(lambda: session.runner.holdings._held > 5 * MEBIBYTE)
                other.sendall(struct.pack(">I", 12))
                assert digest(read_all(other)) == digest(block * 12)
                assert digest(read_all(stuck)) == digest(block * 12)
            wait_until(lambda: session.runner.holdings._held == 0)


@pytest.mark.volume
def test_a_stuck_peer_that_holds_up_all_others_is_cut_off_in_the_end():
    def serve(connection):
        while True:
            connection.sendall(bytes(MEBIBYTE))

    with local_service() as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            session.wait_open()
            runner = session.runner
            with session.connect() as stuck:
                wait_until(lambda: runner.holdings.is_full and runner._stuck.at is not None)
                runner.cut_stuck(time.monotonic() + STUCK_LIMIT)
                assert len(runner._streams.connections()) == 1  # it holds up nobody
                with session.connect() as other:
                    wait_until(lambda: len(runner._streams.connections()) == 2)
                    runner._received_at = 0.0  # for nobody
                    runner._stuck.due()
                    assert len(runner._streams.connections()) == 2  # it may recover yet
                    runner.cut_stuck(time.monotonic() + 2 * STUCK_LIMIT)
                    assert len(read_exactly(other, MEBIBYTE)) == MEBIBYTE
                with pytest.raises(ConnectionResetError):
                    read_all(stuck)
    assert b"a local connection was cut off" in session.stderr.data


def test_what_a_client_sends_before_it_closes_arrives():
    arrived = []

    def serve(connection):
        arrived.append(read_all(connection))

    data = random_bytes(300000)
    with local_service() as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                connection.sendall(data)
            wait_until(lambda: arrived)
            assert digest(arrived[0]) == digest(data)


def test_what_the_node_sends_before_it_closes_arrives():
    data = random_bytes(300000)
    with local_service() as service, TargetServer(lambda one: one.sendall(data)) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                assert digest(read_all(connection)) == digest(data)
                # It may go on sending for a while without spoiling what it has not read.
                connection.sendall(b"too late")
            wait_until(lambda: session.runner._reader.count == 0)


def test_a_client_that_has_finished_sending_gets_its_answer():
    answer = random_bytes(100000)

    def serve(connection):
        assert read_exactly(connection, 5) == b"query"
        threading.Event().wait(0.3)
        connection.sendall(answer)

    with local_service() as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                connection.sendall(b"query")
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection) == answer


def test_a_client_that_resets_its_connection_ends_the_one_at_the_node(session, service):
    connection = session.connect()
    check_echo(connection, 10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: session.runner._reader.count == 0 and streams_at_node(service) == 0)


def test_a_port_that_nobody_listens_at_is_told_and_closes_the_connection(service):
    with bind_tcp() as unused:
        port = unused.port
    with RunningSession(service, portNumber=str(port)) as session:
        with session.connect() as connection:
            assert connection.recv(1) == b""
        session.notices.wait_for(
            b"\nConnection to destination port failed, check SSM Agent logs.\n"
        )
    assert session.error is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "169.254.169.254", "0.0.0.0"])
def test_the_node_itself_is_no_remote_host(service, target, host):
    with RunningSession(
        service, REMOTE_FORWARDING, host=host, portNumber=str(target.port)
    ) as session:
        session.join()
    told = session.notices.data.decode() + str(session.error)
    assert "Forwarding to IP address %s is forbidden." % host in told
    assert target.connections == []


def test_a_unix_socket_serves_as_well(service, target, tmp_path):
    path = str(tmp_path / "local")
    with RunningSession(
        service, localConnectionType="unix", localUnixSocket=path, portNumber=str(target.port)
    ) as session:
        session.notices.wait_for(b"Waiting for connections")
        line = "Unix socket %s opened for sessionId %s.\n" % (path, session.id)
        assert line.encode() in session.notices.data
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIME_LIMIT)
            connection.connect(path)
            check_echo(connection, 100000)
            connection.shutdown(socket.SHUT_WR)
            wait_until(lambda: session.runner._reader._ending)
        wait_until(lambda: session.runner._reader.count == 0)
    assert not os.path.exists(path)


def test_a_port_in_use_ends_the_session_with_one_clear_line(service, target):
    with bind_tcp() as other:
        session = RunningSession(
            service, portNumber=str(target.port), localPortNumber=str(other.port)
        )
        session.join()
    assert isinstance(session.error, LocalError)
    assert "it is in use" in str(session.error)


def test_a_listener_of_the_callers_outlives_its_sessions(service, target):
    with bind_tcp() as listener:
        for _ in range(3):
            with RunningSession(
                service, portNumber=str(target.port), listener=listener
            ) as session:
                assert session.port == listener.port
                with session.connect() as connection:
                    check_echo(connection, 1000)
        assert listener.sockets[0].fileno() >= 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_tells_the_agent_and_ends_with_its_number(session, service, signum):
    with session.connect() as connection:
        check_echo(connection, 10)
        session.session.signal(Signalled(signum))
        session.join()
        assert session.status == 128 + signum
        assert session.notices.data.endswith(b"Terminate signal received, exiting.\n")
        with pytest.raises(ConnectionResetError):
            read_all(connection)
    service.wait_for(lambda: service.open_sessions() == [])


def test_other_signals_change_nothing(session):
    session.session.signal(Signalled(signal.SIGWINCH))
    with session.connect() as connection:
        check_echo(connection, 10)


@pytest.mark.volume
def test_what_had_arrived_is_delivered_when_the_service_ends_the_session(service):
    data = random_bytes(6 * MEBIBYTE)
    with TargetServer(lambda one: one.sendall(data)) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                wait_until(lambda: session.runner.open_connections)
                wait_until(lambda: len(session.runner._streams.connections()) == 0)
                session.gateway_session.terminate("enough")
                assert digest(read_all(connection)) == digest(data)
            session.join()
    assert session.notices.data.endswith(b" : enough\n\n")


def test_an_agent_that_needs_keep_alives_gets_them(target):
    with local_service(agent_version="3.1.1511.0") as old:
        with RunningSession(old, portNumber=str(target.port)) as session:
            session.wait_open()
            runner = session.runner
            assert 9 < runner._streams.next_timer() <= 10
            runner.paused()
            runner.resumed()
            with session.connect() as connection:
                check_echo(connection, 10)
    with local_service(agent_version="3.1.1512.0") as newer:
        with RunningSession(newer, portNumber=str(target.port)) as session:
            session.wait_open()
            assert session.runner._streams.next_timer() is None


def test_a_gateway_that_cuts_idle_clients_after_half_a_minute_hears_of_us_before(service, target):
    with RunningSession(service, portNumber=str(target.port)) as session:
        session.wait_open()
        channel = session.runner.session.channel
        assert channel._link.ping_at - channel.clock() <= 25


@pytest.mark.parametrize("document_type", ["download", "upload"])
def test_nothing_is_lost_or_changed_on_a_bad_network(document_type):
    data = random_bytes(100000)
    faults = "lose=2%,double=2%,reorder=2%,corrupt=2%,no-acknowledge=2%,delay=2%,seed=3"

    def serve(connection):
        if document_type == "download":
            connection.sendall(data)
        else:
            connection.sendall(digest(read_exactly(connection, len(data))).encode())

    with local_service(faults=faults) as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            connections = [session.connect() for _ in range(3)]
            for connection in connections:
                if document_type == "download":
                    assert digest(read_all(connection)) == digest(data)
                else:
                    connection.sendall(data)
                    assert read_all(connection) == digest(data).encode()
                connection.close()
    assert session.error is None


def test_too_many_open_files_are_told_and_survived(session):
    session.wait_open()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket() for _ in range(3)]
    for client in clients:
        client.settimeout(TIME_LIMIT)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest_descriptor() + 1, limits[1]))
        fillers = fill_descriptors()
        for client in clients:
            client.connect(("127.0.0.1", session.port))
        session.stderr.wait_for(b"cannot accept more connections at the local port for now")
        for filler in fillers:
            os.close(filler)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for client in clients:
        with client:
            check_echo(client, 10)


def highest_descriptor():
    return max(int(name) for name in os.listdir("/dev/fd"))


def fill_descriptors():
    fillers = []
    while True:
        try:
            fillers.append(os.dup(0))
        except OSError:
            return fillers


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.may_skip
@pytest.mark.e2e
def test_curl_fetches_many_files_at_once(tmp_path):
    files = {"/%d" % n: random_bytes(1000 + 500 * n) for n in range(100)}

    def serve(connection):
        """HTTP/1.1 with connections that stay open."""
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                data = connection.recv(65536)
                if not data:
                    return
                rest += data
            head, _, rest = rest.partition(b"\r\n\r\n")
            body = files[head.split()[1].decode()]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with local_service() as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            processes = [
                subprocess.Popen(
                    ["curl", "-sS", "--noproxy", "*", "--fail", "-o", str(tmp_path / "#1"),
                     "http://127.0.0.1:%d/[%d-%d]" % (session.port, first, first + 9)]
                )
                for first in range(0, 100, 10)
            ]
            assert [process.wait(TIME_LIMIT) for process in processes] == [0] * 10
            wait_until(lambda: session.runner._reader.count == 0)
    for name, body in files.items():
        found = (tmp_path / name[1:]).read_bytes()
        assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
