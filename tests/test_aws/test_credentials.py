"""The whole search, over real files, programs and loopback services."""

import threading
import time

import pytest

from ssm_plugin import logs
from ssm_plugin.aws.credentials import (
    FRUITLESS_FOR,
    CredentialProvider,
    Credentials,
    environment_credentials,
)
from ssm_plugin.aws.keys import parse_time
from ssm_plugin.errors import CredentialsError, NoCredentialsError
from tests.support.aws_home import AwsHome
from tests.support.http_server import HttpServer, SilentServer, reply

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}
FILES = """\
    [default]
    aws_access_key_id = AKIADEFAULT
    aws_secret_access_key = default-secret

    [p]
    aws_access_key_id = AKIAP
    aws_secret_access_key = p-secret
    aws_session_token = p-token
"""
END = "2030-01-01T01:00:00Z"
ROLE = {
    "AccessKeyId": "ASIAROLE",
    "SecretAccessKey": SECRET,
    "Token": "role-token",
    "Expiration": "2130-01-01T00:00:00Z",
}


class Clock:
    """Says the time that it was set to, in seconds before ``END``."""

    def __init__(self, left):
        self.left = left

    def __call__(self):
        return parse_time(END) - self.left


@pytest.fixture
def home(tmp_path):
    return AwsHome(tmp_path)


def _resolve(home, profile=None, **more):
    return CredentialProvider(profile, home.environ, **more).resolve()


def _refused(home, profile=None, **more):
    with pytest.raises(CredentialsError) as caught:
        _resolve(home, profile, **more)
    message = str(caught.value)
    for secret in ("\n", SECRET, "env-secret", "default-secret", "p-secret", "p-token"):
        assert secret not in message
    return message


def _counting_process(home, expiration=END):
    """A credential_process whose keys have the number of the run in them."""
    return home.program(
        "keys",
        """\
        cd {home}
        test -e broken && exit 1
        echo >> runs
        echo '{{"Version": 1, "AccessKeyId": "RUN'$(wc -l < runs | tr -d ' ')'",'
        echo '"SecretAccessKey": "s", "SessionToken": "t", "Expiration": "{end}"}}'
        """.format(home=home.path, end=expiration),
    )


# --- Which source


def test_keys_in_the_environment_go_before_files(home):
    home.credentials(FILES)
    home.environ.update(ENVIRONMENT, AWS_PROFILE="p")
    assert _resolve(home) == Credentials("AKIAENV", "env-secret")


def test_a_profile_given_as_an_argument_goes_before_the_environment(home):
    home.credentials(FILES)
    home.environ.update(ENVIRONMENT)
    assert _resolve(home, "p") == Credentials("AKIAP", "p-secret", "p-token")


def test_a_profile_may_be_named_by_the_environment(home):
    home.credentials(FILES)
    assert _resolve(home).access_key == "AKIADEFAULT"
    home.environ["AWS_PROFILE"] = "p"
    assert _resolve(home).access_key == "AKIAP"


def test_an_empty_profile_is_none(home):
    home.environ.update(ENVIRONMENT)
    assert _resolve(home, "").access_key == "AKIAENV"


def test_the_credentials_file_goes_before_a_program_and_that_before_the_config_file(home):
    _counting_process(home)
    config = "[profile p]\naws_access_key_id = AKIACONFIG\naws_secret_access_key = s\n"
    home.config(config)
    assert _resolve(home, "p").access_key == "AKIACONFIG"
    home.config(config + "credential_process = keys\n")
    assert _resolve(home, "p", clock=Clock(3600)).access_key == "RUN1"
    home.credentials(FILES)
    assert _resolve(home, "p").access_key == "AKIAP"


def test_a_role_goes_before_keys_of_the_same_profile(home):
    home.config("[profile p]\nrole_arn = r\nsource_profile = p\n")
    home.credentials(FILES)
    home.program("aws", "exit 7")
    assert "no credentials for role_arn" in _refused(home, "p")


