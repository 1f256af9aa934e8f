"""What is left to botocore and to the AWS CLI, each in a child process."""

import json
import os
import subprocess
import sys

import pytest

from ssm_plugin.aws import delegation
from ssm_plugin.aws.keys import Credentials
from ssm_plugin.errors import CredentialsError, DeadlineError
from ssm_plugin.net.timing import Deadline
from tests.conftest import ROOT
from tests.support.aws_home import AwsHome, without_site_packages
from tests.support.http_server import HttpServer, SilentServer, reply

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ANSWER = '{"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "%s"}' % SECRET
SSO = """\
    [profile corp]
    sso_start_url = https://corp.awsapps.com/start
    sso_region = eu-west-1
    sso_account_id = 123456789012
    sso_role_name = admin
"""
ROLE = """\
    [profile base]
    aws_access_key_id = AKIABASE
    aws_secret_access_key = base-secret

    [profile role]
    role_arn = arn:aws:iam::123456789012:role/x
    source_profile = base
    services = local

    [services local]
    sts =
      endpoint_url = %s
"""
ASSUMED = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>
<SessionToken>role-token</SessionToken><Expiration>2130-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>
"""


@pytest.fixture
def home(tmp_path):
    home = AwsHome(tmp_path)
    home.config(SSO)
    return home


def _resolve(home, profile="corp", why="sso_account_id", region=None, seconds=20.0):
    deadline = Deadline(seconds, "the search")
    return delegation.resolve(profile, why, region, home.environ, deadline)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, None),
        ({"region": "x", "sso_session": "only for a token"}, None),
        ({"sso_account_id": "1", "sso_role_name": "x"}, "sso_account_id"),
        ({"role_arn": "x", "source_profile": "y"}, "role_arn"),
        ({"web_identity_token_file": "x"}, "web_identity_token_file"),
        ({"login_session": "x"}, "login_session"),
    ],
)
def test_some_settings_call_for_others(settings, expected):
    assert delegation.reason(settings) == expected


def test_a_web_identity_needs_role_and_token():
    assert not delegation.has_web_identity({"AWS_ROLE_ARN": "x"})
    assert delegation.has_web_identity({"AWS_ROLE_ARN": "x", "AWS_WEB_IDENTITY_TOKEN_FILE": "y"})


def test_the_aws_cli_is_asked_where_botocore_is_missing_or_fails(home):
    wanted = "configure export-credentials --format process --profile corp"
    home.program("aws", "test \"$*\" = '%s' && echo '%s'" % (wanted, ANSWER))
    assert _resolve(home) == Credentials("ASIA1", SECRET)


def test_the_aws_cli_is_asked_about_the_environment_without_a_profile(home):
    home.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(home.path / "none")
    home.environ["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/x"
    wanted = "configure export-credentials --format process"
    home.program("aws", "test \"$*\" = '%s' && echo '%s'" % (wanted, ANSWER))
    assert _resolve(home, profile=None) == Credentials("ASIA1", SECRET)


def test_an_old_aws_cli_is_an_error_that_says_what_it_said(home):
    home.program("aws", "echo 'aws: error: invalid choice' >&2; echo add-model >&2; exit 2")
    with pytest.raises(CredentialsError) as caught:
        _resolve(home)
    assert "no credentials for sso_account_id of the AWS profile 'corp'" in str(caught.value)
    assert "exit status 2: aws: error: invalid choice; log in with" in str(caught.value)
    assert str(caught.value).endswith("'aws sso login --profile corp'")
    assert "\n" not in str(caught.value)


def test_the_time_limit_is_for_the_aws_cli_too(home):
    home.config("")  # botocore, if it is there, fails at once
    home.program("aws", "sleep 300")
    with pytest.raises(DeadlineError):
        _resolve(home, seconds=3.0)


def test_with_neither_of_them_the_error_names_both(home):
    home.environ["PATH"] = str(home.bin)
    said = _without_botocore(home, "corp")
    assert "the setting sso_account_id of the AWS profile 'corp' needs botocore" in said
    assert "or the AWS CLI on PATH" in said


@pytest.mark.e2e
def test_of_an_aws_cli_that_exports_nothing_its_own_botocore_is_asked(home, aws_cli):
    home.environ["AWS_REGION"] = "eu-west-1"
    (home.path / ".aws" / "cli" / "cache").mkdir(parents=True)
    (home.bin / "aws").symlink_to(aws_cli)
    with HttpServer(lambda request: reply(200, ASSUMED.encode())) as sts:
        home.config(ROLE % sts.url)
        said = _without_botocore(home, "role")
        assert said == "Credentials(ASIA…ROLE, temporary)"
        assert _without_botocore(home, "role") == said
        assert len(sts.requests) == 1  # the AWS CLI's cache has it
        home.config((ROLE % sts.url).replace("= base", "= gone"))
        said = _without_botocore(home, "role")
    assert 'The source_profile "gone"' in said and "nvalid choice" not in said


def _without_botocore(home, profile):
    """What comes out for who has none beside the program, as text."""
    script = (
        "import sys\n"
        "from ssm_plugin.aws.credentials import CredentialProvider\n"
        "from ssm_plugin.errors import CredentialsError\n"
        "try:\n"
        "    said = repr(CredentialProvider(sys.argv[1]).resolve())\n"
        "except CredentialsError as error:\n"
        "    said = str(error)\n"
        "sys.stdout.buffer.write(said.encode('utf-8'))\n"
    )
    environ = without_site_packages(home.environ, ROOT)
    command = [sys.executable, "-S", "-c", script, profile]
    return subprocess.check_output(command, env=environ).decode("utf-8")


# --- With botocore


def test_botocore_assumes_a_role(home):
    pytest.importorskip("botocore")
    with HttpServer(lambda request: reply(200, ASSUMED.encode())) as sts:
        home.config(ROLE % sts.url)
        keys = _resolve(home, "role", "role_arn", region="eu-west-1")
    assert keys == Credentials("ASIAROLE", "role-secret", "role-token", 5049129600.0)
    assert b"Action=AssumeRole" in sts.requests[0].body
    assert "AKIABASE" in sts.requests[0].headers["authorization"]


@pytest.mark.usefixtures("measured_starts")
def test_a_role_that_the_aws_cli_has_assumed_is_found_in_its_cache(home):
    pytest.importorskip("botocore")
    (home.path / ".aws" / "cli" / "cache").mkdir(parents=True)
    home.environ["AWS_REGION"] = "eu-west-1"
    with HttpServer(lambda request: reply(200, ASSUMED.encode())) as sts:
        home.config(ROLE % sts.url)
        first = _resolve(home, "role", "role_arn")
        assert _resolve(home, "role", "role_arn") == first
    assert len(sts.requests) == 1


def test_what_botocore_says_is_passed_on(home):
    pytest.importorskip("botocore")
    home.environ["PATH"] = str(home.bin)
    with pytest.raises(CredentialsError) as caught:
        _resolve(home)
    assert "botocore failed with exit status 1: botocore.exceptions" in str(caught.value)
    assert "SSO" in str(caught.value)


@pytest.mark.usefixtures("measured_starts")
def test_a_role_that_wants_a_code_is_an_error_that_says_so(home):
    pytest.importorskip("botocore")
    home.environ["PATH"] = str(home.bin)
    home.config(
        (ROLE % "http://127.0.0.1:9").replace(
            "source_profile", "mfa_serial = arn:aws:iam::1:mfa/me\n    source_profile"
        )
    )
    with pytest.raises(CredentialsError, match="wants an MFA code: run 'aws sts"):
        _resolve(home, "role", "role_arn", region="eu-west-1")


def test_botocore_is_left_in_time(home):
    pytest.importorskip("botocore")
    with SilentServer() as sts:
        home.config(ROLE % ("http://127.0.0.1:%d" % sts.port))
        with pytest.raises(DeadlineError, match="botocore"):
            _resolve(home, "role", "role_arn", region="eu-west-1", seconds=2.0)


def test_the_export_is_like_that_of_a_credential_process(home):
    pytest.importorskip("botocore")
    home.config("[profile plain]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n")
    assert _export(home, "plain") == {
        "Version": 1,
        "AccessKeyId": "AKIA1",
        "SecretAccessKey": "s",
        "SessionToken": None,
    }


@pytest.mark.usefixtures("measured_starts")
def test_nothing_found_is_an_error(home):
    pytest.importorskip("botocore")
    home.config("[profile plain]\nregion = x\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _export(home, "plain")
    assert b"CredentialsError: botocore found no credentials" in caught.value.stderr


def _export(home, profile):
    script = "import sys; from {0} import export; sys.stdout.write(export({1!r}, ''))".format(
        delegation.__name__, profile
    )
    environ = dict(home.environ, PYTHONPATH=os.fspath(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.decode())
