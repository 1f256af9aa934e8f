"""The endpoints of ECS and EKS, played by a loopback server."""

import os
import time

import pytest

from ssm_plugin.aws.container import container_credentials
from ssm_plugin.aws.keys import Credentials
from ssm_plugin.errors import CredentialsError
from ssm_plugin.net.timing import Deadline
from tests.support.http_server import HttpServer, SilentServer, reply

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ANSWER = {
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": SECRET,
    "Token": "tok",
    "Expiration": "2030-01-01T00:00:00Z",
}
KEYS = Credentials("ASIA1", SECRET, "tok", 1893456000.0)
RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"


def _found(environ, address="http://127.0.0.1:9", seconds=5.0):
    return container_credentials(environ, Deadline(seconds, "the search"), address)


def _refused(environ, address="http://127.0.0.1:9"):
    with pytest.raises(CredentialsError) as caught:
        _found(environ, address)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_outside_of_a_container_there_is_nothing():
    assert _found({}) is None
    assert _found({RELATIVE: "", FULL: ""}) is None


def test_a_task_role_comes_from_the_address_of_ecs():
    with HttpServer(lambda request: reply(200, ANSWER)) as server:
        assert _found({RELATIVE: "/v2/credentials/x?y=1", FULL: "nonsense"}, server.url) == KEYS
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v2/credentials/x?y=1")
    assert "authorization" not in request.headers


def test_a_pod_identity_comes_from_the_full_url_with_its_token():
    with HttpServer(lambda request: reply(200, ANSWER)) as server:
        environ = {FULL: server.url + "/v1/credentials", TOKEN: "the token"}
        assert _found(environ) == KEYS
    assert server.requests[0].headers["authorization"] == "the token"


def test_the_token_file_goes_before_the_token_and_is_read_each_time(tmp_path):
    path = tmp_path / "token"
    with HttpServer(lambda request: reply(200, ANSWER)) as server:
        environ = {FULL: server.url, TOKEN: "other", TOKEN + "_FILE": str(path)}
        for token in ("first", "second"):
            path.write_text(token)
            assert _found(environ) == KEYS
    assert [r.headers["authorization"] for r in server.requests] == ["first", "second"]


def test_a_token_file_that_is_not_there_is_an_error(tmp_path):
    environ = {FULL: "http://127.0.0.1:9", TOKEN + "_FILE": str(tmp_path / "none")}
    assert "none): No such file or directory" in _refused(environ)


def test_a_token_file_that_is_no_file_is_an_error_and_not_waited_for(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    environ = {FULL: "http://127.0.0.1:9", TOKEN + "_FILE": str(tmp_path / "pipe")}
    assert "pipe): it is not a regular file" in _refused(environ)


def test_a_token_file_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe")
    assert "it is not text" in _refused({FULL: "http://127.0.0.1:9", TOKEN + "_FILE": str(path)})


@pytest.mark.parametrize("token", ["a\nX-Evil: 1", "a\r", SECRET + "\n"])
def test_a_token_with_a_line_break_is_refused(token, tmp_path):
    assert "line break" in _refused({FULL: "http://127.0.0.1:9", TOKEN: token})
    path = tmp_path / "token"
    path.write_bytes(token.encode())
    environ = {FULL: "http://127.0.0.1:9", TOKEN + "_FILE": str(path)}
    assert TOKEN + "_FILE holds a line break" in _refused(environ)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://169.254.170.3/",
        "http://169.254.169.254/",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "http://[::1/",
        "http://",
    ],
)
def test_plain_http_is_for_this_machine_and_for_the_agents_alone(url):
    assert "must be an https URL" in _refused({FULL: url})


def test_a_path_must_be_one():
    assert "must be a path" in _refused({RELATIVE: "@example.com/"})


def test_a_url_that_cannot_be_dialled_is_an_error():
    assert FULL in _refused({FULL: "http://127.0.0.1:0/"})


@pytest.mark.parametrize("status, attempts", [(500, 3), (429, 3), (403, 1), (302, 1)])
def test_only_what_may_pass_is_tried_again(status, attempts):
    answer = reply(status, {"message": SECRET}, {"Location": "http://127.0.0.1:9/"})
    with HttpServer(lambda request: answer) as server:
        message = _refused({FULL: server.url})
    assert "HTTP status %d" % status in message
    assert len(server.requests) == attempts


def test_one_failure_is_survived():
    answers = [reply(500), reply(200, ANSWER)]
    with HttpServer(lambda request: answers.pop(0)) as server:
        assert _found({FULL: server.url}) == KEYS


def test_an_agent_that_is_busy_for_a_moment_is_given_time():
    started = time.monotonic()

    def answer(request):
        return reply(503) if time.monotonic() - started < 0.4 else reply(200, ANSWER)

    with HttpServer(answer) as server:
        assert _found({FULL: server.url}) == KEYS
    assert len(server.requests) <= 3


@pytest.mark.parametrize("body", [SECRET.encode(), b"\xff", b"[]"])
def test_an_answer_that_is_no_json_object_is_not_shown(body):
    with HttpServer(lambda request: reply(200, body)) as server:
        assert "JSON" in _refused({FULL: server.url})


def test_a_refused_connection_is_an_error_that_says_so():
    assert "connection refused" in _refused({FULL: "http://127.0.0.1:9/"})


def test_a_server_that_says_nothing_is_left_in_time():
    with SilentServer() as server:
        started = time.monotonic()
        with pytest.raises(Exception, match="took longer than"):
            _found({FULL: "http://127.0.0.1:%d/" % server.port}, seconds=0.3)
        assert time.monotonic() - started < 20
