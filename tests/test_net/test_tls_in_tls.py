"""An https host behind an https proxy."""

import socket
import ssl
import threading

import pytest

from ssm_plugin.errors import CertificateError, ConnectError, DeadlineError
from ssm_plugin.net.connect import open_socket
from ssm_plugin.net.proxy import parse_proxy
from ssm_plugin.net.route import Route
from ssm_plugin.net.tls_in_tls import TlsInTls
from tests.support.certificates import Authority
from tests.support.http_server import ConnectProxy, EchoServer, SilentServer

LIMIT = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def proxy(authority):
    with ConnectProxy(context=authority.server_context()) as server:
        yield parse_proxy("https://localhost:{}".format(server.port), "HTTPS_PROXY")


@pytest.fixture
def connection(authority, proxy):
    """A connection to a host that echoes, TLS in TLS."""
    with EchoServer(authority.server_context()) as server:
        sock = open_socket(route_to(server, authority, proxy), LIMIT)
        yield sock
        sock.close()


def route_to(server, authority, proxy):
    return Route("127.0.0.1", server.port, True, "localhost", proxy, authority.ca_file)


def receive(sock, size):
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(65536)
        assert chunk
        data += chunk
    return bytes(data)


def test_bytes_go_both_ways(connection):
    assert isinstance(connection, TlsInTls)
    assert connection.send(b"hello") == 5
    assert receive(connection, 5) == b"hello"
    connection.sendall(memoryview(b"again"))
    buffer = bytearray(10)
    assert connection.recv_into(buffer, 2) == 2
    assert connection.pending() >= 3
    assert connection.recv_into(buffer) == 3
    assert buffer[:3] == b"ain"


def test_one_thread_may_send_while_another_receives(connection):
    block = bytes(bytearray(range(256))) * 4096
    received = []
    thread = threading.Thread(target=lambda: received.append(receive(connection, 4 * len(block))))
    thread.start()
    for _ in range(4):
        connection.sendall(block)
    thread.join(LIMIT)
    assert received == [block * 4]


def test_it_has_the_options_and_time_limits_of_its_socket(connection):
    assert connection.gettimeout() is None
    assert connection.fileno() >= 0
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    connection.settimeout(0.05)
    with pytest.raises(socket.timeout):
        connection.recv(1)
    connection.settimeout(LIMIT)
    connection.sendall(b"x")
    assert receive(connection, 1) == b"x"


def test_shutdown_wakes_a_receiver(connection):
    ended = []

    def receiver():
        try:
            ended.append(connection.recv(1))
        except OSError as error:
            ended.append(error)

    thread = threading.Thread(target=receiver)
    thread.start()
    connection.shutdown(socket.SHUT_RDWR)
    thread.join(LIMIT)
    assert len(ended) == 1


def test_the_end_of_the_host_is_the_end(authority, proxy):
    with SilentServer() as silent:
        with pytest.raises(DeadlineError, match="TLS handshake"):
            open_socket(route_to(silent, authority, proxy), 0.5)
    server = EchoServer(authority.server_context(), first=b"bye")
    with server:
        sock = open_socket(route_to(server, authority, proxy), LIMIT)
        assert receive(sock, 3) == b"bye"
    assert sock.recv(1) == b""
    sock.close()


def test_the_host_behind_the_proxy_must_be_trusted_too(authority, proxy):
    with EchoServer(authority.server_context("DNS:other.example")) as server:
        with pytest.raises(CertificateError, match="localhost is not trusted") as caught:
            open_socket(route_to(server, authority, proxy), LIMIT)
    assert isinstance(caught.value.__cause__, (ssl.SSLError, ssl.CertificateError))


def test_a_host_that_does_not_speak_tls_is_named(authority, proxy):
    with SilentServer(b"SSH-2.0-OpenSSH\r\n" * 3) as server:
        with pytest.raises(ConnectError, match="TLS handshake with localhost failed"):
            open_socket(route_to(server, authority, proxy), LIMIT)
