"""Profiles of the shared files, compared with botocore where it is there."""

import json
import os
import subprocess
import sys

import pytest

from ssm_plugin.aws.endpoints import endpoint_url
from ssm_plugin.aws.profiles import CONFIG_FILE, Profile, file_path, profile_name, read_profile
from ssm_plugin.config import VARIABLES
from ssm_plugin.errors import CredentialsError, UsageError
from tests.support.aws_home import AwsHome

CONFIG = """\
    # a comment
    [default]
    region = eu-west-1
    cli_pager =

    [profile prod]
    Region: us-east-1
    ca_bundle = /etc/pki/corp.pem
    percent = 100%(not)s %% $HOME
    endpoint_url = https://all.example
    services = local
    s3 =
      addressing_style = path
      max_bandwidth = 1=2

    [profile "two words"]
    region = ap-south-1

    [prod]
    region = not-a-profile

    [profile 'odd]
    region = ignored

    [profile broken]
    s3 =
      no equals sign SECRETLINE

    [services local]
    ssm =
      endpoint_url = http://127.0.0.1:1
    kms =
      other = x
    comment = none

    [sso-session corp]
    sso_region = eu-west-1
"""
CREDENTIALS = """\
    [default]
    aws_access_key_id = AKIADEFAULT
    aws_secret_access_key = default-secret

    [prod]
    aws_access_key_id=AKIAPROD
    aws_secret_access_key=prod-secret=
    region = overridden

    [only-here]
    aws_access_key_id = AKIAONLY
    aws_secret_access_key = only-secret
"""


@pytest.fixture
def home(tmp_path):
    home = AwsHome(tmp_path)
    home.config(CONFIG)
    home.credentials(CREDENTIALS)
    return home


