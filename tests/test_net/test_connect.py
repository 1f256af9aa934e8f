import socket
import ssl
import sys

import pytest

from ssm_plugin.errors import (
    CertificateError,
    ConnectError,
    DeadlineError,
    NameResolutionError,
    ProxyError,
    UsageError,
)
from ssm_plugin.net.connect import open_socket
from ssm_plugin.net.proxy import parse_proxy
from ssm_plugin.net.route import Route
from tests.support.certificates import Authority
from tests.support.http_server import ConnectProxy, EchoServer, SilentServer, reply

LIMIT = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def plain(port, host="127.0.0.1", **more):
    return Route(host, port, False, host, **more)


def secure(port, authority, name="localhost", **more):
    more.setdefault("ca_bundle", authority.ca_file)
    return Route("127.0.0.1", port, True, name, **more)


def proxy_at(server, login="", scheme="http"):
    host = "localhost" if scheme == "https" else "127.0.0.1"
    return parse_proxy("{}://{}{}:{}".format(scheme, login, host, server.port), "HTTPS_PROXY")


def assert_echoes(sock, size=1000):
    data = bytes(bytearray(i % 251 for i in range(size)))
    sock.sendall(data)
    received = bytearray()
    while len(received) < size:
        chunk = sock.recv(65536)
        assert chunk
        received += chunk
    assert bytes(received) == data


