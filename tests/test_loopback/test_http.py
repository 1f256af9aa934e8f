import queue
import socket
import ssl
import time

import pytest

from ssm_plugin.loopback.http import BODY_LIMIT, HEADER_LIMIT, HttpResponse, HttpServer, Upgrade
from tests.support.certificates import Authority
from tests.support.threads import no_threads_left, threads_left

from .helpers import no_descriptors_left

TIMEOUT = 10


def answer(request):
    if request.path == "/upgrade":
        return Upgrade(101, (("Upgrade", "echo"),), echo)
    if request.path == "/fail":
        raise RuntimeError("a mistake")
    headers = (("X-Query", request.query), ("X-Seen", request.headers.get("x-sent", "")))
    return HttpResponse(200, request.method.encode() + b" " + request.body, headers)


def echo(stream, received):
    data = received
    while data:
        stream.sendall(data)
        data = stream.recv(65536, TIMEOUT)


@pytest.fixture
def failures():
    return queue.Queue()


@pytest.fixture
def server(failures):
    server = HttpServer("test", answer, failures)
    server.start()
    yield server
    server.close(TIMEOUT)
    assert threads_left((), "ssm-test") == []


def dial(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)


def read_all(sock):
    data = b""
    while True:
        more = sock.recv(65536)
        if not more:
            return data
        data += more


def exchange(server, data):
    """Everything that comes back for ``data`` until the server closes."""
    with dial(server) as sock:
        sock.sendall(data)
        return read_all(sock)


def test_a_request_is_answered_and_the_connection_kept(server):
    with dial(server) as sock:
        for _ in range(2):
            sock.sendall(b"POST /a?b=c HTTP/1.1\r\nX-Sent: yes\r\nContent-Length: 4\r\n\r\nbody")
            data = sock.recv(65536)
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nX-Query: b=c\r\nX-Seen: yes\r\n" in data
            assert data.endswith(b"\r\n\r\nPOST body")
        assert server.open_connections() == 1


def test_requests_may_come_at_once_or_byte_by_byte(server):
    request = (
        b"GET / HTTP/1.1\r\n\r\n"
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    )
    assert exchange(server, request).count(b"200 OK") == 2
    with dial(server) as sock:
        for n in range(len(request)):
            sock.sendall(request[n:n + 1])
        assert read_all(sock).count(b"200 OK") == 2


def test_headers_of_one_name_are_joined(server):
    data = exchange(server, b"GET / HTTP/1.0\r\nX-Sent: a\r\nx-sent:  b \r\n\r\n")
    assert b"\r\nX-Seen: a, b\r\n" in data


def test_an_old_client_gets_its_connection_closed(server):
    data = exchange(server, b"GET / HTTP/1.0\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in data


@pytest.mark.parametrize(
    "request_head, status",
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/2.0\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1), b"413 "),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501 Not Implemented"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * HEADER_LIMIT, b"431 "),
    ],
)
def test_what_is_malformed_or_too_big_is_refused(server, request_head, status):
    with dial(server) as sock:
        sock.sendall(request_head + b"never read")
        assert sock.recv(65536).startswith(b"HTTP/1.1 " + status)


def test_an_upgrade_hands_the_connection_over(server):
    with dial(server) as sock:
        sock.sendall(b"GET /upgrade HTTP/1.1\r\n\r\nearly")
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nearly"
        data = b""
        while len(data) < len(head):
            data += sock.recv(65536)
        assert data == head
        sock.sendall(b"later")
        assert sock.recv(65536) == b"later"


def test_clients_that_leave_in_the_middle_harm_nobody(server, failures):
    for part in (b"", b"GET", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"):
        with dial(server) as sock:
            sock.sendall(part)
    assert b"200 OK" in exchange(server, b"GET / HTTP/1.0\r\n\r\n")
    assert failures.empty()


def test_a_client_that_finds_no_descriptor_left_waits_for_one_and_costs_nothing(server, failures):
    with socket.socket() as client:
        client.settimeout(0.5)
        with no_descriptors_left():
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            used = time.process_time()
            with pytest.raises(socket.timeout):
                client.recv(1)
            assert time.process_time() - used < 0.25
        client.settimeout(TIMEOUT)
        assert read_all(client).startswith(b"HTTP/1.1 200 OK")
    assert failures.empty()


def test_a_client_that_finds_no_thread_left_is_hung_up_on_and_the_next_one_served(server, failures):
    with no_threads_left():
        assert exchange(server, b"") == b""
    assert b"200 OK" in exchange(server, b"GET / HTTP/1.0\r\n\r\n")
    assert failures.empty()


def test_a_mistake_in_a_handler_is_reported(server, failures):
    assert exchange(server, b"GET /fail HTTP/1.1\r\n\r\n") == b""
    assert isinstance(failures.get(timeout=TIMEOUT).error, RuntimeError)


def test_closing_cuts_idle_connections():
    server = HttpServer("test", answer, queue.Queue())
    server.start()
    with dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(65536)
        server.close(TIMEOUT)
        assert sock.recv(1) == b""
    assert server.open_connections() == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def client_context(authority):
    return ssl.create_default_context(cafile=authority.ca_file)


def test_the_same_over_tls_in_both_directions_at_once(authority):
    server = HttpServer("tls", answer, queue.Queue(), authority.server_context())
    server.start()
    data = bytes(range(256)) * 16384
    try:
        with client_context(authority).wrap_socket(
            dial(server), server_hostname="localhost"
        ) as sock:
            sock.sendall(b"GET /upgrade HTTP/1.1\r\n\r\n" + data[:1])
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n"
            received = b""
            position = 1
            while len(received) < len(head) + len(data):
                # The echo must not fill both directions: nobody reads while this sends.
                if len(received) >= len(head) + position and position < len(data):
                    sock.sendall(data[position:position + 65536])
                    position += 65536
                received += sock.recv(65536)
        assert received == head + data
    finally:
        server.close(TIMEOUT)


def test_without_tls_the_tls_server_hangs_up(authority):
    server = HttpServer("tls", answer, queue.Queue(), authority.server_context())
    server.start()
    try:
        with dial(server) as sock:
            sock.sendall(b"GET /")
            assert b"HTTP/1.1" not in read_all(sock)
    finally:
        server.close(TIMEOUT)


def test_closing_does_not_wait_for_a_handshake_that_never_comes(authority):
    failures = queue.Queue()
    server = HttpServer("tls", answer, failures, authority.server_context())
    server.start()
    with dial(server), dial(server):
        server.close(TIMEOUT)
    assert server.open_connections() == 0
    assert failures.empty()
