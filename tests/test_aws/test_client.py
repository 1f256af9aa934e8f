import base64
import json
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from email.utils import formatdate

import pytest

from ssm_plugin import logs
from ssm_plugin.aws.client import DataKey, ResumedSession, ServiceClient, StartedSession
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.aws.service_errors import is_throttled
from ssm_plugin.aws.sigv4 import sign
from ssm_plugin.config import LogSettings, NetworkSettings
from ssm_plugin.errors import (
    CertificateError,
    ConnectError,
    ConnectionLost,
    CredentialsError,
    DeadlineError,
    NetworkError,
    ServiceError,
    SsmPluginError,
    UsageError,
)
from tests.support.certificates import Authority
from tests.support.http_server import ConnectProxy, HttpServer, SilentServer, reply

REGION = "eu-west-1"
NOW = datetime(2026, 10, 1, 12, 0, 0, tzinfo=timezone.utc).timestamp()
URL = "wss://ssmmessages.us-east-2.amazonaws.com/v1/data-channel/s-1?role=publish_subscribe"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush-secret"}
STARTED = {"SessionId": "s-1", "StreamUrl": URL, "TokenValue": "hush-token"}
REFUSED = reply(400, {"__type": "TargetNotConnected", "message": "i-1 is not connected."})
THROTTLED = reply(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
THROTTLED_BY_503 = reply(503, {"__type": "SlowDown"})
EXPIRED = reply(400, {"__type": "ExpiredTokenException", "message": "It has expired"})
FAULT = reply(500, {"__type": "InternalServerError"})


def provider(environ, tmp_path):
    """The real one, without the files and the metadata service of this machine."""
    nowhere = str(tmp_path / "nowhere")
    apart = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
    }
    apart.update(environ)
    return CredentialProvider(environ=apart)


@pytest.fixture
def make_client(tmp_path):
    """A client with keys, at the endpoint of a server; everything can be replaced."""

    def make(server=None, keys=KEYS, **options):
        options.setdefault("endpoint_url", server and server.url)
        options.setdefault("environ", {})
        options.setdefault("now", lambda: NOW)
        options.setdefault("retry_delays", lambda: iter([0.0] * 3))
        return ServiceClient(provider(keys, tmp_path), REGION, **options)

    return make


