"""Whatever answers an API call: it is read, or it is one of our errors in one line."""

import json
import socket
from datetime import datetime, timezone

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ssm_plugin.aws.service_errors import (  # noqa: E402
    Operation,
    is_expired,
    is_throttling_or_fault,
    service_error,
)
from ssm_plugin.errors import NetworkError, ProxyError  # noqa: E402
from ssm_plugin.net.address import Address  # noqa: E402
from ssm_plugin.net.exchange import Response, exchange  # noqa: E402
from ssm_plugin.net.proxy import Proxy  # noqa: E402
from ssm_plugin.net.proxy_tunnel import open_tunnel  # noqa: E402
from ssm_plugin.net.timing import Deadline  # noqa: E402
from tests.test_fuzz.strategies import JSON, QUICK  # noqa: E402

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp()
LIMIT = 4096
HEADS = st.builds(
    "{} {}\r\n{}\r\n".format,
    st.sampled_from(["HTTP/1.1 200", "HTTP/1.0 407", "HTTP/1.1 99", "HTTP/2 200", "ICY 200", ""]),
    st.text(max_size=10),
    st.lists(
        st.sampled_from(
            [
                "Content-Length: 5\r\n",
                "Content-Length: -1\r\n",
                "Content-Length: 99999999\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Proxy-Authenticate: Digest x\r\n",
                "no colon\r\n",
                ": \r\n",
            ]
        ),
        max_size=4,
    ).map("".join),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
ANSWERS = st.builds(lambda head, body: head + body, HEADS, st.binary(max_size=200)) | st.binary(
    max_size=200
)


def answered(data):
    """A socket whose peer says ``data`` and hangs up."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    return ours, theirs


@QUICK
@given(ANSWERS)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 1" + b"0" * 5000 + b"\r\n\r\n")
@example(b"HTTP/1.1 100 Continue\r\n\r\n" * 200)
def test_an_answer_is_read_or_refused(data):
    ours, theirs = answered(data)
    with ours, theirs:
        deadline = Deadline(5, "the call")
        try:
            response = exchange(
                ours, "POST", "/", Address("http", "h", 80), {}, b"", deadline, LIMIT
            )
        except NetworkError as error:
            assert "\n" not in str(error)
        else:
            assert len(response.body) <= LIMIT


@QUICK
@given(ANSWERS)
def test_a_proxy_opens_a_tunnel_or_refuses(data):
    ours, theirs = answered(data)
    with ours, theirs:
        try:
            open_tunnel(
                ours, Proxy("p", 3128, None, None, False), "h", 443, Deadline(5, "connecting")
            )
        except (ProxyError, NetworkError) as error:
            assert "\n" not in str(error)
        else:
            assert data.startswith(b"HTTP/1.")


@QUICK
@given(
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(["date", "x-amzn-errortype"]), st.text(max_size=40), max_size=2
    ),
    JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(["__type", "code", "message", "Message"]), JSON).map(
        json.dumps
    )
    | st.text(max_size=50),
)
@example(403, {"date": "Thu, 32 Foo 9999999 99:99:99 GMT"}, "{}")
@example(400, {}, '{"message": "\\ud800"}')
def test_a_refusal_is_understood_whatever_it_says(status, headers, body):
    response = Response(status, headers, body.encode("utf-8", "surrogatepass"))
    error = service_error(Operation("ssm:ResumeSession", "s-1"), response, NOW)
    assert str(error) and error.code
    assert is_expired(error) in (True, False)
    assert is_throttling_or_fault(error) in (True, False)
