"""One tunnel in this process: it stays up, whatever becomes of its sessions."""

import queue
import socket
import time

import pytest

from ssm_plugin.errors import NetworkError, RemoteError, ServiceError, UsageError
from ssm_plugin.forwarding.readiness import ReadyFile, Systemd
from ssm_plugin.forwarding.supervisor import Supervisor
from ssm_plugin.net.local_end import bind_tcp
from tests.support.running import NETWORK, TARGET
from tests.support.service import local_service
from tests.support.threads import threads_left
from tests.support.tunnels import RunningTunnel

OLD_AGENT = "2.3.1000.0"


def ask(address, data=b"hello"):
    with socket.create_connection(address, 10) as sock:
        return exchange(sock, data)


def exchange(sock, data):
    sock.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = sock.recv(65536)
        if not piece:
            break
        received += piece
    return received


def test_ready_means_that_connections_are_served(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        ready = running.wait_for("ready")
        assert ask(running.address) == b"hello"
        connection = running.wait_for("connection")
        assert (connection.number, connection.session_id) == (1, ready.session_id)
        assert service.session().session_id == ready.session_id
    ended = running.wait_for("ended")
    assert (ended.status, ended.error) == (0, None)
    service.wait_for(lambda: service.session().is_over)


def test_ten_sessions_end_and_the_port_stays(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        port, sockets = running.local_end.port, list(running.local_end.sockets)
        for number in range(10):
            assert ask(running.address, b"%d" % number) == b"%d" % number
            service.session().terminate("the %d-th end" % number)
            error = running.wait_for("error")
            assert "the %d-th end" % number in error.message
            assert error.retry_in == 0.0
            # Waits in the backlog, or is taken, before there is a session.
            with socket.create_connection(running.address, 10) as early:
                running.wait_for("reconnected")
                assert exchange(early, b"early") == b"early"
        assert running.local_end.port == port
        assert [sock.fileno() > 0 for sock in sockets] == [True] * len(sockets)


def test_each_session_is_made_with_credentials_looked_for_afresh(service, echo):
    environments = []

    def environment():
        environments.append(running.environment())
        return environments[-1]

    running = RunningTunnel(service, "0:%d" % echo.port, make_environment=environment)
    with running:
        running.wait_for("ready")
        service.session().terminate()
        running.wait_for("reconnected")
    assert len(environments) == 2
    assert environments[0].service is not environments[1].service


def test_sessions_of_no_use_are_not_started_without_a_pause(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        waits = []
        for _ in range(3):
            service.session().terminate()
            waits.append(running.wait_for("error").retry_in)
            running.wait_for("reconnected")
    assert waits[0] == 0.0 and 0.25 <= waits[1] <= 0.5 and 0.5 <= waits[2] <= 1.0


def test_later_errors_are_told_and_tried_again(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        ask(running.address)
        service.answer_with("StartSession", "AccessDeniedException", times=2)
        service.session().terminate("maximum duration")
        messages = [running.wait_for("error").message for _ in range(3)]
        assert "maximum duration" in messages[0]
        assert "ssm:StartSession" in messages[1] and "AccessDenied" in messages[2]
        assert "no session" in running.tunnel.state(time.monotonic())
        running.wait_for("reconnected")
        assert ask(running.address) == b"hello"
        assert "number 2" in running.tunnel.state(time.monotonic())


def test_a_session_that_may_have_been_made_is_given_the_time_to_end_by_itself(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        ask(running.address)
        service.answer_with("StartSession", "InternalServerError", status=500)
        service.session().terminate("maximum duration")
        assert running.wait_for("error").retry_in == 0.0
        error = running.wait_for("error")
        assert "may have made a session" in error.message and error.retry_in >= 20.0


def test_a_lost_session_is_followed_by_a_new_one(service, echo):
    network = NETWORK._replace(reconnect_timeout=0.5)
    with RunningTunnel(service, "0:%d" % echo.port, network=network) as running:
        running.wait_for("ready")
        first = service.session()
        assert ask(running.address) == b"hello"
        service.answer_with("ResumeSession", "AccessDeniedException", times=1)
        first.drop_connection()
        assert "cannot be resumed" in running.wait_for("error").message
        running.wait_for("reconnected")
        assert ask(running.address) == b"hello"


def test_a_session_that_is_over_at_the_service_is_followed_too(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        session = service.session()
        session.misbehave("lose-channel-closed")
        session.terminate()
        session.drop_connection()
        assert "over at the service" in running.wait_for("error").message
        running.wait_for("reconnected")


def is_reset(address):
    """Whether a new connection there is accepted, and reset."""
    try:
        return ask(address, b"anybody?") == b""
    except ConnectionError:
        return True


def test_a_lost_connection_is_told_at_once_and_so_is_its_return(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        session_id = running.wait_for("ready").session_id
        with socket.create_connection(running.address, 10) as earlier:
            assert exchange(earlier, b"before") == b"before"
            service.answer_with("ResumeSession", "ThrottlingException", times=4)
            service.session().drop_connection()
            lost = running.wait_for("lost")
            assert lost.session_id == session_id and lost.message
            assert "lost for 0 s" in running.tunnel.state(time.monotonic())
            with socket.create_connection(running.address, 10) as meanwhile:
                assert running.wait_for("reconnected").session_id == session_id
                assert exchange(meanwhile, b"waited") == b"waited"
            assert exchange(earlier, b"after") == b"after"
        assert "open for" in running.tunnel.state(time.monotonic())
        assert len(service.open_sessions()) == 1


@pytest.mark.parametrize("agent_version", ["3.3.0.0", OLD_AGENT])
def test_who_connects_long_after_the_loss_is_reset_until_it_is_back(echo, agent_version):
    with local_service(agent_version=agent_version) as service:
        with RunningTunnel(service, "0:%d" % echo.port, patience=0.3) as running:
            running.wait_for("ready")
            assert ask(running.address) == b"hello"
            service.answer_with("ResumeSession", "ThrottlingException", times=4)
            service.session().drop_connection()
            running.wait_for("lost")
            assert is_reset(running.address)  # it came early, and has waited
            assert is_reset(running.address)
            running.wait_for("reconnected")
            assert ask(running.address) == b"hello"


def test_the_same_holds_while_there_is_no_session(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port, patience=0.3) as running:
        running.wait_for("ready")
        assert ask(running.address) == b"hello"
        service.answer_with("StartSession", "AccessDeniedException", times=3)
        service.session().terminate("maximum duration")
        for _ in range(3):
            running.wait_for("error")
        assert is_reset(running.address)
        running.wait_for("reconnected")
        assert ask(running.address) == b"hello"


def test_what_fails_at_first_ends_it(service, echo):
    service.answer_with("StartSession", "TargetNotConnected", "i-x is not connected.")
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        ended = running.wait_for("ended")
    assert isinstance(ended.error, ServiceError) and ended.status == 255


def test_a_first_session_that_does_not_open_ends_it(echo):
    with local_service(faults="refuse-upgrade") as service:
        with RunningTunnel(service, "0:%d" % echo.port) as running:
            assert isinstance(running.wait_for("ended").error, NetworkError)


def test_an_environment_that_cannot_be_made_ends_it(service, echo):
    def environment():
        raise UsageError("no region")

    with RunningTunnel(service, "0:1", make_environment=environment) as running:
        assert str(running.wait_for("ended").error) == "no region"


def test_once_is_with_one_session(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port, once=True) as running:
        running.wait_for("ready")
        ask(running.address)
        running.wait_for("connection")
        service.session().terminate("maximum duration")
        ended = running.wait_for("ended")
        assert (ended.status, ended.error) == (255, None), "a reason is a failure"


def test_once_of_no_use_is_an_error(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port, once=True) as running:
        running.wait_for("ready")
        service.session().terminate("no more sessions today")
        error = running.wait_for("ended").error
        assert isinstance(error, RemoteError) and "no more sessions today" in str(error)


def test_an_old_agent_that_cannot_connect_ends_it():
    with bind_tcp() as closed:
        port = closed.port
    with local_service(agent_version=OLD_AGENT) as service:
        with RunningTunnel(service, "0:%d" % port) as running:
            error = running.wait_for("ended").error
            assert isinstance(error, RemoteError) and "unable to connect" in str(error)


def test_an_old_agent_serves_one_connection_after_the_other(echo):
    with local_service(agent_version=OLD_AGENT) as service:
        with RunningTunnel(service, "0:%d" % echo.port) as running:
            running.wait_for("ready")
            assert [ask(running.address, b"%d" % n) for n in range(3)] == [b"0", b"1", b"2"]
            service.session().terminate("over")
            running.wait_for("reconnected")
            assert ask(running.address) == b"hello"


def test_a_closed_remote_port_is_told_once_for_many_connections(service):
    with bind_tcp() as closed:
        port = closed.port
    with RunningTunnel(service, "0:%d" % port) as running:
        running.wait_for("ready")
        for _ in range(5):
            assert ask(running.address) == b""
        error = running.wait_for("error")
        assert "could not connect to port %d of %s" % (port, TARGET) in error.message
        assert error.retry_in is None
    told = [one for one in running.seen if getattr(one, "kind", "") == "error"]
    assert len(told) == 1


def test_a_document_that_does_something_else_ends_it(service, echo):
    running = RunningTunnel(service, "0:%d" % echo.port, document_name="AWS-StartSSHSession")
    with running:
        assert "does not forward local ports" in str(running.wait_for("ended").error)


def test_it_can_be_stopped_while_it_waits(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        service.answer_with("StartSession", "AccessDeniedException", times=2)
        service.session().terminate()
        while (running.wait_for("error").retry_in or 0) < 0.5:
            pass
        began = time.monotonic()
        running.tunnel.stop(143)
        assert running.wait_for("ended").status == 143
        assert time.monotonic() - began < 0.5


def test_it_can_be_stopped_before_it_starts(service):
    sessions = len(service.sessions())
    running = RunningTunnel(service, "0:1")
    running.tunnel.stop(7)
    with running:
        assert running.wait_for("ended").status == 7
    assert len(service.sessions()) == sessions


def test_where_one_of_several_cannot_be_started_the_others_end(service, echo):
    """Here one runs already, and no thread is started twice."""
    with RunningTunnel(service, "0:%d" % echo.port) as first:
        other = RunningTunnel(service, "0:%d" % echo.port)
        with other.local_end, pytest.raises(RuntimeError):
            supervisor = Supervisor(
                [other.tunnel, first.tunnel], queue.Queue(), ReadyFile(None), Systemd({})
            )
            supervisor.run()
        assert other.tunnel.join(0.0)


def test_nothing_is_left_of_it(service, echo):
    with RunningTunnel(service, "0:%d" % echo.port) as running:
        running.wait_for("ready")
        for _ in range(3):
            ask(running.address)
            service.session().terminate()
            running.wait_for("reconnected")
    service.wait_for(lambda: not service.open_sessions())
    assert threads_left((), "tunnel", "local-") == []
