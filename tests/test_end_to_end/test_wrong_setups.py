"""Set-ups that cannot work: each ends within its time limit, with one line that names the cause."""

import contextlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ssm_plugin.loopback.agent_documents import Document
from tests.support.aws_side import OURS, TARGET, AwsSide, drop_in, run
from tests.support.http_server import HttpServer, SilentServer, reply

SHELL = OURS + ["shell", TARGET]


class Place:
    """What a set-up is made of: a row adds servers to ``servers``, files and variables."""

    def __init__(self, folder, servers):
        self.folder = folder
        self.servers = servers
        self.command = SHELL

    def use(self, **options):
        """Everything is right, to begin with."""
        self.aws = self.servers.enter_context(AwsSide(self.folder, **options))
        self.environ = self.aws.keys_in_environment()
        return self.aws

    def serve(self, server):
        return self.servers.enter_context(server)

    def without(self, *names):
        self.environ = {k: v for k, v in self.environ.items() if k not in names}

    def without_keys(self):
        self.without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

    def with_profile(self, text):
        self.without_keys()
        self.aws.home.config("[profile ops]\nregion = eu-west-1\n" + text)
        self.environ["AWS_PROFILE"] = "ops"

    def configure(self, text):
        self.aws.configure(text)
        self.environ["SSM_PLUGIN_CONFIG"] = self.aws.environ["SSM_PLUGIN_CONFIG"]

    def as_drop_in(self, **changes):
        self.command = drop_in(dict(self.aws.started_session(), **changes))


ROWS = []
SLOW_ROWS = []  # with a limit of their own; run all at once
LIMIT = 6.0


def row(cause, limit=LIMIT, **options):
    """``cause`` is a pattern for the line, ``limit`` is in seconds, ``options`` of ``AwsSide``."""

    def add(arrange):
        rows = ROWS if limit == LIMIT else SLOW_ROWS
        name = arrange.__name__.replace("_", "-")
        rows.append(pytest.param(arrange, cause, limit, options, id=name))
        return arrange

    return add


# The network


@row("name of the host, ssm.nowhere.invalid, does not resolve")
def name_does_not_resolve(place):
    place.environ["AWS_ENDPOINT_URL"] = "https://ssm.nowhere.invalid"


@row("(unreachable|\\[100::1\\]:443 took longer than 1 s)")
def no_network(place):
    place.environ["AWS_ENDPOINT_URL"] = "https://[100::1]"  # packets to it go nowhere
    place.configure("network: {connect_timeout: 1s}")


@row("cannot connect to 127.0.0.1:9: connection refused", limit=9)
def nobody_listens(place):
    place.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"


