"""Another user of this machine, or a web page, beside a running demo: no request succeeds.

All that they have is the port, which /proc/net/tcp tells everybody, and time.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from ssm_plugin.aws.keys import Credentials
from ssm_plugin.aws.sigv4 import sign
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.service import new_keys, private_service
from tests.support.drop_in import DropIn

DEMO = [sys.executable, "-m", "ssm_plugin", "demo"]
FORGED = Credentials("AKIAFORGEDFORGEDFORG", "of-no-value")
BODY = json.dumps({"Target": "i-demo"}).encode()
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
UNSIGNED = (400, "MissingAuthenticationTokenException", "Missing Authentication Token")
UNKNOWN = (
    400,
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
)
NO_MATCH = (400, "InvalidSignatureException", "The request signature we calculated does not match")
EXPIRED = (400, "InvalidSignatureException", "Signature expired: ")
EARLY = (400, "InvalidSignatureException", "Signature not yet current: ")
OTHER_SERVICE = (400, "InvalidSignatureException", "Credential should be scoped to correct service")
FORBIDDEN = (403, "", "forbidden\n")


def ask(port, method, target, headers, body=b""):
    """Status, error code and message."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if not text.startswith("{"):
        return response.status, "", text
    fields = json.loads(text)
    return response.status, fields.get("__type"), fields.get("message")


def call(port, operation="StartSession", body=BODY, keys=None, more=None, age=0, service="ssm"):
    headers = dict({"X-Amz-Target": "AmazonSSM." + operation}, **(more or {}))
    headers.setdefault("Host", "127.0.0.1:%d" % port)
    if keys:
        headers.update(signed(port, "POST", "/", headers, body, keys, service, age))
    return ask(port, "POST", "/", headers, body)


def upgrade(port, target, keys=None, more=None, service="ssmmessages", age=0):
    headers = dict({"Host": "127.0.0.1:%d" % port}, **(more or {}))
    if keys:
        headers.update(signed(port, "GET", target, headers, b"", keys, service, age))
    return ask(port, "GET", target, dict(UPGRADE, **headers))


def signed(port, method, target, headers, body, keys, service, age):
    url = "http://127.0.0.1:%d%s" % (port, target)
    return sign(method, url, headers, body, keys, "us-east-1", service, time.time() - age)


def assert_refused(answer, expected):
    status, code, message = answer
    assert (status, code) == expected[:2]
    assert message.startswith(expected[2])


@pytest.fixture
def keys():
    return new_keys()


@pytest.fixture
def service(keys):
    with private_service(keys) as service:
        yield service


@pytest.fixture
def port(service):
    return int(service.endpoint_url.rpartition(":")[2])


@pytest.fixture
def stream(service):
    """Path and query of a session that its owner has started."""
    session = service.gateway.start_session(StartRequest("i-demo", "", {}, ""))
    return "/" + service.gateway.stream_url(session).split("/", 3)[3]


def test_the_owner_is_let_in_by_both_names_of_the_service(port, keys, stream):
    assert call(port, keys=keys)[0] == 200
    assert call(port, keys=keys, more={"Host": "localhost:%d" % port})[0] == 200
    assert call(port, keys=keys, age=240)[0] == 200
    assert upgrade(port, stream, keys)[0] == 101


@pytest.mark.parametrize("operation", ["StartSession", "DescribeSessions", "Nonsense", ""])
def test_an_unsigned_call_is_refused_whatever_it_asks_for(service, port, operation):
    assert_refused(call(port, operation), UNSIGNED)
    assert_refused(call(port, operation, b"no JSON"), UNSIGNED)
    for header in ("Bearer x", "AWS4-HMAC-SHA256", "aws4-hmac-sha256 Credential=x"):
        assert_refused(call(port, operation, more={"Authorization": header}), UNSIGNED)
    assert service.sessions() == []


def test_a_forged_signature_gets_the_answer_that_aws_gives(service, port, keys):
    assert_refused(call(port, keys=FORGED), UNKNOWN)
    assert_refused(call(port, keys=keys._replace(secret_key="another")), NO_MATCH)
    assert_refused(call(port, keys=keys, service="kms"), OTHER_SERVICE)
    assert service.sessions() == []


def test_a_call_that_was_overheard_cannot_be_changed_or_kept(service, port, keys):
    headers = {"X-Amz-Target": "AmazonSSM.StartSession", "Host": "127.0.0.1:%d" % port}
    headers.update(signed(port, "POST", "/", headers, BODY, keys, "ssm", 0))
    changed = json.dumps({"Target": "i-other"}).encode()
    assert_refused(ask(port, "POST", "/", headers, changed), NO_MATCH)
    assert_refused(call(port, keys=keys, age=3600), EXPIRED)
    assert_refused(call(port, keys=keys, age=310), EXPIRED)
    assert_refused(call(port, keys=keys, age=-310), EARLY)
    assert service.sessions() == []


def test_an_upgrade_without_a_good_signature_is_forbidden(service, port, keys, stream):
    assert upgrade(port, stream) == FORBIDDEN
    assert upgrade(port, stream, FORGED) == FORBIDDEN
    assert upgrade(port, stream, keys._replace(secret_key="another")) == FORBIDDEN
    assert upgrade(port, stream, keys, service="ssm") == FORBIDDEN
    assert upgrade(port, stream, keys, age=3600) == FORBIDDEN
    presigned = (
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-SignedHeaders=host"
        "&X-Amz-Expires=60&X-Amz-Signature=%s" % (keys.access_key, "0" * 64)
    )
    assert upgrade(port, stream + presigned) == FORBIDDEN
    assert service.session().connections == 0


def test_whether_a_session_exists_is_not_told(port, stream):
    assert upgrade(port, "/v1/data-channel/nonsense") == upgrade(port, stream) == FORBIDDEN


@pytest.mark.parametrize("target", ["/", "/other", "stream"])
@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1:{port}.evil.example"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_a_web_page_is_turned_away_on_every_path(port, keys, stream, target, foreign):
    more = {name: value.format(port=port) for name, value in foreign.items()}
    path = stream if target == "stream" else target
    assert upgrade(port, path, keys, more) == FORBIDDEN
    assert upgrade(port, path, None, more) == FORBIDDEN


def test_a_second_host_does_not_hide_the_first(port):
    request = "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: evil.example\r\n\r\n" % port
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


# --- The whole programs.


@contextlib.contextmanager
def running(tmp_path, arguments):
    """A demo at work, and the process of it."""
    caller = DropIn(tmp_path)
    environ = {k: v for k, v in caller.environ.items() if not k.startswith("AWS_")}
    process = caller.spawn(DEMO + arguments, environ=dict(environ, SHELL="/bin/sh"))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)


