import socket
import ssl
import subprocess
import sys
import threading

import pytest

from ssm_plugin.errors import CertificateError, ConnectError, DeadlineError
from ssm_plugin.net.connect import open_socket
from ssm_plugin.net.proxy import parse_proxy
from ssm_plugin.net.route import Route
from ssm_plugin.net.tls_socket import TlsSocket
from tests.support.certificates import Authority
from tests.support.http_server import ConnectProxy, EchoServer, SilentServer
from tests.support.pty import ROOT

LIMIT = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=[False, True], ids=["direct", "in TLS to a proxy"])
def proxy(request, authority):
    """None, or an https proxy, so that TLS runs inside TLS."""
    if not request.param:
        yield None
        return
    with ConnectProxy(context=authority.server_context()) as server:
        yield parse_proxy("https://localhost:{}".format(server.port), "HTTPS_PROXY")


@pytest.fixture
def connection(authority, proxy):
    """A TLS connection to a host that echoes."""
    with EchoServer(authority.server_context()) as server:
        with open_socket(route_to(server, authority, proxy), LIMIT) as sock:
            yield sock


def route_to(server, authority, proxy):
    return Route("127.0.0.1", server.port, True, "localhost", proxy, authority.ca_file)


def receive(sock, size):
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(65536)
        assert chunk
        data += chunk
    return bytes(data)


def in_thread(target, *args):
    """Starts it; gives the thread and the list that its result will be in."""
    results = []
    thread = threading.Thread(target=lambda: results.append(target(*args)))
    thread.start()
    return thread, results


def test_bytes_go_both_ways(connection):
    assert isinstance(connection, TlsSocket)
    assert connection.version() in ("TLSv1.2", "TLSv1.3")
    assert connection.send(b"hello") == 5
    assert receive(connection, 5) == b"hello"
    connection.sendall(memoryview(b"again"))
    buffer = bytearray(10)
    assert connection.recv_into(buffer, 2) == 2
    assert connection.pending() == 3
    assert connection.recv_into(buffer) == 3
    assert buffer[:3] == b"ain"
    assert connection.pending() == 0


def test_all_that_has_come_is_received_at_once(authority):
    block = bytes(bytearray(range(256))) * 160  # more than two records
    with EchoServer(authority.server_context(), first=block) as server:
        with open_socket(route_to(server, authority, None), LIMIT) as sock:
            data = sock.recv(1)
            data += receive(sock, len(block) - 1)
    assert data == block


def test_one_thread_may_send_while_another_receives(connection):
    block = bytes(bytearray(range(256))) * 4
    count = 4000
    thread, received = in_thread(receive, connection, count * len(block))
    for _ in range(count):
        connection.sendall(block)
    thread.join(LIMIT)
    assert received == [block * count]


def test_it_has_the_time_limits_of_its_socket(connection):
    assert connection.gettimeout() is None
    assert connection.fileno() >= 0
    connection.settimeout(0.05)
    with pytest.raises(socket.timeout):
        connection.recv(1)
    connection.settimeout(LIMIT)
    connection.sendall(b"x")
    assert receive(connection, 1) == b"x"


def test_shutdown_wakes_a_receiver(connection):
    thread, received = in_thread(receive_the_end, connection)
    connection.shutdown(socket.SHUT_RDWR)
    thread.join(LIMIT)
    assert received == [b""]


def receive_the_end(sock):
    try:
        return sock.recv(1)
    except ConnectionError:
        return b""


def test_the_end_of_the_host_is_the_end(authority, proxy):
    with EchoServer(authority.server_context(), first=b"bye") as server:
        sock = open_socket(route_to(server, authority, proxy), LIMIT)
        assert receive(sock, 3) == b"bye"
    assert sock.recv(1) == b""
    sock.close()


def test_an_orderly_end_is_the_end(authority):
    client, server = socket.socketpair()
    with client, server:
        thread, _ = in_thread(answer_then_end, server, authority.server_context())
        context = ssl.create_default_context(cafile=authority.ca_file)
        sock = TlsSocket(client, context, "localhost")
        sock.do_handshake(lambda: LIMIT)
        assert receive(sock, 3) == b"bye"
        assert sock.recv(1) == b""
        client.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT)


def answer_then_end(sock, context):
    with context.wrap_socket(sock, server_side=True) as secure:
        secure.sendall(b"bye")
        try:
            secure.unwrap()  # sends close_notify; there will be no answer to it
        except OSError:
            pass


def test_a_silent_host_meets_the_deadline(authority, proxy):
    with SilentServer() as server, pytest.raises(DeadlineError, match="in the TLS handshake"):
        open_socket(route_to(server, authority, proxy), 0.5)


def test_a_host_behind_a_proxy_must_be_trusted_too(authority, proxy):
    with EchoServer(authority.server_context("DNS:other.example")) as server:
        with pytest.raises(CertificateError, match="localhost is not trusted") as caught:
            open_socket(route_to(server, authority, proxy), LIMIT)
    assert isinstance(caught.value.__cause__, (ssl.SSLError, ssl.CertificateError))


@pytest.mark.parametrize("head", [b"", b"SSH-2.0-OpenSSH\r\n" * 3])
def test_a_host_that_does_not_speak_tls_is_named(authority, proxy, head):
    with EchoServer(first=head) if head else Closing() as server:
        with pytest.raises(ConnectError, match="TLS handshake with localhost failed"):
            open_socket(route_to(server, authority, proxy), LIMIT)


class Closing(EchoServer):
    """Reads a little, then closes."""

    def _serve(self, sock):
        sock.recv(10)


@pytest.mark.skipif(sys.version_info < (3, 7), reason="Python 3.6 takes a name as text only")
def test_a_session_loads_neither_the_alphabets_nor_the_calendar():
    program = (
        "import socket, ssl, sys\n"
        "from ssm_plugin.commands.exit_status import lighten_the_library\n"
        "lighten_the_library()\n"
        "import ssm_plugin.commands.dropin, ssm_plugin.session.starting\n"
        "import ssm_plugin.plugins.port_mux, ssm_plugin.transport.websocket\n"
        "from ssm_plugin.net.tls import client_context\n"
        "from ssm_plugin.net.tls_socket import TlsSocket\n"
        "with socket.socket() as sock:\n"
        "    TlsSocket(sock, client_context(None), 'ssm.us-east-1.amazonaws.com')\n"
        "loaded = {'datetime', 'encodings.idna', 'unicodedata'} & set(sys.modules)\n"
        "sys.exit(' '.join(loaded) or 0)\n"
    )
    assert subprocess.call([sys.executable, "-c", program], cwd=ROOT) == 0
