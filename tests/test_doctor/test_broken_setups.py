"""Set-ups that cannot work: the last line of the doctor names the cause."""

import contextlib
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ssm_plugin.loopback.nodes import LocalNode, LocalNodes
from tests.support.aws_side import KEY_ID, OURS, SECRET_KEY, SESSION_TOKEN, TARGET, AwsSide, run
from tests.support.http_server import HttpServer, SilentServer, reply

DOCTOR = OURS + ["doctor", TARGET]
LIMIT = 25.0


class Place:
    """Everything is right, to begin with."""

    def __init__(self, folder, servers, **options):
        self.folder = folder
        self.servers = servers
        self.aws = servers.enter_context(AwsSide(folder, **options))
        self.environ = self.aws.keys_in_environment()

    def run(self, *words):
        return run(DOCTOR + list(words), self.environ, timeout=LIMIT)

    def deny(self, *operations, api=None):
        text = "User: arn:aws:iam::000000000000:user/x is not authorized to perform this"
        for operation in operations:
            (api or self.aws.service.ssm).answer_with(
                operation, "AccessDeniedException", text, times=9
            )

    def service_an_hour(self, ahead):
        """``ahead``: 1, or -1 for one whose clock is behind ours."""

        def answer(request):
            date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=ahead), usegmt=True)
            return reply(400, {"__type": "InvalidSignatureException"}, {"Date": date})

        self.environ["AWS_ENDPOINT_URL"] = self.servers.enter_context(HttpServer(answer)).url


ROWS = []


def row(cause, **options):
    """``cause`` is a pattern for the last line, ``options`` are those of ``AwsSide``."""

    def add(arrange):
        name = arrange.__name__.replace("_", "-")
        ROWS.append(pytest.param(arrange, cause, options, id=name))
        return arrange

    return add


def node(**fields):
    return LocalNodes([LocalNode(TARGET, **fields)])


@row("way to ssm: the proxy .* refused to connect to 127.*: 403", tls=True, login="ann:pass-word")
def proxy_refuses(place):
    place.aws.proxy.refuse(403)


@row("way to ssm: the proxy in HTTPS_PROXY must be .USER:PASSWORD@.HOST:PORT after http://")
def proxy_has_a_password_that_is_not_encoded(place):
    place.environ["HTTPS_PROXY"] = "http://ann:pass/word@127.0.0.1:9"
    place.environ["AWS_ENDPOINT_URL"] = "https://127.0.0.1:9"