@pytest.fixture
def closed_port():
    """A port of 127.0.0.1 where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def full_port():
    """A port of 127.0.0.1 that takes no connection and refuses none: its queue is full."""
    waiting = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_a_plain_connection_is_blocking_and_sends_at_once():
    with EchoServer() as server, open_socket(plain(server.port), LIMIT) as sock:
        assert_echoes(sock)
        assert sock.gettimeout() is None
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_is_tried_at_all_its_addresses():
    # localhost may be ::1 first, where nobody listens.
    with EchoServer() as server, open_socket(plain(server.port, "localhost"), LIMIT) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


def test_a_refused_connection_is_named(closed_port):
    with pytest.raises(ConnectError) as caught:
        open_socket(plain(closed_port), LIMIT)
    text = "cannot connect to 127.0.0.1:{}: connection refused; ".format(closed_port)
    assert str(caught.value).startswith(text)


def test_a_name_that_does_not_resolve_is_named():
    with pytest.raises(NameResolutionError, match=r"host, no-such-host\.invalid, does not resolve"):
        open_socket(plain(443, "no-such-host.invalid"), LIMIT)


def test_a_silent_host_meets_the_deadline(full_port):
    with pytest.raises(DeadlineError, match=r"127.0.0.1:\d+ took longer than 0.2 s \(no answer"):
        open_socket(plain(full_port), 0.2)


def test_no_time_is_no_time_at_all():
    with EchoServer() as server, pytest.raises(DeadlineError, match="looking up the name localh"):
        open_socket(plain(server.port, "localhost"), 0)


def test_tls_is_verified_against_the_bundle(authority):
    with EchoServer(authority.server_context()) as server:
        with open_socket(secure(server.port, authority), LIMIT) as sock:
            assert_echoes(sock)
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            assert sock.gettimeout() is None


def test_an_address_may_be_the_name_on_the_certificate(authority):
    with EchoServer(authority.server_context()) as server:
        with open_socket(secure(server.port, authority, "127.0.0.1"), LIMIT) as sock:
            assert_echoes(sock)


def test_an_unknown_authority_is_not_trusted_and_the_options_are_named(authority):
    with EchoServer(authority.server_context()) as server:
        with pytest.raises(CertificateError) as caught:
            open_socket(secure(server.port, authority, ca_bundle=None), LIMIT)
    text = str(caught.value)
    assert "the certificate of localhost is not trusted" in text
    assert "network.ca_bundle in the configuration, AWS_CA_BUNDLE or SSL_CERT_FILE" in text
    assert isinstance(caught.value.__cause__, (ssl.SSLError, ssl.CertificateError))


@pytest.mark.parametrize("folder", ["", "/nowhere"])
def test_a_machine_without_any_authorities_is_told_so(authority, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")  # as in a small container
    monkeypatch.setenv("SSL_CERT_DIR", folder or str(tmp_path))
    with EchoServer(authority.server_context()) as server:
        with pytest.raises(CertificateError, match="this machine has no CA certificates: install"):
            open_socket(secure(server.port, authority, ca_bundle=None), LIMIT)


@pytest.mark.parametrize(
    "names, days, advice",
    [
        ("DNS:other.example", 2, "it is of another host: check the endpoint, the DNS settings"),
        # Python 3.6 does not say what is wrong with one.
        ("DNS:localhost", -1, "check the clock" if sys.version_info >= (3, 7) else "CA file"),
    ],
)
def test_a_wrong_name_and_an_expired_certificate_are_refused(authority, names, days, advice):
    with EchoServer(authority.server_context(names, days)) as server:
        with pytest.raises(CertificateError, match="localhost is not trusted: .*; .*" + advice):
            open_socket(secure(server.port, authority), LIMIT)


def test_a_host_that_does_not_speak_tls_is_named(authority):
    with SilentServer(b"SSH-2.0-OpenSSH\r\n" * 3) as server:
        with pytest.raises(ConnectError, match="the TLS handshake with localhost failed: "):
            open_socket(secure(server.port, authority), LIMIT)


def test_a_silent_handshake_meets_the_deadline(authority):
    with SilentServer() as server, pytest.raises(DeadlineError, match="in the TLS handshake"):
        open_socket(secure(server.port, authority), 0.2)


def test_a_bad_bundle_is_an_error_of_the_user(authority, tmp_path):
    bundle = tmp_path / "x.pem"
    bundle.write_text("x")
    with EchoServer(authority.server_context()) as server, pytest.raises(UsageError, match="x.pem"):
        open_socket(secure(server.port, authority, ca_bundle=str(bundle)), LIMIT)


def test_a_proxy_leads_to_the_host_and_sees_only_its_name(authority):
    with EchoServer(authority.server_context()) as server, ConnectProxy() as proxy:
        with open_socket(secure(server.port, authority, proxy=proxy_at(proxy)), LIMIT) as sock:
            assert_echoes(sock)
    line, headers = proxy.heads.get(timeout=LIMIT)
    assert line == "CONNECT 127.0.0.1:{} HTTP/1.1".format(server.port)
    assert headers["host"] == "127.0.0.1:{}".format(server.port)
    assert "proxy-authorization" not in headers


def test_what_the_host_says_first_is_not_lost_behind_a_proxy():
    with EchoServer(first=b"hello") as server, ConnectProxy() as proxy:
        with open_socket(plain(server.port, proxy=proxy_at(proxy)), LIMIT) as sock:
            assert sock.recv(5) == b"hello"
            assert_echoes(sock)


def test_the_host_name_is_left_to_the_proxy_to_look_up():
    with EchoServer() as server, ConnectProxy(redirect=server.port) as proxy:
        route = plain(443, "no-such-host.invalid", proxy=proxy_at(proxy))
        with open_socket(route, LIMIT) as sock:
            assert_echoes(sock)


def test_a_proxy_gets_user_and_password():
    with EchoServer() as server, ConnectProxy(login=("us er", "p:w\u00e9")) as proxy:
        route = plain(server.port, proxy=proxy_at(proxy, "us%20er:p%3Aw%C3%A9@"))
        with open_socket(route, LIMIT) as sock:
            assert_echoes(sock)


@pytest.mark.parametrize(
    "login, text",
    [("", "wants a user name and a password (407)"), ("a:hush@", "refused the user name or the")],
)
def test_a_proxy_that_wants_another_password_is_named(login, text):
    with ConnectProxy(login=("a", "b")) as proxy, pytest.raises(ProxyError) as caught:
        open_socket(plain(1, proxy=proxy_at(proxy, login)), LIMIT)
    assert text in str(caught.value)
    assert "127.0.0.1:{} (HTTPS_PROXY)".format(proxy.port) in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_proxy_without_basic_login_is_named():
    refusal = b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: \r\n\r\n"
    with ConnectProxy(refusal=refusal) as proxy, pytest.raises(ProxyError, match="by NTLM: only"):
        open_socket(plain(1, proxy=proxy_at(proxy)), LIMIT)


def test_a_refusal_of_the_proxy_is_passed_on():
    with ConnectProxy(refusal=reply(403, b"<html>", reason="Blocked\x07")) as proxy:
        with pytest.raises(ProxyError) as caught:
            open_socket(plain(1, proxy=proxy_at(proxy)), LIMIT)
    assert "refused to connect to 127.0.0.1:1: 403 Blocked; allow" in str(caught.value)


@pytest.mark.parametrize(
    "answer", [b"", b"220 ready\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 " + b"x" * 70000]
)
def test_a_proxy_that_is_none_is_named(answer):
    with ConnectProxy(refusal=answer) as proxy, pytest.raises(ProxyError, match="the proxy"):
        open_socket(plain(1, proxy=proxy_at(proxy)), LIMIT)


def test_a_proxy_that_is_not_there_is_named(closed_port):
    proxy = parse_proxy("127.0.0.1:{}".format(closed_port), "ALL_PROXY")
    with pytest.raises(ConnectError) as caught:
        open_socket(plain(1, proxy=proxy), LIMIT)
    assert "cannot connect to the proxy 127.0.0.1:{} (ALL_PROXY)".format(closed_port) in str(
        caught.value
    )


def test_a_silent_proxy_meets_the_deadline():
    with SilentServer(b"HTTP/1.1 2") as server:
        proxy = parse_proxy("127.0.0.1:{}".format(server.port), "HTTPS_PROXY")
        with pytest.raises(DeadlineError, match="waiting for the answer of the proxy"):
            open_socket(plain(1, proxy=proxy), 0.3)


def test_an_https_proxy_is_spoken_to_in_tls(authority):
    with EchoServer() as server, ConnectProxy(context=authority.server_context()) as proxy:
        route = plain(
            server.port, proxy=proxy_at(proxy, scheme="https"), ca_bundle=authority.ca_file
        )
        with open_socket(route, LIMIT) as sock:
            assert_echoes(sock)


def test_an_https_proxy_must_be_trusted_too(authority):
    with ConnectProxy(context=authority.server_context()) as proxy:
        route = plain(1, proxy=proxy_at(proxy, scheme="https"))
        with pytest.raises(CertificateError, match="localhost"):
            open_socket(route, LIMIT)


def test_an_address_that_cannot_be_connected_to_fails_at_once():
    with pytest.raises(ConnectError, match=r"cannot connect to 255\.255\.255\.255:443: "):
        open_socket(plain(443, "255.255.255.255"), LIMIT)


def test_a_proxy_may_end_its_lines_without_a_carriage_return():
    with SilentServer(b"HTTP/1.1 200 OK\nVia: old\n\n") as server:
        proxy = parse_proxy("http://127.0.0.1:%d" % server.port, "HTTPS_PROXY")
        open_socket(Route("h.example", 443, False, "h.example", proxy), LIMIT).close()
