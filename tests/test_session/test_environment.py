"""Which identity, region, endpoints and network a session gets from settings and surroundings."""

import pytest

from ssm_plugin import config
from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.config import NetworkSettings, Settings
from ssm_plugin.errors import CredentialsError, NameResolutionError, ServiceError, UsageError
from ssm_plugin.session.environment import make_environment
from ssm_plugin.session.streams import Streams
from tests.support.aws_home import AwsHome
from tests.support.http_server import HttpServer, reply

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "secret"}
DENIED = reply(400, {"__type": "AccessDeniedException", "message": "no"})
FILES = """\
    [default]
    region = us-west-1
    aws_access_key_id = AKIADEFAULT
    aws_secret_access_key = s

    [profile ops]
    region = eu-central-1
    ca_bundle = /etc/pki/ops.pem
    aws_access_key_id = AKIAOPS
    aws_secret_access_key = s
"""


@pytest.fixture
def home(tmp_path):
    return AwsHome(tmp_path)


@pytest.fixture
def service():
    """An API that refuses everything, and keeps what it was asked."""
    with HttpServer(lambda request: DENIED) as service:
        yield service


def settings_of(environ, **given):
    return config.load(None, environ).override(**given)


def environment(home, more=(), **given):
    environ = dict(home.environ, **dict(more))
    return make_environment(settings_of(environ, **given), environ=environ)


def asked(service, call, environment):
    """Make a call that is refused; who signed it, for where."""
    with pytest.raises(ServiceError):
        call(environment.service)
    signature = service.requests[-1].headers["authorization"]
    access_key, _, region = signature.partition("Credential=")[2].split("/")[:3]
    return access_key, region


def terminate(service):
    service.terminate_session("s-1")


def new_key(service):
    service.generate_data_key("k-1", {})


def test_a_named_profile_brings_keys_region_and_ca_bundle(home, service):
    home.config(FILES)
    made = environment(home, KEYS, profile="ops", endpoint_url=service.url)
    assert asked(service, terminate, made) == ("AKIAOPS", "eu-central-1")
    assert made.profile_ca_bundle == "/etc/pki/ops.pem"


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_the_profile_of_the_environment_counts_when_none_is_named(home, service, variable):
    home.config(FILES)
    made = environment(home, {variable: "ops"}, profile=None, endpoint_url=service.url)
    assert asked(service, terminate, made) == ("AKIAOPS", "eu-central-1")


def test_the_region_that_was_given_goes_before_the_profile_and_the_environment(home, service):
    home.config(FILES)
    more = {"AWS_REGION": "eu-west-2"}
    made = environment(home, more, region="eu-west-3", endpoint_url=service.url)
    assert asked(service, terminate, made) == ("AKIADEFAULT", "eu-west-3")


def test_without_a_region_or_with_a_broken_file_nothing_is_made(home):
    with pytest.raises(UsageError, match="no AWS region"):
        environment(home)
    home.config("[profile ops\n")
    with pytest.raises(CredentialsError, match="config, line 1 cannot be understood"):
        environment(home)


def test_no_credentials_are_sought_before_they_are_needed(home):
    home.program("keys", "echo > {}/ran; exit 1".format(home.path))
    home.config("[default]\nregion = eu-west-1\ncredential_process = keys\n")
    assert isinstance(environment(home).service, ServiceClient)
    assert not (home.path / "ran").exists()


# Endpoints. The AWS CLI tells us the one of SSM; that of KMS is ours to find.


def test_an_endpoint_that_was_given_is_for_ssm_alone(home, service):
    more = dict(KEYS, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL_KMS="https://kms.invalid")
    made = environment(home, more, endpoint_url=service.url)
    assert asked(service, terminate, made)[1] == "eu-west-1"
    with pytest.raises(NameResolutionError, match="kms.invalid"):
        new_key(made.service)
    assert len(service.requests) == 1


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"])
def test_kms_follows_the_environment(home, service, variable):
    more = dict(KEYS, AWS_REGION="eu-west-1", **{variable: service.url})
    made = environment(home, more, endpoint_url="http://127.0.0.1:9")
    assert asked(service, new_key, made) == ("AKIAENVIRONMENT", "eu-west-1")
    assert service.requests[-1].headers["x-amz-target"] == "TrentService.GenerateDataKey"


def test_both_follow_the_general_endpoint_of_the_environment(home, service):
    more = dict(KEYS, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL=service.url)
    made = environment(home, more)
    for call in (terminate, new_key):
        asked(service, call, made)
    assert len(service.requests) == 2


def test_each_follows_its_own_endpoint_of_the_profile_before_the_general_one(home, service):
    home.config(
        """\
        [default]
        region = eu-west-1
        services = local
        endpoint_url = http://127.0.0.1:9

        [services local]
        ssm =
            endpoint_url = {url}
        kms =
            endpoint_url = {url}
        """.format(url=service.url)
    )
    made = environment(home, KEYS)
    for call in (terminate, new_key):
        asked(service, call, made)
    assert len(service.requests) == 2


def test_endpoints_of_the_environment_can_be_ignored(home, service):
    more = dict(KEYS, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL_SSM=service.url)
    more.update(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true", HTTPS_PROXY="http://proxy.invalid")
    for given in (None, service.url + "/"):
        made = environment(home, more, endpoint_url=given)
        if given:
            asked(service, terminate, made)
        else:
            with pytest.raises(NameResolutionError, match="proxy.invalid"):
                terminate(made.service)


def test_an_unencrypted_endpoint_of_the_environment_must_be_local(home):
    more = dict(KEYS, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL="http://ssm.example")
    with pytest.raises(UsageError, match="in AWS_ENDPOINT_URL is not encrypted"):
        terminate(environment(home, more).service)


def test_network_streams_and_notices_are_passed_on(home):
    network = NetworkSettings(connect_timeout=3.0)
    streams = Streams()
    environ = dict(home.environ, AWS_REGION="eu-west-1")
    for quiet, aside in ((False, False), (True, False), (False, True)):
        settings = Settings(network=network, quiet=quiet)
        made = make_environment(settings, streams, aside, environ)
        assert (made.network, made.streams) == (network, streams)
        assert made.aside == (quiet or aside)
        assert made.environ is environ