@row("credentials: credential_process .* No such file or directory: '/no/such'; check that this is")
def program_for_credentials_is_missing(place):
    path = place.folder / "config"
    path.write_text("[default]\ncredential_process = /no/such --key x\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        place.environ.pop(name, None)
    place.environ["AWS_CONFIG_FILE"] = str(path)


@row("way to ssm: the certificate of 127.0.0.1 is not trusted: .*AWS_CA_BUNDLE", tls=True)
def certificate_is_unknown(place):
    place.environ = {k: v for k, v in place.environ.items() if k != "AWS_CA_BUNDLE"}


@row("clock: the clock of this machine is 60 minutes behind the service's; set it right")
def clock_is_an_hour_off(place):
    place.service_an_hour(ahead=1)


@row("clock: the clock of this machine is 60 minutes ahead of the service's; set it right")
def clock_is_so_far_ahead_that_credentials_look_expired(place):
    place.service_an_hour(ahead=-1)
    end = datetime.now(timezone.utc) - timedelta(minutes=30)
    place.environ["AWS_CREDENTIAL_EXPIRATION"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")


@row("region: no AWS region is set; give --region")
def no_region(place):
    del place.environ["AWS_DEFAULT_REGION"]


@row("credentials: the AWS credentials .* have expired; get new ones, with 'aws sso login'")
def credentials_have_expired(place):
    place.environ["AWS_CREDENTIAL_EXPIRATION"] = "2020-01-01T00:00:00Z"


@row("identity: .*ExpiredToken: .*; the credentials have expired: log in again")
def the_service_says_that_they_have_expired(place):
    place.aws.service.sts.answer_with("GetCallerIdentity", "ExpiredToken", "It has.", 403, 9)


@row("agent: .* too old: version 2.2.607.0, .*update", nodes=node(agent_version="2.2.607.0"))
def agent_is_too_old(place):
    pass


@row(
    "target: i-demo is offline: its ping status is ConnectionLost, last seen 2 h ago; start the",
    nodes=node(status="ConnectionLost", last_seen=7300.0),
)
def node_is_offline(place):
    pass


@row("connection: .*is not connected for sessions .*ssmmessages", nodes=node(connects_after=999.0))
def agent_has_no_way_to_ssmmessages(place):
    pass


@row("target: i-demo is not registered", nodes=node(is_registered=False))
def node_is_not_registered(place):
    pass


@row("permissions: .*AccessDeniedException.*; they need the permission ssm:StartSession on i-demo")
def no_permission(place):
    place.deny("DescribeInstanceInformation", "GetConnectionStatus", "GetDocument")


@row("KMS key: kms:GenerateDataKey on .*AccessDenied.*need the permission kms:GenerateDataKey on")
def kms_key_is_forbidden(place):
    place.aws.service.ssm.diagnosis.preferences = {"kmsKeyId": KEY_ID}
    place.deny("GenerateDataKey", api=place.aws.kms)


@row("PATH: another plugin, .*/bin/session-manager-plugin .version 1.2.553.0., is ahead of ours")
def an_old_plugin_is_first_on_path(place):
    place.aws.home.program("session-manager-plugin", "echo 1.2.553.0")
    later = place.folder / "later"
    later.mkdir()
    ours = later / "session-manager-plugin"
    ours.write_text('#!/bin/sh\nexec %s -m ssm_plugin "$@"\n' % sys.executable)
    ours.chmod(0o755)
    place.environ["PATH"] += ":%s" % later


@row("way to ssm: the name of the host, ssm.nowhere.invalid, does not resolve: .*DNS")
def dns_fails(place):
    place.environ["AWS_ENDPOINT_URL"] = "https://ssm.nowhere.invalid"


@row("way to ssm: cannot connect to 127.0.0.1:9: connection refused; check the network")
def service_is_unreachable(place):
    place.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"


@row("way to ssmmessages: cannot connect to 127.0.0.1:9: connection refused")
def only_the_gateway_is_unreachable(place):
    place.environ["AWS_ENDPOINT_URL_SSMMESSAGES"] = "http://127.0.0.1:9"


@row("way to ssm: the way to ssm took longer than 8 s .waiting for the answer of 127.0.0.1")
def service_is_silent(place):
    server = place.servers.enter_context(SilentServer())
    place.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:%d" % server.port


@row("credentials: the search for AWS credentials took longer than 8 s .credential_process of")
def credential_process_hangs(place):
    place.aws.home.program("keys", "exec sleep 1000")
    place.aws.home.config("[profile ops]\ncredential_process = keys\n")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    place.environ = {k: v for k, v in place.environ.items() if k not in keys}
    place.environ["AWS_PROFILE"] = "ops"


@row("configuration: .*ssm-plugin.yaml:1: network.conect_timeout: unknown key; did you mean")
def configuration_is_wrong(place):
    place.aws.configure("network: {conect_timeout: 3s}")
    place.environ["SSM_PLUGIN_CONFIG"] = place.aws.environ["SSM_PLUGIN_CONFIG"]


@row("profile: the AWS profile 'oops' was not found")
def profile_is_missing(place):
    place.environ["AWS_PROFILE"] = "oops"


@pytest.mark.parametrize("arrange, cause, options", ROWS)
def test_the_last_line_names_the_cause(tmp_path, arrange, cause, options):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers, **options)
        arrange(place)
        with ThreadPoolExecutor(2) as pool:
            done, as_json = pool.map(lambda words: place.run(*words), [(), ("--json",)])
    assert (done.status, done.stderr) == (1, ""), done
    assert done.seconds < 12  # two rounds of checks, of which only one had to wait
    last = done.stdout.splitlines()[-1]
    assert re.match("To do: " + cause, last), done.stdout
    assert json.loads(as_json.stdout)["ok"] is False
    assert re.match("To do: " + cause, json.loads(as_json.stdout)["next"])
    for secret in (SECRET_KEY, SESSION_TOKEN, "pass-word"):
        assert secret not in done.stdout + as_json.stdout


def test_nothing_is_said_to_be_wrong_where_nothing_is(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers, tls=True)
        done = place.run()
        as_json = place.run("--json")
        verdicts = place.aws.verdicts()
        assert place.aws.service.sessions() == []
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "\nNothing was found that stands in the way of a session with i-demo.\n"
    )
    assert "TLS: the certificate is of loopback, from loopback, until " in done.stdout
    assert "\n\u2713 clock" in done.stdout
    assert json.loads(as_json.stdout)["ok"] is True
    assert set(verdicts) == {"verified", "unsigned"}  # the clock is asked for without keys


def test_a_key_that_may_be_used_is_no_problem(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        place.aws.service.ssm.diagnosis.preferences = {"kmsKeyId": KEY_ID, "runAsEnabled": True}
        done = place.run()
    assert done.status == 0
    assert "encrypted with the KMS key %s" % KEY_ID in done.stdout
    assert "%s may be used" % KEY_ID in done.stdout


def test_one_denied_look_up_is_no_obstacle(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        place.deny("GetDocument")
        done = place.run()
    assert done.status == 0
    assert re.search("^! document .*AccessDenied", done.stdout, re.MULTILINE)


def test_a_socks_proxy_for_other_programs_is_no_obstacle_and_is_told(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        place.environ["ALL_PROXY"] = "socks5://127.0.0.1:9"
        done = place.run()
        ran = run(OURS + ["exec", TARGET, "--", "echo", "hi"], place.environ, timeout=LIMIT)
    assert done.status == 0
    assert re.search("^! way to ssm .*SOCKS proxy in ALL_PROXY", done.stdout, re.MULTILINE)
    assert done.stdout.count("ALL_PROXY") == 1
    assert (ran.status, ran.stdout) == (0, "hi\n"), ran


def test_marks_are_plain_where_the_locale_has_no_others(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        place.environ["LC_ALL"] = "C"
        done = place.run()
    assert done.stdout.isascii() if hasattr(str, "isascii") else True
    assert re.search("^ok   clock ", done.stdout, re.MULTILINE)


def test_without_a_target_the_account_is_looked_at(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        done = run(OURS + ["doctor"], place.environ, timeout=LIMIT)
    assert done.status == 0
    assert re.search("nodes +there are some", done.stdout)


def test_what_a_node_says_is_not_obeyed_by_a_terminal(tmp_path):
    nodes = node(platform="Evil\x1b]0;title\x07 1", agent_version="3.3\x1b[2J")
    with contextlib.ExitStack() as servers:
        done = Place(tmp_path, servers, nodes=nodes).run()
    assert "Evil\\x1b]0;title" in done.stdout
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout


def test_a_container_is_no_managed_node(tmp_path):
    with contextlib.ExitStack() as servers:
        place = Place(tmp_path, servers)
        done = run(OURS + ["doctor", "ecs:cluster_task_runtime"], place.environ, timeout=LIMIT)
    assert done.status == 0, done.stdout
