"""Forwarding with old agents: one connection at a time."""

import queue
import signal
import socket
import threading

import pytest

from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.net.local_end import bind_tcp
from ssm_plugin.plugins.local_connection import Holdings
from ssm_plugin.plugins.local_writer import LocalWriter
from ssm_plugin.plugins.port_basic import _OneConnection
from ssm_plugin.terminal.signals import Signalled
from ssm_plugin.terminal.wake import Inbox
from ssm_plugin.transport.data_channel import DataChannel
from ssm_plugin.wire.message import Role
from tests.support.service import local_service
from tests.support.threads import threads_left

from .port_helpers import (
    TIME_LIMIT,
    RunningSession,
    TargetServer,
    digest,
    echo,
    random_bytes,
    read_all,
    read_exactly,
)

OLD = "3.0.196.0"


@pytest.fixture
def service():
    with local_service(agent_version=OLD) as service:
        yield service


@pytest.fixture
def session(service):
    with TargetServer(echo) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            yield session
    assert session.error is None


def test_the_lines_are_those_that_scripts_know(session):
    with session.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    port = session.port
    session.session.terminate_session()
    session.join()
    assert session.notices.data.decode() == (
        "\nStarting session with SessionId: {0}\n"
        "Port {1} opened for sessionId {0}.\n"
        "Connection accepted for session {0}.\n"
        "\n\nExiting session with sessionId: {0}.\n\n"
    ).format(session.id, port)


def test_a_session_that_ends_does_not_wait_for_the_node_to_know_of_a_disconnection(session):
    with session.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    session.session.terminate_session()
    session.join()
    assert threads_left((), "ssm-local-reader", "ssm-local-writer") == []


def test_connections_are_served_one_after_the_other(session):
    data = random_bytes(200000)
    with session.connect() as first, session.connect() as second:
        second.settimeout(0.2)
        second.sendall(b"patience")
        sender = threading.Thread(target=first.sendall, args=(data,))
        sender.start()
        assert digest(read_exactly(first, len(data))) == digest(data)
        sender.join()
        with pytest.raises(socket.timeout):
            second.recv(1)
        first.close()
        second.settimeout(TIME_LIMIT)
        assert read_exactly(second, 8) == b"patience"


def test_many_connections_in_a_row_each_get_their_own_bytes(session):
    for n in range(50):
        with session.connect() as connection:
            connection.sendall(b"number %d" % n)
            assert read_exactly(connection, len("number %d" % n)) == b"number %d" % n


def test_a_late_acknowledgement_of_an_earlier_end_takes_nothing_from_the_current_connection(
    session,
):
    with session.connect() as first:
        first.sendall(b"x")
        assert first.recv(1) == b"x"
        session.gateway_session.misbehave("down.no-acknowledge")
    with session.connect() as second:
        second.sendall(b"before")  # is served once the node has had its time to acknowledge
        assert read_exactly(second, 6) == b"before"
        session.gateway_session.misbehave("")
        assert session.session.channel.drain(TIME_LIMIT)
        second.sendall(b"after")
        assert read_exactly(second, 5) == b"after"


def test_while_the_connection_is_lost_the_next_one_is_not_taken():
    """What the node sends again afterwards belongs to the one that ended."""
    channel = DataChannel(ChannelProtocol(Role.CLIENT), queue.Queue().put, queue.Queue().qsize)
    inbox = Inbox()
    writer = LocalWriter(Holdings(channel.delivered), inbox, queue.Queue().put)
    uplink = _OneConnection(channel, writer, limit=0.05)
    ended = threading.Thread(target=uplink.closed, args=(uplink.current,))
    ended.start()
    ended.join(0.5)
    assert ended.is_alive() and uplink.current is None
    uplink.acknowledged(0)
    ended.join(TIME_LIMIT)
    assert not ended.is_alive() and uplink.current is not None
    inbox.close()


def test_what_comes_after_the_local_end_reaches_nobody(service):
    def serve(connection):
        connection.sendall(random_bytes(1000) * 1000)
        echo(connection)

    with TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                assert connection.recv(1)
    assert session.error is None


def test_a_client_that_has_finished_sending_gets_its_answer(service):
    def serve(connection):
        assert read_exactly(connection, 5) == b"query"
        threading.Event().wait(0.3)
        connection.sendall(b"answer")

    with TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                connection.sendall(b"query")
                connection.shutdown(socket.SHUT_WR)
                assert read_exactly(connection, 6) == b"answer"


def test_a_port_that_nobody_listens_at_any_more_ends_the_session_with_the_next_data(service):
    with TargetServer(echo) as target:
        session = RunningSession(service, portNumber=str(target.port))
        with session.connect() as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            # From the next connection on the node finds nobody.
            target._listener.shutdown(socket.SHUT_RDWR)
            target._listener.close()
            target._listener = socket.socket()
            target._listener.bind(("127.0.0.1", 0))
            target._listener.listen(1)
        with session.connect() as connection:
            connection.sendall(b"x")
            session.join()
    assert session.error is None and session.notices.data.endswith(
        b"\n\nExiting session with sessionId: %s.\n\n" % session.id.encode()
    )


def test_a_port_that_never_had_a_listener_ends_the_session_with_the_reason(service):
    with bind_tcp() as unused:
        port = unused.port
    with RunningSession(service, portNumber=str(port)) as session:
        session.join()
    text = b"%r %r" % (session.error, session.notices.data)
    assert b"unable to connect to the node's port %d" % port in text.replace(b"\\'", b"'")


def test_a_signal_tells_the_agent_and_ends_with_its_number(session, service):
    session.wait_open()
    session.session.signal(Signalled(signal.SIGTERM))
    session.join()
    assert session.status == 128 + signal.SIGTERM
    service.wait_for(lambda: service.open_sessions() == [])


def test_nothing_is_lost_or_changed_on_a_bad_network():
    data = random_bytes(300000)
    faults = "lose=2%,double=2%,reorder=2%,corrupt=2%,no-acknowledge=2%,delay=2%,seed=4"

    def serve(connection):
        connection.sendall(digest(read_exactly(connection, len(data))).encode() + data)

    with local_service(agent_version=OLD, faults=faults) as service, TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                connection.sendall(data)
                assert read_exactly(connection, 64) == digest(data).encode()
                assert digest(read_exactly(connection, len(data))) == digest(data)


def test_a_target_that_speaks_first_is_heard_by_the_next_connection_as_well(service):
    def serve(connection):
        connection.sendall(b"welcome")
        echo(connection)

    with TargetServer(serve) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            for _ in range(3):
                with session.connect() as connection:
                    assert read_exactly(connection, 7) == b"welcome"
                    connection.sendall(b"thanks")
                    assert read_exactly(connection, 6) == b"thanks"


def test_the_agent_does_not_tell_of_the_targets_end(service):
    with TargetServer(lambda connection: connection.sendall(b"bye")) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            with session.connect() as connection:
                assert read_exactly(connection, 3) == b"bye"
                connection.settimeout(0.2)
                with pytest.raises(socket.timeout):
                    read_all(connection)
            with session.connect() as connection:
                assert read_exactly(connection, 3) == b"bye"