class Script:
    """Answers in turn; the last one from then on."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def __call__(self, request):
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def always(answer):
    return HttpServer(Script(answer))


def scripted(*answers):
    return HttpServer(Script(*answers))


def test_a_session_is_started_with_a_signed_call(make_client):
    with always(reply(200, STARTED)) as server:
        started = make_client(server).start_session("i-1", "SSM-Doc", {"portNumber": ["22"]}, "why")
    assert started == StartedSession("s-1", URL, "hush-token")
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/")
    assert request.json() == {
        "Target": "i-1",
        "DocumentName": "SSM-Doc",
        "Parameters": {"portNumber": ["22"]},
        "Reason": "why",
    }
    assert request.headers["x-amz-target"] == "AmazonSSM.StartSession"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    assert request.headers["user-agent"].startswith("ssm-plugin/")
    assert "AKIDEXAMPLE/20261001/eu-west-1/ssm/aws4_request" in request.headers["authorization"]


def test_the_signature_is_over_what_is_sent(make_client, tmp_path):
    with always(reply(200, STARTED)) as server:
        make_client(server, endpoint_url=server.url + "/base?a=b").start_session("i-1")
    request = server.requests[0]
    assert request.path == "/base?a=b"
    signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "content-type", "x-amz-target", "x-amz-date"} <= set(signed)
    again = sign(
        "POST",
        server.url + request.path,
        {name: request.headers[name] for name in signed if name != "x-amz-date"},
        request.body,
        provider(KEYS, tmp_path).resolve(),
        REGION,
        "ssm",
        NOW,
    )
    assert again["Authorization"] == request.headers["authorization"]


def test_only_what_is_given_is_sent(make_client):
    with always(reply(200, STARTED)) as server:
        make_client(server).start_session("i-1", parameters={})
    assert server.requests[0].json() == {"Target": "i-1"}


def test_a_session_is_resumed(make_client):
    with scripted(reply(200, STARTED), reply(200, {"SessionId": "s-1"})) as server:
        client = make_client(server)
        assert client.resume_session("s-1") == ResumedSession(URL, "hush-token")
        assert client.resume_session("s-1") == ResumedSession("", "")
    assert server.requests[0].json() == {"SessionId": "s-1"}
    assert server.requests[0].headers["x-amz-target"] == "AmazonSSM.ResumeSession"


def test_a_session_is_terminated(make_client):
    with always(reply(200, b"")) as server:
        assert make_client(server).terminate_session("s-1") is None
    assert server.requests[0].headers["x-amz-target"] == "AmazonSSM.TerminateSession"


def key_answer(size):
    plaintext = base64.b64encode(b"k" * size).decode("ascii")
    return reply(200, {"Plaintext": plaintext, "CiphertextBlob": "c2VhbGVk", "KeyId": "x"})


def test_a_data_key_comes_from_kms(make_client):
    with always(key_answer(64)) as server:
        client = make_client(endpoint_url="http://127.0.0.1:1", kms_endpoint_url=server.url)
        key = client.generate_data_key("key-1", {"aws:ssm:SessionId": "s-1"})
    assert key == DataKey(b"k" * 64, "c2VhbGVk")
    request = server.requests[0]
    assert request.headers["x-amz-target"] == "TrentService.GenerateDataKey"
    assert "/eu-west-1/kms/aws4_request" in request.headers["authorization"]
    assert request.json() == {
        "KeyId": "key-1",
        "NumberOfBytes": 64,
        "EncryptionContext": {"aws:ssm:SessionId": "s-1"},
    }


def test_the_endpoint_of_kms_may_come_from_the_environment(make_client):
    with always(key_answer(64)) as server:
        client = make_client(environ={"AWS_ENDPOINT_URL_KMS": server.url})
        assert client.generate_data_key("key-1", {}).ciphertext == "c2VhbGVk"


@pytest.mark.parametrize("answer", [key_answer(32), reply(200, {"Plaintext": "%"}), reply(200, {})])
def test_a_key_of_another_size_is_none(make_client, answer):
    with always(answer) as server, pytest.raises(NetworkError, match="no key of 64 bytes"):
        make_client(kms_endpoint_url=server.url).generate_data_key("key-1", {})


def test_text_of_what_the_service_gave_hides_its_secrets():
    for value in (
        StartedSession("s-1", URL + "&x=hush", "hush"),
        ResumedSession("wss://hush", "hush"),
        DataKey(b"hush", "hush"),
    ):
        assert "hush" not in repr(value) + str(value)
    assert repr(StartedSession("s-1", URL, "x")) == "StartedSession(s-1)"
    assert repr(ResumedSession("", "")) == "ResumedSession(over=True)"


def test_a_refusal_is_an_error_with_its_code_and_is_not_repeated(make_client):
    with always(REFUSED) as server:
        with pytest.raises(ServiceError, match="i-1 is not connected") as caught:
            make_client(server).start_session("i-1")
    assert caught.value.code == "TargetNotConnected"
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [THROTTLED, reply(429, b""), THROTTLED_BY_503])
def test_a_start_that_is_throttled_fails_at_once_and_may_be_repeated(make_client, answer):
    """Whoever starts sessions waits for its turn: all threads share a pacer."""
    with scripted(answer, reply(200, STARTED)) as server:
        client = make_client(server)
        with pytest.raises(ServiceError) as caught:
            client.start_session("i-1")
        assert is_throttled(caught.value) and not caught.value.uncertain
        assert client.start_session("i-1").session_id == "s-1"
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", [THROTTLED, FAULT])
def test_throttling_and_faults_are_retried_for_other_calls(make_client, answer):
    with scripted(answer, answer, reply(200, STARTED)) as server:
        assert make_client(server).resume_session("s-1").token_value == "hush-token"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        FAULT,
        reply(502, b"<html>Bad Gateway</html>"),
        reply(503, b""),
        reply(504, b""),
        reply(500, {"__type": "ExpiredTokenException"}),
        reply(408, b""),
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        reply(200, STARTED)[:-9],
        reply(200, b"<html>login</html>"),
        reply(200, b"[]"),
        reply(200, {"SessionId": "s-1"}),
        reply(200, b" " * ((1 << 20) + 1)),
    ],
)
def test_a_start_is_not_sent_again_after_an_answer_that_leaves_it_open(make_client, answer):
    with scripted(answer, reply(200, STARTED)) as server:
        with pytest.raises(SsmPluginError) as caught:
            make_client(server).start_session("i-1")
    assert len(server.requests) == 1
    assert caught.value.uncertain


@pytest.mark.parametrize("answer", [REFUSED, THROTTLED, EXPIRED, reply(403, b"")])
def test_after_a_refusal_it_is_certain_that_nothing_was_started(make_client, answer):
    with always(answer) as server, pytest.raises(ServiceError) as caught:
        make_client(server).start_session("i-1")
    assert not caught.value.uncertain


def test_retries_are_few(make_client):
    with always(FAULT) as server, pytest.raises(ServiceError, match="the service has a fault"):
        make_client(server).terminate_session("s-1")
    assert len(server.requests) == 4


def test_three_waits_grow_and_are_random(tmp_path):
    waits = list(ServiceClient(provider(KEYS, tmp_path), REGION)._retry_delays())
    assert [wait // limit for wait, limit in zip(waits, (0.25, 0.5, 1.0))] == [1, 1, 1]
    assert len(waits) == 3


def test_no_retry_is_made_that_cannot_be_in_time(make_client):
    with always(FAULT) as server, pytest.raises(ServiceError):
        make_client(server, retry_delays=lambda: iter([20.0])).terminate_session("s-1")
    assert len(server.requests) == 1


def test_a_start_whose_answer_was_lost_is_not_sent_again(make_client):
    with always(b"") as server, pytest.raises(ConnectionLost):
        make_client(server).start_session("i-1")
    assert len(server.requests) == 1


def test_another_call_whose_answer_was_lost_is_sent_again(make_client):
    with scripted(b"", reply(200, STARTED)) as server:
        assert make_client(server).resume_session("s-1").token_value == "hush-token"
    assert len(server.requests) == 2


def test_a_start_that_did_not_get_through_is_tried_again(make_client):
    # Refuses TLS: nothing was sent, so even a start may be repeated.
    proxy = ConnectProxy(refusal=b"HTTP/1.1 200 OK\r\n\r\nno TLS here")
    with proxy, pytest.raises(ConnectError) as caught:
        make_client(
            endpoint_url="https://localhost:1",
            environ={"HTTPS_PROXY": "http://127.0.0.1:{}".format(proxy.port)},
        ).start_session("i-1")
    assert proxy.heads.qsize() == 4
    assert not caught.value.uncertain


_LOOK_UP = """
from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.errors import NameResolutionError

