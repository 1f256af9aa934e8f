"""What is asked of KMS for an encrypted session, and when there is nothing to ask."""

import base64
import os

import pytest

from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.channel.events import KeyRequested
from ssm_plugin.errors import EncryptionError, NetworkError, ServiceError
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.errands import generate_data_key
from ssm_plugin.session.types import SessionConfig
from tests.support.http_server import HttpServer, reply

KEY_ID = "arn:aws:kms:eu-west-1:000000000000:key/k"
CONFIG = SessionConfig("s-1", "wss://127.0.0.1/s-1", "token", "i-1")
CONTEXT = {"aws:ssm:SessionId": "s-1", "aws:ssm:TargetId": "i-1"}


class Kms:
    """Answers with ``key``, or with the refusal ``code``."""

    def __init__(self):
        self.key = os.urandom(64)
        self.code = ""
        self.server = HttpServer(self.answer)

    def answer(self, request):
        if self.code:
            return reply(400, {"__type": self.code, "message": "no"})
        plaintext = base64.b64encode(self.key).decode()
        return reply(200, {"Plaintext": plaintext, "CiphertextBlob": "c2VhbGVk", "KeyId": KEY_ID})


@pytest.fixture
def kms():
    kms = Kms()
    with kms.server:
        yield kms


@pytest.fixture
def environment(kms):
    keys = {"AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "secret"}
    environ = dict(keys, AWS_ENDPOINT_URL_KMS=kms.server.url)
    service = ServiceClient(CredentialProvider(None, keys), "eu-west-1", environ=environ)
    return Environment(service, environ=environ)


@pytest.mark.parametrize(
    "challenge, context",
    [("", CONTEXT), ("x/y+z==", dict(CONTEXT, **{"aws:ssm:RandomChallenge": "x/y+z=="}))],
    ids=["no-challenge", "challenge"],
)
def test_the_context_names_session_target_and_challenge(kms, environment, challenge, context):
    key = generate_data_key(KeyRequested(KEY_ID, challenge), CONFIG, environment)
    assert (key.plaintext, key.ciphertext) == (kms.key, "c2VhbGVk")
    (request,) = kms.server.requests
    assert request.json() == {
        "KeyId": KEY_ID,
        "NumberOfBytes": 64,
        "EncryptionContext": context,
    }


def test_a_refusal_names_the_permission_and_the_key(kms, environment):
    kms.code = "AccessDeniedException"
    with pytest.raises(ServiceError, match="permission kms:GenerateDataKey on " + KEY_ID):
        generate_data_key(KeyRequested(KEY_ID, ""), CONFIG, environment)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_a_key_of_another_size_is_refused(kms, environment, size):
    kms.key = os.urandom(size)
    with pytest.raises(NetworkError, match="holds no key of 64 bytes"):
        generate_data_key(KeyRequested(KEY_ID, ""), CONFIG, environment)


@pytest.mark.parametrize("missing", ["service", "target"])
def test_an_old_aws_cli_that_passes_no_target_is_told_so(environment, missing):
    config = CONFIG._replace(target=None) if missing == "target" else CONFIG
    chosen = Environment() if missing == "service" else environment
    with pytest.raises(EncryptionError, match="update the AWS CLI, or use ssm-plugin shell"):
        generate_data_key(KeyRequested(KEY_ID, ""), config, chosen)
