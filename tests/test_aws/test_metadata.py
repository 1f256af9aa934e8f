"""Instance metadata, version 2, played by a loopback server."""

import time

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.metadata import endpoint, instance_credentials
from ssm_plugin.aws.profiles import Profile
from ssm_plugin.errors import CredentialsError
from ssm_plugin.net.timing import Deadline
from tests.support.http_server import HttpServer, SilentServer, reply

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ANSWER = {
    "Code": "Success",
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": SECRET,
    "Token": "tok",
    "Expiration": "2030-01-01T00:00:00Z",
}
KEYS = Credentials("ASIA1", SECRET, "tok", 1893456000.0)
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ROLES = "/latest/meta-data/iam/security-credentials/"


def _service(role=b"my role\n", keys=None, token=None, busy=()):
    """``keys``, ``token``: answers in place of the good ones. ``busy``: statuses, of which each is
    an answer before the good one to who asks for the role."""
    refusals = list(busy)

    def answer(request):
        if request.path == "/latest/api/token":
            good = request.method == "PUT"
            good = good and request.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            return token or reply(200 if good else 400, b"t0ken")
        if request.headers.get("x-aws-ec2-metadata-token") != "t0ken":
            return reply(401)
        if request.path == ROLES and refusals:
            return reply(refusals.pop())
        if request.path == ROLES:
            return reply(200, role) if role is not None else reply(404)
        if request.path == ROLES + "my%20role":
            return keys or reply(200, ANSWER)
        return reply(404)

    return HttpServer(answer)


def _found(environ, settings=None, seconds=5.0):
    profile = Profile("default", settings or {})
    return instance_credentials(profile, environ, Deadline(seconds, "the search"))


def test_the_keys_of_the_role_are_fetched_with_a_token():
    with _service() as server:
        assert _found({ENDPOINT: server.url + "/"}) == KEYS
    assert [request.method for request in server.requests] == ["PUT", "GET", "GET"]


def test_the_profile_may_name_the_endpoint():
    with _service() as server:
        assert _found({}, {"ec2_metadata_service_endpoint": server.url}) == KEYS


@pytest.mark.parametrize("value", ["true", "TRUE"])
def test_it_can_be_switched_off(value):
    with _service() as server:
        assert _found({ENDPOINT: server.url, "AWS_EC2_METADATA_DISABLED": value}) is None
    assert server.requests == []


def test_an_instance_without_a_role_has_nothing():
    with _service(role=None) as server:
        assert _found({ENDPOINT: server.url}) is None
    with _service(role=b"") as server:
        assert _found({ENDPOINT: server.url}) is None


def test_version_1_is_not_spoken():
    with _service(token=reply(403)) as server:
        assert _found({ENDPOINT: server.url}) is None
    assert len(server.requests) == 1


def test_where_there_is_no_such_service_there_is_nothing():
    assert _found({ENDPOINT: "http://127.0.0.1:9"}) is None


def test_a_service_that_says_nothing_costs_a_second():
    with SilentServer() as server:
        started = time.monotonic()
        assert _found({ENDPOINT: "http://127.0.0.1:%d" % server.port}) is None
        assert 0.5 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    "environ, settings",
    [
        ({"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"}, {}),
        ({}, {"metadata_service_num_attempts": "3"}),
        ({"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"}, {"metadata_service_num_attempts": "1"}),
    ],
)
def test_a_service_that_is_busy_is_asked_as_often_as_it_is_set(environ, settings):
    with _service(busy=[503, 404]) as server:
        assert _found(dict(environ, **{ENDPOINT: server.url}), settings) == KEYS
    assert [request.path for request in server.requests].count(ROLES) == 3


def test_a_service_that_is_slow_is_waited_for_as_long_as_it_is_set():
    with SilentServer() as server:
        environ = {
            ENDPOINT: "http://127.0.0.1:%d" % server.port,
            "AWS_METADATA_SERVICE_TIMEOUT": "2",
        }
        started = time.monotonic()
        assert _found(environ) is None
        assert time.monotonic() - started > 1.5


@pytest.mark.parametrize("value", ["soon", "0", "-1"])
def test_what_is_set_must_be_a_number(value):
    for name in ("AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS"):
        with pytest.raises(CredentialsError, match=name):
            _found({name: value})


@pytest.mark.parametrize(
    "keys, why",
    [
        (reply(500, SECRET.encode()), "HTTP status 500"),
        (reply(200, SECRET.encode()), "is not JSON"),
        (reply(200, {"Code": "AssumeRoleUnauthorizedAccess"}), "'AssumeRoleUnauthorizedAccess'"),
        (reply(200, {"Code": "Success", "AccessKeyId": "x"}), "no SecretAccessKey"),
        (reply(200, [SECRET]), "JSON object"),
    ],
)
def test_a_role_without_keys_is_an_error(keys, why):
    with _service(keys=keys) as server:
        with pytest.raises(CredentialsError) as caught:
            _found({ENDPOINT: server.url})
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_an_error():
    with pytest.raises(CredentialsError, match=ENDPOINT):
        _found({ENDPOINT: "169.254.169.254"})


@pytest.mark.parametrize(
    "environ, settings, url",
    [
        ({}, {}, "http://169.254.169.254"),
        ({ENDPOINT + "_MODE": "IPv6"}, {}, "http://[fd00:ec2::254]"),
        ({}, {"ec2_metadata_service_endpoint_mode": "ipv6"}, "http://[fd00:ec2::254]"),
        ({ENDPOINT + "_MODE": "IPv6", ENDPOINT: "http://x/"}, {}, "http://x"),
    ],
)
def test_without_an_endpoint_it_is_the_well_known_address(environ, settings, url):
    assert endpoint(Profile("default", settings), environ) == url


def test_the_mode_must_be_known():
    with pytest.raises(CredentialsError, match="IPv4 or IPv6"):
        _found({ENDPOINT + "_MODE": "IPv5"})