@row("127.0.0.1:[0-9]+ does not answer in HTTP")
def endpoint_is_not_http(place):
    ssh = place.serve(SilentServer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    place.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:%d" % ssh.port


@row("got an answer that is not from AWS: .* login page")
def endpoint_is_a_web_page(place):
    page = place.serve(HttpServer(lambda request: reply(200, b"<html>Welcome</html>")))
    place.environ["AWS_ENDPOINT_URL"] = page.url


@row("TLS handshake with 127.0.0.1 failed", limit=9)
def endpoint_speaks_no_tls(place):
    web = place.serve(SilentServer(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    place.environ["AWS_ENDPOINT_URL"] = "https://127.0.0.1:%d" % web.port


@row("StartSession on i-demo took longer than 15 s .*waiting for the answer of 127", limit=18)
def service_is_silent(place):
    over = threading.Event()
    silent = place.serve(HttpServer(lambda request: over.wait(20) and b""))
    place.servers.callback(over.set)
    place.environ["AWS_ENDPOINT_URL"] = silent.url


@row("certificate of 127.0.0.1 is not trusted: .*AWS_CA_BUNDLE", tls=True)
def ca_is_not_known(place):
    place.without("AWS_CA_BUNDLE")


@row("CA bundle '/nowhere/ca.pem', set by AWS_CA_BUNDLE: No such file", tls=True)
def ca_file_is_missing(place):
    place.environ["AWS_CA_BUNDLE"] = "/nowhere/ca.pem"


# The proxy


@row("to the proxy 127.0.0.1:9 .HTTPS_PROXY.: connection refused", limit=9, tls=True)
def proxy_is_not_there(place):
    place.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"


@row("wants a user name and a password .407.", tls=True, login="ann:secret")
def proxy_wants_a_password(place):
    place.environ["HTTPS_PROXY"] = "http://127.0.0.1:%d" % place.aws.proxy.port


@row("refused the user name or the password .407.", tls=True, login="ann:secret")
def proxy_wants_another_password(place):
    place.environ["HTTPS_PROXY"] = "http://ann:wrong@127.0.0.1:%d" % place.aws.proxy.port


@row("refused to connect to 127.0.0.1:[0-9]+: 403", tls=True, login="ann:secret")
def proxy_forbids_the_host(place):
    place.aws.proxy.refuse(403)


@row("the proxy in HTTPS_PROXY is a socks5 proxy", tls=True)
def proxy_is_of_another_kind(place):
    place.environ["HTTPS_PROXY"] = "socks5://127.0.0.1:1080"


# Credentials


@row("no AWS credentials were found: .* run 'aws configure'")
def no_credentials(place):
    place.without_keys()


@row("AWS profile 'oops' was not found")
def profile_is_missing(place):
    place.environ["AWS_PROFILE"] = "oops"
    place.command = SHELL + ["--profile", "oops"]


@row("credential_process of the AWS profile 'ops' failed with exit status 3: log in first")
def credential_process_fails(place):
    place.aws.home.program("keys", "echo log in first >&2; exit 3")
    place.with_profile("credential_process = keys\n")


@row("took longer than 10 s .credential_process of the AWS profile 'ops'.: .*run it by", limit=13)
def credential_process_hangs(place):
    place.aws.home.program("keys", "sleep 1000")
    place.with_profile("credential_process = keys\n")


@row("credential_process of the AWS profile 'ops' did not print one JSON object")
def credential_process_prints_nonsense(place):
    place.aws.home.program("keys", "echo hello")
    place.with_profile("credential_process = keys\n")


@row("sso_account_id of the AWS profile 'ops' needs botocore .* or the AWS CLI on PATH")
def single_sign_on_without_botocore(place):
    place.with_profile("sso_account_id = 1\nsso_role_name = x\n")
    hidden = "import sys; sys.modules['botocore'] = None; from ssm_plugin.cli import main; "
    place.command = [OURS[0], "-c", hidden + "sys.exit(main())", "shell", TARGET]
    place.environ["PATH"] = str(place.aws.home.bin)


@row("have expired: get new ones")
def keys_of_the_environment_have_expired(place):
    place.environ["AWS_CREDENTIAL_EXPIRATION"] = "2020-01-01T00:00:00Z"


@row("refused the data channel with HTTP status 403: .*not signed by us: no AWS credentials")
def the_drop_in_has_no_credentials(place):
    place.without_keys()
    place.as_drop_in()


# What the service says


def refuse(place, code, message, status=400):
    place.aws.service.answer_with("StartSession", code, message, status, times=9)


@row("ExpiredTokenException: .*the credentials have expired: log in again")
def token_has_expired(place):
    refuse(place, "ExpiredTokenException", "The security token included in the request is expired")


@row("AccessDeniedException: .*the credentials need the permission ssm:StartSession on i-demo")
def access_is_denied(place):
    refuse(place, "AccessDeniedException", "User x is not authorized to perform this")


@row("i-nobody failed: TargetNotConnected: .*its SSM Agent is online", targets=("i-demo",))
def target_is_unknown(place):
    place.command = OURS + ["shell", "i-nobody"]


@row("StartSession on i-demo failed: InvalidDocument: .*check the name of the session document")
def document_is_unknown(place):
    refuse(place, "InvalidDocument", "Document with name X does not exist.")


@row("clock of this machine is 60 minutes ahead of the service's: set it right")
def clock_is_an_hour_ahead(place):
    clock(place, timedelta(hours=-1))


@row("clock of this machine is 60 minutes behind the service's: set it right")
def clock_is_an_hour_behind(place):
    clock(place, timedelta(hours=1))


def clock(place, difference):
    """A service whose clock is off, as seen from here."""

    def answer(request):
        said = "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"
        date = format_datetime(datetime.now(timezone.utc) + difference, usegmt=True)
        error = {"__type": "InvalidSignatureException", "message": said}
        return reply(400, error, {"Date": date})

    place.environ["AWS_ENDPOINT_URL"] = place.serve(HttpServer(answer)).url


@row("InvalidSignatureException: .*check the secret access key")
def secret_key_is_wrong(place):
    place.environ["AWS_SECRET_ACCESS_KEY"] = "not-the-secret-key"


# The stream


@row("stream URL names evil.example, which is not a Session Manager host of AWS: .*stream_hosts")
def stream_url_is_hostile(place):
    place.as_drop_in(StreamUrl="wss://evil.example/v1/data-channel/s?role=publish_subscribe")


@row("stream URL to ssmmessages.eu-west-1.amazonaws.com must begin with wss://")
def stream_url_is_not_encrypted(place):
    place.as_drop_in(StreamUrl="ws://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s")


@row("streamUrl is not a WebSocket URL")
def stream_url_is_no_websocket(place):
    place.as_drop_in(StreamUrl="file:///etc/passwd")


@row("status 403: .*ssmmessages:OpenDataChannel", faults="refuse-upgrade")
def upgrade_is_forbidden(place):
    pass


@row("resumed: .*1008 the open message or its token is not", limit=9, faults="refuse-token")
def token_is_refused(place):
    place.configure("network: {reconnect_timeout: 2s}")


@row("did not answer the WebSocket request within 1 s", limit=8)
def gateway_is_silent(place):
    silent = place.serve(SilentServer())
    place.configure("network: {connect_timeout: 1s, stream_endpoint: '127.0.0.1:%d'}" % silent.port)


@row("127.0.0.1:[0-9]+ did not open a WebSocket")
def gateway_is_not_http(place):
    ssh = place.serve(SilentServer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    place.configure("network: {stream_endpoint: '127.0.0.1:%d'}" % ssh.port)


@row(
    "Unknown session type Telepathy",
    documents={"Odd": Document("Telepathy")},
    faults="force-handshake",
)
def session_type_is_unknown(place):
    place.command = SHELL + ["--document-name", "Odd"]


# Our own configuration and arguments


@row("ssm-plugin.yaml:2: network.conect_timeout: unknown key; did you mean 'connect_timeout'")
def configuration_has_an_unknown_key(place):
    place.configure("network:\n  conect_timeout: 20s")


@row("ssm-plugin.yaml:3: expected")
def configuration_is_no_yaml(place):
    place.configure("network:\n  - [")


@row("/nowhere.yaml cannot be read: No such file")
def configuration_is_missing(place):
    place.environ["SSM_PLUGIN_CONFIG"] = "/nowhere.yaml"


@row("aws/config, line 1 cannot be understood")
def aws_configuration_is_broken(place):
    place.aws.home.config("profile ops]\n")


@row("no AWS region is set: give --region")
def no_region(place):
    place.without("AWS_DEFAULT_REGION")


@row("'eu west' is not an AWS region")
def region_is_none(place):
    place.environ["AWS_REGION"] = "eu west"


@row("the response is not JSON")
def the_response_is_cut_off(place):
    place.command = drop_in('{"SessionId": "s-1", ')


@row("tokenValue is missing")
def the_response_has_no_token(place):
    place.command = drop_in({"SessionId": "s-1", "StreamUrl": "wss://127.0.0.1/"})


def check(folder, arrange, cause, limit, options):
    with contextlib.ExitStack() as servers:
        place = Place(folder, servers)
        place.use(**options)
        arrange(place)
        done = run(place.command, place.environ, timeout=limit + 5)
    assert done.status == 255
    assert done.stderr.startswith("ssm-plugin: ") and done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert re.search(cause, done.stderr), done.stderr
    assert done.seconds < limit


@pytest.mark.parametrize("arrange, cause, limit, options", ROWS)
def test_it_ends_with_one_line_that_names_the_cause(tmp_path, arrange, cause, limit, options):
    check(tmp_path, arrange, cause, limit, options)


def test_what_takes_longer_ends_likewise(tmp_path):
    with ThreadPoolExecutor(len(SLOW_ROWS)) as pool:
        checks = []
        for number, slow in enumerate(SLOW_ROWS):
            folder = tmp_path / str(number)
            folder.mkdir()
            checks.append(pool.submit(check, folder, *slow.values))
    for one in checks:
        one.result()
