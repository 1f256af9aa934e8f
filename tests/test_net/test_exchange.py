import pytest

from ssm_plugin.errors import ConnectionLost, DeadlineError, NetworkError
from ssm_plugin.net.address import parse
from ssm_plugin.net.connect import open_socket
from ssm_plugin.net.exchange import exchange
from ssm_plugin.net.route import Route
from ssm_plugin.net.timing import Deadline
from tests.support.http_server import HttpServer, SilentServer, reply

LIMIT = 10


def ask(server, method="POST", target="/", headers=None, body=b"", seconds=LIMIT, limit=1000):
    url = "http://127.0.0.1:{}".format(server.port)
    with open_socket(Route("127.0.0.1", server.port, False, "127.0.0.1"), LIMIT) as sock:
        deadline = Deadline(seconds, "asking")
        address = parse(url, ("http",), "the URL")
        return exchange(sock, method, target, address, headers or {}, body, deadline, limit)


def answered(data, **more):
    with HttpServer(lambda _: data) as server:
        return ask(server, **more)


def test_a_request_and_its_answer():
    with HttpServer(lambda _: reply(201, b"hello", {"X-Any": "Value"})) as server:
        response = ask(server, "PUT", "/a?b=c", {"X-One": "1"}, b"\x00\xff")
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("PUT", "/a?b=c", b"\x00\xff")
    assert request.headers["host"] == "127.0.0.1:{}".format(server.port)
    assert request.headers["x-one"] == "1"
    assert (response.status, response.body) == (201, b"hello")
    assert response.headers["x-any"] == "Value"


def test_text_of_an_answer_hides_its_body():
    assert repr(answered(reply(200, b"hush"))) == "Response(200, 4 bytes)"


def test_an_answer_may_come_in_chunks_or_end_with_the_connection():
    head = b"HTTP/1.1 200 OK\r\n"
    chunks = head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert answered(chunks).body == b"abcde"
    assert answered(head + b"\r\nabcde").body == b"abcde"
    assert answered(b"HTTP/1.1 100 Continue\r\n\r\n" + chunks).body == b"abcde"


def test_the_size_of_an_answer_is_bounded():
    assert len(answered(reply(200, b"x" * 1000)).body) == 1000
    for data in (reply(200, b"x" * 1001), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300000):
        with pytest.raises(NetworkError, match="larger than 1000 bytes"):
            answered(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    ],
)
def test_a_connection_that_ends_early_is_lost(data):
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:\d+"):
        answered(data)


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n"]
)
def test_what_is_not_http_is_named(data):
    with pytest.raises(NetworkError, match="does not answer in HTTP"):
        answered(data)


def test_a_silent_server_meets_the_deadline():
    for head in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"):
        with SilentServer(head) as server, pytest.raises(DeadlineError, match="asking took longer"):
            ask(server, seconds=0.2)


@pytest.mark.parametrize("name, value", [("X-A", "a\r\nX-B: c"), ("X A", "a"), ("X-A", "\u0101")])
def test_a_header_cannot_bring_another_with_it(name, value):
    with HttpServer(lambda _: reply(200)) as server, pytest.raises(NetworkError, match="forbidden"):
        ask(server, headers={name: value})