waits = []
client = ServiceClient(
    CredentialProvider(environ={keys!r}), "eu-west-1", "https://{host}",
    environ={{}}, retry_delays=lambda: (waits.append(1) or 0.0 for _ in range(3)),
)
try:
    client.start_session("i-1")
except NameResolutionError as error:
    print(len(waits), error)
"""
_WITHOUT_NETWORK = ["unshare", "-r", "-n"]
_NO_NAME = "-no-name.invalid"  # glibc says so without asking anybody


@pytest.mark.may_skip
@pytest.mark.parametrize(
    "prefix, host, waits",
    [(_WITHOUT_NETWORK, "no-such-host.invalid", "3"), ([], _NO_NAME, "0")],
)
def test_the_name_service_is_asked_again_if_it_did_not_answer(prefix, host, waits):
    if prefix and (not shutil.which("unshare") or subprocess.call(prefix + ["true"]) != 0):
        pytest.skip("needs unshare, and the right to use it")
    program = [sys.executable, "-c", _LOOK_UP.format(keys=KEYS, host=host)]
    said = subprocess.check_output(prefix + program).decode()
    assert said.startswith("%s the name of the host, %s, does not resolve: " % (waits, host))


def test_the_time_limit_is_for_the_whole_call(make_client):
    begun = time.monotonic()
    named = pytest.raises(DeadlineError, match="ssm:StartSession on i-1 to")
    with SilentServer() as server, named as late:
        url = "http://127.0.0.1:{}".format(server.port)
        make_client(endpoint_url=url, timeout=0.3).start_session("i-1")
    assert time.monotonic() - begun < 5
    assert late.value.uncertain


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b"\xff"])
def test_an_answer_that_is_not_from_aws_is_named(make_client, body):
    with always(reply(200, body)) as server, pytest.raises(NetworkError, match="not from AWS"):
        make_client(server).resume_session("s-1")


def test_a_started_session_must_be_complete(make_client):
    answer = dict(STARTED, TokenValue=None)
    with always(reply(200, answer)) as server, pytest.raises(NetworkError, match="lacks a field"):
        make_client(server).start_session("i-1")


def test_a_huge_answer_is_refused(make_client):
    answer = reply(200, b" " * ((1 << 20) + 1))
    with always(answer) as server, pytest.raises(NetworkError, match="larger than"):
        make_client(server).resume_session("s-1")


@pytest.fixture
def renewable(tmp_path):
    """A provider of keys from a file, and a function that puts other keys there."""
    path = tmp_path / "credentials"

    def put(name):
        text = "[default]\naws_access_key_id = {}\naws_secret_access_key = x\n"
        path.write_text(text.format(name) + "aws_session_token = hush-session\n")

    put("OLD")
    environ = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "nowhere"),
        "AWS_SHARED_CREDENTIALS_FILE": str(path),
    }
    return CredentialProvider(environ=environ), put


@pytest.mark.parametrize(
    "code",
    ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"],
)
def test_an_expired_token_or_a_key_that_was_replaced_is_looked_up_again(renewable, code):
    credentials, put = renewable

    def answer(request):
        put("NEW")
        fresh = "Credential=NEW/" in request.headers["authorization"]
        return reply(200, STARTED) if fresh else reply(400, {"__type": code})

    with HttpServer(answer) as server:
        client = ServiceClient(credentials, REGION, server.url, environ={})
        assert client.start_session("i-1").session_id == "s-1"
    assert len(server.requests) == 2
    assert server.requests[1].headers["x-amz-security-token"] == "hush-session"


def test_credentials_are_looked_up_again_only_once(renewable):
    with always(EXPIRED) as server, pytest.raises(ServiceError, match="log in again") as caught:
        ServiceClient(renewable[0], REGION, server.url, environ={}).start_session("i-1")
    assert caught.value.code == "ExpiredTokenException"
    assert len(server.requests) == 2


def test_a_wrong_clock_is_told(make_client):
    answer = reply(403, {"__type": "InvalidSignatureException"}, {"Date": "x"})
    late = time.time()
    date = formatdate(late - 30 * 60, usegmt=True).encode()
    with always(answer.replace(b"Date: x", b"Date: " + date)) as server:
        with pytest.raises(ServiceError, match="30 minutes ahead of the service's"):
            make_client(server, now=lambda: late).start_session("i-1")


def test_without_credentials_nothing_is_sent(make_client):
    with always(reply(200, STARTED)) as server, pytest.raises(CredentialsError):
        make_client(server, keys={}).start_session("i-1")
    assert server.requests == []


def test_an_unencrypted_endpoint_from_the_environment_must_be_local(make_client):
    with pytest.raises(UsageError, match="not encrypted"):
        make_client(environ={"AWS_ENDPOINT_URL": "http://any.example"}).start_session("i-1")


def test_a_region_must_look_like_one(tmp_path):
    with pytest.raises(UsageError, match="not an AWS region"):
        ServiceClient(provider(KEYS, tmp_path), "evil.example/")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_calls_go_through_the_proxy_and_trust_the_profiles_ca(make_client, authority):
    server = HttpServer(Script(reply(200, STARTED)), authority.server_context())
    with server, ConnectProxy() as proxy:
        client = make_client(
            server,
            environ={"HTTPS_PROXY": "http://127.0.0.1:{}".format(proxy.port)},
            profile={"ca_bundle": authority.ca_file},
        )
        assert client.start_session("i-1").session_id == "s-1"
    assert proxy.heads.get(timeout=5)[0].startswith("CONNECT localhost:")
    assert len(server.requests) == 1


def test_an_untrusted_certificate_is_not_retried(make_client, authority):
    server = HttpServer(Script(reply(200, STARTED)), authority.server_context())
    with server, ConnectProxy() as proxy, pytest.raises(CertificateError):
        proxied = NetworkSettings(proxy="127.0.0.1:{}".format(proxy.port))
        make_client(server, network=proxied).resume_session("s-1")
    assert proxy.heads.qsize() == 1


def test_an_upgrade_is_signed_for_the_region_of_the_stream(make_client, tmp_path):
    headers = make_client().upgrade_headers(URL)
    credentials = provider(KEYS, tmp_path).resolve()
    assert headers == sign("GET", URL, {}, b"", credentials, "us-east-2", "ssmmessages", NOW)
    assert set(headers) == {"Authorization", "X-Amz-Date"}
    other = make_client().upgrade_headers("ws://127.0.0.1:1/v1")["Authorization"]
    assert "/eu-west-1/ssmmessages/aws4_request" in other


def test_a_presigned_stream_is_not_signed_and_no_credentials_are_sought(tmp_path):
    broken = provider({"AWS_ACCESS_KEY_ID": "x"}, tmp_path)  # resolve() would fail
    client = ServiceClient(broken, REGION, environ={})
    assert client.upgrade_headers(URL + "&x-amz-signature=abc") == {}
    with pytest.raises(CredentialsError):
        broken.resolve()


@pytest.fixture
def log_file(tmp_path):
    path = tmp_path / "log"
    logs.configure(LogSettings(level="debug", file=str(path)), {})
    yield path
    logs.configure(LogSettings(), {})


def test_without_credentials_a_stream_is_opened_unsigned_with_one_warning(make_client, log_file):
    client = make_client(keys={})
    assert client.upgrade_headers(URL) == {}
    assert client.upgrade_headers(URL) == {}
    text = log_file.read_text()
    assert text.count("WARNING") == text.count("no AWS credentials were found") == 1


@pytest.mark.parametrize("url", [URL, URL + "&x-amz-signature=abc"], ids=["unsigned", "presigned"])
def test_the_end_of_an_unsigned_session_waits_for_no_credentials(tmp_path, url):
    with SilentServer() as instance_metadata:
        url_of_metadata = "http://127.0.0.1:%d" % instance_metadata.port
        environ = {"HOME": str(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": url_of_metadata}
        client = ServiceClient(CredentialProvider(None, environ), REGION, environ=environ)
        assert client.upgrade_headers(url) == {}
        assert client.unsigned
        start = time.monotonic()
        with pytest.raises(CredentialsError, match="ssm:TerminateSession on s-1 needs"):
            client.terminate_session("s-1")
        assert time.monotonic() - start < 0.9  # the service would be waited for for a second


def test_the_log_holds_no_bodies_and_no_secrets(make_client, log_file):
    keys = dict(KEYS, AWS_SESSION_TOKEN="hush-session")
    with scripted(reply(200, STARTED), key_answer(64)) as server:
        client = make_client(server, keys=keys, kms_endpoint_url=server.url)
        client.start_session("i-1", parameters={"command": ["hush-command"]})
        client.generate_data_key("key-1", {})
        client.upgrade_headers(URL)
    assert json.loads(server.requests[0].body.decode("utf-8"))["Parameters"]
    text = log_file.read_text()
    assert "ssm:StartSession on i-1 at 127.0.0.1" in text and "status 200" in text
    for secret in ("hush", "Signature", "publish_subscribe", "kkkk", "a2tr"):
        assert secret not in text