def read_until(stream, wanted):
    text = b""
    while wanted not in text:
        piece = os.read(stream.fileno(), 65536)
        assert piece, text
        text += piece
    return text


def listening_ports(pid):
    """Those of the process; /proc/net/tcp has them for everybody."""
    folder = "/proc/%d/fd" % pid
    links = {os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and "socket:[%s]" % row[9] in links
    ]


@pytest.fixture(params=["serve", "shell", "exec", "forward"])
def demo(request, tmp_path):
    """``process, ports`` of each demo, once its session, if it has one, has begun."""
    arguments, stream, sign_of_life = {
        "serve": (["serve"], "stdout", b"i-demo\n\n"),
        "shell": (["shell"], "stderr", b"Starting session"),
        "exec": (["exec", "--", "sh", "-c", "echo ready; exec sleep 60"], "stdout", b"ready"),
        "forward": (["forward", "0:9"], "stderr", b"127.0.0.1:"),
    }[request.param]
    with running(tmp_path, arguments) as process:
        read_until(getattr(process, stream), sign_of_life)
        yield process, listening_ports(process.pid)


def test_no_request_to_a_running_demo_succeeds(demo):
    process, ports = demo
    refused = []
    for port in ports:
        with contextlib.suppress(OSError, http.client.HTTPException):  # a forwarded port
            refused.append(call(port))
            assert_refused(refused[-1], UNSIGNED)
            assert_refused(call(port, keys=FORGED), UNKNOWN)
            assert upgrade(port, "/v1/data-channel/x?role=publish_subscribe") == FORBIDDEN
            assert call(port, more={"Host": "evil.example"}) == FORBIDDEN
            assert call(port, more={"Origin": "http://evil.example"}) == FORBIDDEN
    assert refused == [UNSIGNED]
    assert process.poll() is None


def test_the_keys_are_in_no_argument_list_and_no_environment(demo):
    process, _ = demo
    for pid in [process.pid] + children(process.pid):
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (pid, name), "rb") as file:
                text = file.read()
            assert text
            assert b"AKIA" not in text and b"SECRET" not in text


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.may_skip
def test_curl_as_nobody_gets_nothing(service, port, stream):
    if os.geteuid() != 0 or not (shutil.which("curl") and shutil.which("setpriv")):
        pytest.skip("wants root, curl and setpriv")
    nobody = ["setpriv", "--reuid=nobody", "--clear-groups", "curl", "-sS", "-m", "10"]
    for words, answer in (
        (["-H", "X-Amz-Target: AmazonSSM.StartSession", "-d", BODY.decode()], b"MissingAuth"),
        (["--aws-sigv4", "aws:amz:us-east-1:ssm", "-u", "AKIAX:y", "-d", "{}"], b"Unrecognized"),
    ):
        argv = nobody + words + ["http://127.0.0.1:%d/" % port]
        assert answer in subprocess.check_output(argv, timeout=40)
    upgrades = [word for pair in UPGRADE.items() for word in ("-H", "%s: %s" % pair)]
    argv = nobody + upgrades + ["http://127.0.0.1:%d%s" % (port, stream)]
    assert subprocess.check_output(argv, timeout=40) == b"forbidden\n"
    assert service.session().connections == 0