def _refused(profile, environ):
    with pytest.raises(CredentialsError) as caught:
        read_profile(profile, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_profile_is_both_files_together(home):
    profile = read_profile("prod", home.environ)
    assert profile.text("region") == "overridden"
    assert profile.config["region"] == "us-east-1"
    assert profile.settings["aws_access_key_id"] == "AKIAPROD"
    assert profile.credentials["aws_secret_access_key"] == "prod-secret="
    assert profile.text("ca_bundle") == "/etc/pki/corp.pem"
    assert profile.text("percent") == "100%(not)s %% $HOME"


def test_an_indented_block_is_a_mapping(home):
    profile = read_profile("prod", home.environ)
    assert profile.settings["s3"] == {"addressing_style": "path", "max_bandwidth": "1=2"}
    assert profile.text("s3") is None


def test_services_are_those_that_the_profile_names(home):
    profile = read_profile("prod", home.environ)
    assert profile.services == {
        "ssm": {"endpoint_url": "http://127.0.0.1:1"},
        "kms": {"other": "x"},
    }
    assert read_profile(None, home.environ).services == {}


def test_services_that_the_file_lacks_are_an_error_as_in_the_aws_cli(home):
    path = home.config("[default]\nservices = locla\n[services local]\nssm =\n  endpoint_url = x\n")
    plain = read_profile(None, home.environ).plain()
    with pytest.raises(UsageError) as caught:
        endpoint_url("ssm", "eu-west-1", None, home.environ, plain)
    message = str(caught.value)
    assert "names the services 'locla'" in message and str(path) in message
    assert message.endswith("; check the spelling")


@pytest.mark.parametrize(
    "given, more",
    [
        ("https://x.example", {}),
        (None, {"AWS_ENDPOINT_URL": "https://x.example"}),
        (None, {"AWS_ENDPOINT_URL_SSM": "https://x.example"}),
    ],
)
def test_an_endpoint_that_was_given_needs_no_services(home, given, more):
    home.config("[default]\nservices = locla\n")
    plain = read_profile(None, home.environ).plain()
    environ = dict(home.environ, **more)
    assert endpoint_url("ssm", "eu-west-1", given, environ, plain) == "https://x.example"


def test_an_endpoint_of_one_service_is_of_the_services_alone(home):
    home.config("[default]\nendpoint_url_ssm = http://127.0.0.1:1\n")
    assert "endpoint_url_ssm" not in read_profile(None, home.environ).plain()


def test_plain_settings_hold_endpoints_and_no_keys(home):
    plain = read_profile("prod", home.environ).plain()
    assert plain["endpoint_url_ssm"] == "http://127.0.0.1:1"
    assert plain["endpoint_url"] == "https://all.example"
    assert "endpoint_url_kms" not in plain
    assert "s3" not in plain
    assert "prod-secret=" not in plain.values()


def test_no_value_is_shown(home):
    shown = repr(read_profile("prod", home.environ))
    assert "prod-secret" not in shown and "region" in shown


@pytest.mark.parametrize(
    "more, region",
    [
        ({}, "eu-west-1"),
        ({"AWS_PROFILE": ""}, "eu-west-1"),
        ({"AWS_PROFILE": "two words"}, "ap-south-1"),
        ({"AWS_DEFAULT_PROFILE": "two words"}, "ap-south-1"),
        ({"AWS_PROFILE": "only-here", "AWS_DEFAULT_PROFILE": "two words"}, "ap-south-1"),
    ],
)
def test_the_environment_names_the_profile(home, more, region):
    home.environ.update(more)
    assert read_profile(None, home.environ).text("region") == region
    assert read_profile("prod", home.environ).name == "prod"


def test_a_name_is_utf_8_even_where_python_took_it_for_something_else(home):
    home.config("[profile soirée]\nregion = eu-west-3\n")
    name = "soirée".encode("utf-8").decode("ascii", "surrogateescape")  # 3.6 without a locale
    assert read_profile(name, home.environ).text("region") == "eu-west-3"
    environ = dict(home.environ, AWS_PROFILE=name)
    assert read_profile(None, environ).text("region") == "eu-west-3"


def test_the_help_says_which_variable_counts_first():
    names = VARIABLES["defaults.profile"]
    assert profile_name(None, {name: name for name in names}) == names[0]


def test_nobody_has_to_name_a_profile():
    assert profile_name(None, {}) is None
    assert profile_name("", {"AWS_PROFILE": "x"}) == "x"
    assert profile_name("y", {"AWS_PROFILE": "x"}) == "y"


def test_without_files_the_default_profile_is_empty(tmp_path):
    assert read_profile(None, AwsHome(tmp_path).environ) == Profile("default")


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_a_named_profile_must_exist(home, named_by):
    home.environ["AWS_PROFILE"] = "gone"
    message = _refused("gone" if named_by == "argument" else None, home.environ)
    assert "'gone' was not found" in message
    assert str(home.path / ".aws" / "config") in message
    assert str(home.path / ".aws" / "credentials") in message


def test_the_environment_says_where_the_files_are(home):
    other = home.path / "other"
    other.write_text("[profile elsewhere]\nregion = x\n")
    home.environ[CONFIG_FILE] = "~/other"
    assert read_profile("elsewhere", home.environ).text("region") == "x"
    home.environ[CONFIG_FILE] = "${HOME}/other"
    assert read_profile("elsewhere", home.environ).text("region") == "x"
    home.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(home.path / "none")
    message = _refused("only-here", home.environ)
    assert "other (does not have it)" in message and "none (does not exist)" in message


def test_without_home_the_users_own_is_taken():
    assert file_path(CONFIG_FILE, {}) == os.path.expanduser("~/.aws/config")


def test_a_default_profile_may_be_called_one(home):
    home.config("[default]\nregion = a\n[profile default]\nregion = b\n")
    assert read_profile(None, home.environ).text("region") == "b"


def test_a_byte_order_mark_and_dos_line_ends_are_passed_over(home):
    home.config(b"\xef\xbb\xbf[profile dos]\r\nregion = x\r\ns3 =\r\n  a = b\r\n")
    profile = read_profile("dos", home.environ)
    assert (profile.text("region"), profile.settings["s3"]) == ("x", {"a": "b"})


@pytest.mark.parametrize(
    "text, line",
    [
        ("region = SECRETLINE\n", 1),
        ("[default]\nregion = x\nSECRETLINE\n", 3),
        ("[default]\nregion = x\n[default]\n", 3),
        ("[default]\nregion = x\nregion = SECRETLINE\n", 3),
        (b"[default]\nregion = x\nb = \xff\xfe\n", 3),
        ("[default]\ns3 =\n  a = b\n  SECRETLINE\n", 4),
    ],
)
def test_a_broken_file_is_named_with_its_line(home, text, line):
    path = home.config(text)
    message = _refused(None, home.environ)
    assert "{}, line {} ".format(path, line) in message
    assert "SECRETLINE" not in message


def test_a_block_of_another_profile_may_be_broken(home):
    assert "line" in _refused("broken", home.environ)
    assert read_profile("prod", home.environ).name == "prod"


def test_what_is_no_regular_file_is_not_there_but_is_mentioned(home):
    (home.path / ".aws" / "config").unlink()
    os.mkfifo(str(home.path / ".aws" / "config"))
    assert read_profile("only-here", home.environ).config == {}
    assert "config (cannot be read: it is not a regular file)" in _refused("gone", home.environ)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.may_skip
def test_a_file_that_may_not_be_read_is_not_there_but_is_mentioned(home):
    (home.path / ".aws" / "config").chmod(0)
    assert read_profile("only-here", home.environ).config == {}
    assert "config (cannot be read: Permission denied)" in _refused("gone", home.environ)


def test_botocore_reads_the_same(home):
    pytest.importorskip("botocore")
    home.config(CONFIG.replace("no equals sign", "with = "))
    script = (
        "import json, botocore.session as b; "
        "print(json.dumps({n: b.Session(profile=n).get_scoped_config() "
        "for n in ('default', 'prod', 'two words', 'only-here')}))"
    )
    found = json.loads(subprocess.check_output([sys.executable, "-c", script], env=home.environ))
    for name, settings in found.items():
        assert read_profile(name, home.environ).settings == settings