def test_a_web_identity_goes_before_the_default_profile(home):
    home.credentials(FILES)
    home.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(home.path / "none")
    home.environ["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/x"
    home.program("aws", "exit 7")
    assert "no credentials for AWS_WEB_IDENTITY_TOKEN_FILE of the env" in _refused(home)
    assert _resolve(home, "p").access_key == "AKIAP"


@pytest.mark.parametrize("profile", [None, "p"])
def test_a_container_comes_after_a_profile_without_credentials(home, profile):
    home.config("[profile p]\nregion = x\n")
    with HttpServer(lambda request: reply(200, ROLE)) as server:
        home.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url
        assert _resolve(home, profile).access_key == "ASIAROLE"
        home.credentials(FILES)
        assert _resolve(home, profile).access_key in ("AKIADEFAULT", "AKIAP")


def test_instance_metadata_comes_last(home):
    def answer(request):
        names = {"PUT": b"t"}
        last = request.path.endswith("/role")
        return reply(200, ROLE if last else names.get(request.method, b"role"))

    del home.environ["AWS_EC2_METADATA_DISABLED"]
    with HttpServer(answer) as server:
        home.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url
        assert _resolve(home).access_key == "ASIAROLE"


def test_instance_metadata_that_cannot_renew_keys_is_believed_that_they_are_good_still(home):
    answers = {"PUT": reply(200, b"t"), "GET": reply(200, dict(ROLE, Expiration=END))}
    answers["roles"] = reply(200, b"role")

    def answer(request):
        return answers["roles" if request.path.endswith("/") else request.method]

    del home.environ["AWS_EC2_METADATA_DISABLED"]
    clock = Clock(-3600)
    with HttpServer(answer) as server:
        home.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url
        provider = CredentialProvider(None, home.environ, clock=clock)
        assert provider.resolve().access_key == "ASIAROLE"
        asked = len(server.requests)
        clock.left -= 299
        assert provider.resolve().access_key == "ASIAROLE"
        assert len(server.requests) == asked
        clock.left -= 2
        answers["GET"] = reply(200, dict(ROLE, AccessKeyId="ASIANEW"))
        assert provider.resolve().access_key == "ASIANEW"


def test_with_nothing_anywhere_the_error_says_where_it_looked(home):
    message = _refused(home)
    for place in ("in the environment", "'default'", ".aws/credentials", ".aws/config"):
        assert place in message
    home.config("[profile p]\nregion = x\n")
    message = _refused(home, "p")
    assert "'p'" in message and "in the environment" not in message


def test_a_profile_that_does_not_exist_is_an_error(home):
    home.environ.update(ENVIRONMENT)
    assert "'gone' was not found" in _refused(home, "gone")


@pytest.mark.parametrize("profile", [None, "p", "gone"])
def test_where_no_source_has_any_the_error_says_that_waiting_is_no_use(home, profile):
    home.config("[profile p]\nregion = x\n")
    provider = CredentialProvider(profile, home.environ)
    for _ in range(2):  # the second time it is remembered
        with pytest.raises(NoCredentialsError):
            provider.resolve()


def test_a_source_that_is_gone_for_the_moment_may_come_back(home):
    path = home.credentials("[default]\naws_access_key_id = A\naws_secret_access_key = s\n")
    provider = CredentialProvider(None, home.environ)
    provider.resolve()
    path.unlink()
    provider.forget()
    for _ in range(2):
        with pytest.raises(CredentialsError, match="no AWS credentials were found") as caught:
            provider.resolve()
        assert not isinstance(caught.value, NoCredentialsError)


def test_a_source_that_fails_may_heal(home):
    home.config("[default]\ncredential_process = false\n")
    with pytest.raises(CredentialsError) as caught:
        _resolve(home)
    assert not isinstance(caught.value, NoCredentialsError)


# --- Broken sources


def test_half_a_pair_of_keys_is_an_error(home):
    home.environ["AWS_ACCESS_KEY_ID"] = "AKIAENV"
    assert "AWS_SECRET_ACCESS_KEY is not: set both or neither" in _refused(home)
    path = home.credentials("[p]\naws_access_key_id = AKIAP\n")
    assert "aws_secret_access_key is missing in profile 'p' of %s" % path in _refused(home, "p")


def test_keys_that_cannot_be_keys_are_an_error(home):
    home.environ.update(ENVIRONMENT, AWS_SECRET_ACCESS_KEY=SECRET + "\n")
    assert "secret access key from the environment" in _refused(home)
    home.credentials("[p]\naws_access_key_id = A\naws_secret_access_key =\n  x = y\n")
    assert "secret access key from profile 'p'" in _refused(home, "p")


def test_a_source_that_fails_is_not_passed_over(home):
    home.config("[default]\ncredential_process = false\n")
    with HttpServer(lambda request: reply(200, ROLE)) as server:
        home.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url
        assert "failed with exit status 1" in _refused(home)
    assert server.requests == []


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
def test_the_environment_may_hold_temporary_keys(name):
    environ = dict(ENVIRONMENT, AWS_CREDENTIAL_EXPIRATION=END)
    environ[name] = "tok"
    expected = Credentials("AKIAENV", "env-secret", "tok", parse_time(END))
    assert environment_credentials(environ) == expected
    assert environment_credentials({}) is None


def test_expired_keys_are_an_error(home):
    home.environ.update(ENVIRONMENT, AWS_SESSION_TOKEN="t", AWS_CREDENTIAL_EXPIRATION=END)
    assert "have expired" in _refused(home, clock=Clock(0))
    assert _resolve(home, clock=Clock(1)).access_key == "AKIAENV"


# --- Time


@pytest.mark.parametrize("slow", ["program", "container"])
def test_the_search_ends_in_time(home, slow):
    with SilentServer() as server:
        if slow == "program":
            home.config("[default]\ncredential_process = sleep 300\n")
        else:
            url = "http://127.0.0.1:{}/".format(server.port)
            home.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
        started = time.monotonic()
        assert "the search for AWS credentials took longer" in _refused(home, time_limit=0.3)
        assert time.monotonic() - started < 20


def test_keys_without_an_end_are_found_once(home):
    home.credentials(FILES)
    provider = CredentialProvider("p", home.environ)
    first = provider.resolve()
    home.credentials("")
    assert provider.resolve() is first


def test_temporary_keys_are_renewed_ten_minutes_before_their_end(home):
    _counting_process(home)
    home.config("[default]\ncredential_process = keys\n")
    clock = Clock(3600)
    provider = CredentialProvider(None, home.environ, clock=clock)
    assert provider.resolve().access_key == "RUN1"
    clock.left = 601
    assert provider.resolve().access_key == "RUN1"
    clock.left = 599
    assert provider.resolve().access_key == "RUN2"


def test_a_renewal_that_brings_nothing_newer_is_not_repeated_at_once(home):
    _counting_process(home)
    home.config("[default]\ncredential_process = keys\n")
    clock = Clock(590)
    provider = CredentialProvider(None, home.environ, clock=clock)
    for left, run in ((590, 1), (580, 1), (531, 1), (529, 2), (70, 3), (61, 3), (59, 4), (58, 5)):
        clock.left = left
        assert provider.resolve().access_key == "RUN%d" % run


def test_the_old_keys_do_until_a_minute_before_their_end(home):
    _counting_process(home)
    home.config("[default]\ncredential_process = keys\n")
    clock = Clock(3600)
    provider = CredentialProvider(None, home.environ, clock=clock)
    provider.resolve()
    (home.path / "broken").write_text("")
    for left in (599, 300, 61):
        clock.left = left
        assert provider.resolve().access_key == "RUN1"
    clock.left = 59
    with pytest.raises(CredentialsError, match="exit status 1"):
        provider.resolve()
    (home.path / "broken").unlink()
    clock.left = 59 - FRUITLESS_FOR
    assert provider.resolve().access_key == "RUN2"


def test_a_fruitless_search_is_remembered_for_a_while(home):
    home.program("keys", "echo >> {}/asked; exit 1".format(home.path))
    home.config("[default]\ncredential_process = keys\n")
    clock = Clock(3600)
    provider = CredentialProvider(None, home.environ, clock=clock)
    for seconds, runs in ((0, 1), (FRUITLESS_FOR - 1, 1), (FRUITLESS_FOR, 2), (-3600, 3)):
        clock.left = 3600 - seconds
        with pytest.raises(CredentialsError, match="exit status 1"):
            provider.resolve()
        assert len((home.path / "asked").read_text().splitlines()) == runs
        assert not provider.are_known
    _counting_process(home)
    provider.forget()
    assert provider.resolve().access_key == "RUN1"
    assert provider.are_known and not provider.are_sought


def test_forgotten_keys_are_searched_again(home):
    _counting_process(home)
    home.config("[default]\ncredential_process = keys\n")
    provider = CredentialProvider(None, home.environ, clock=Clock(3600))
    assert provider.resolve().access_key == "RUN1"
    provider.forget()
    assert provider.resolve().access_key == "RUN2"


def test_threads_that_ask_at_once_search_once(home):
    _counting_process(home)
    home.config("[default]\ncredential_process = keys\n")
    provider = CredentialProvider(None, home.environ, clock=Clock(3600))
    found = []
    threads = [threading.Thread(target=lambda: found.append(provider.resolve())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [keys.access_key for keys in found] == ["RUN1"] * 8


# --- Secrets


def test_what_was_found_is_masked_in_logs_and_absent_from_representations(home):
    home.environ.update(ENVIRONMENT, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN="the-token-1")
    provider = CredentialProvider(None, home.environ)
    keys = provider.resolve()
    assert logs.mask("x %s y %s" % (SECRET, "the-token-1")) == "x *** y ***"
    assert SECRET not in repr(provider) + repr(keys)
