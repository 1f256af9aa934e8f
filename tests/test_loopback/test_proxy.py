import base64
import socket
import ssl
import threading

import pytest

from tests.support.certificates import Authority
from tests.support.connect_proxy import ConnectProxy

TIMEOUT = 10


class Echo:
    """A server that sends everything back; ``address`` is where."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(5)
        self.address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            while True:
                data = connection.recv(65536)
                if not data:
                    return
                connection.sendall(data)
                if data.endswith(b"hang up"):
                    return

    def close(self):
        with socket.socket() as last:
            last.connect_ex(self.address)
        self._thread.join(TIMEOUT)
        self._listener.close()


@pytest.fixture
def echo():
    server = Echo()
    yield "127.0.0.1:%d" % server.address[1]
    server.close()


def dial(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT)


def ask(sock, target, extra=b"", headers=""):
    sock.sendall(("CONNECT %s HTTP/1.1\r\n%s\r\n" % (target, headers)).encode() + extra)
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(1)
        assert more
        head += more
    return int(head.split()[1]), head


def read(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more
        data += more
    return data


def test_bytes_go_through_both_ways(echo):
    with ConnectProxy() as proxy, dial(proxy) as sock:
        assert ask(sock, echo, extra=b"early ")[0] == 200
        sock.sendall(b"later")
        assert read(sock, 11) == b"early later"
        assert proxy.attempts() == [(echo, 200)]
        assert proxy.open_connections() == 1
    assert proxy.failures.empty()


def test_the_end_of_the_target_reaches_the_client(echo):
    with ConnectProxy() as proxy, dial(proxy) as sock:
        ask(sock, echo)
        sock.sendall(b"hang up")
        assert read(sock, 7) == b"hang up"
        assert sock.recv(1) == b""


def test_closing_the_proxy_cuts_its_tunnels(echo):
    with ConnectProxy() as proxy:
        sock = dial(proxy)
        ask(sock, echo)
    with sock:
        assert sock.recv(1) == b""
    assert proxy.open_connections() == 0


def test_a_password_is_asked_for_and_checked(echo):
    with ConnectProxy(password="user:secret") as proxy:
        with dial(proxy) as sock:
            status, head = ask(sock, echo)
            assert status == 407
            assert b'\r\nProxy-Authenticate: Basic realm="loopback"\r\n' in head
            assert ask(sock, echo, headers=authorization("user:guess"))[0] == 407
            assert ask(sock, echo, headers=authorization("user:secret"))[0] == 200
        assert [status for _, status in proxy.attempts()] == [407, 407, 200]


def authorization(password):
    text = base64.b64encode(password.encode()).decode()
    return "Proxy-Authorization: Basic %s\r\n" % text


def test_it_refuses_when_told_to(echo):
    with ConnectProxy() as proxy, dial(proxy) as sock:
        proxy.refuse(403)
        assert ask(sock, echo)[0] == 403


@pytest.mark.parametrize("target, status", [("nowhere", 400), ("a:b", 400), ("[::1]:99999", 502)])
def test_a_target_must_be_a_host_and_a_port(target, status):
    with ConnectProxy() as proxy, dial(proxy) as sock:
        assert ask(sock, target)[0] == status


def test_a_target_that_is_not_there_is_a_bad_gateway():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with ConnectProxy() as proxy, dial(proxy) as sock:
            assert ask(sock, "127.0.0.1:%d" % unused.getsockname()[1])[0] == 502


def test_other_methods_are_not_proxied():
    with ConnectProxy() as proxy, dial(proxy) as sock:
        sock.sendall(b"GET http://example.com/ HTTP/1.1\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 405 ")


def test_a_name_can_be_sent_elsewhere(echo):
    name = "ssmmessages.eu-west-1.amazonaws.com:443"
    address = ("127.0.0.1", int(echo.rpartition(":")[2]))
    with ConnectProxy(elsewhere={name: address}) as proxy, dial(proxy) as sock:
        assert ask(sock, name)[0] == 200
        sock.sendall(b"there")
        assert read(sock, 5) == b"there"


def test_the_proxy_itself_may_be_reached_by_tls(echo, tmp_path):
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.ca_file)
    with ConnectProxy(tls=authority.server_context()) as proxy:
        with context.wrap_socket(dial(proxy), server_hostname="localhost") as sock:
            assert ask(sock, echo)[0] == 200
            sock.sendall(b"sealed")
            assert read(sock, 6) == b"sealed"
