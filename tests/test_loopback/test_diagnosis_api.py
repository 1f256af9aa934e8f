"""What the doctor asks the local service, as botocore reads it."""

import json

import pytest

from ssm_plugin.loopback.nodes import LocalNode
from tests.support.nodes import service_with

KEYS = {"AKIDEXAMPLE": "a secret key"}
NODES = (LocalNode("i-1"), LocalNode("i-2", status="ConnectionLost"))


@pytest.fixture(scope="module")
def service():
    pytest.importorskip("botocore")
    with service_with(*NODES, secret_keys=KEYS, require_signatures=True) as service:
        yield service


@pytest.fixture
def client_of(service):
    session = pytest.importorskip("botocore.session").Session()

    def make(name, secret="a secret key"):
        config = pytest.importorskip("botocore.config").Config(retries={"max_attempts": 0})
        return session.create_client(
            name,
            region_name="eu-west-1",
            endpoint_url=service.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=secret,
            config=config,
        )

    return make


def test_only_a_node_that_is_online_is_connected(client_of):
    ssm = client_of("ssm")
    found = [ssm.get_connection_status(Target=target)["Status"] for target in ("i-1", "i-2", "x")]
    assert found == ["connected", "notconnected", "notconnected"]


def test_the_session_preferences_are_a_document(client_of, service):
    ssm = client_of("ssm")
    service.ssm.diagnosis.preferences = {"kmsKeyId": "k", "idleSessionTimeout": "30"}
    answer = ssm.get_document(Name="SSM-SessionManagerRunShell")
    content = json.loads(answer["Content"])
    assert answer["DocumentType"] == "Session"
    assert content["inputs"] == {"kmsKeyId": "k", "idleSessionTimeout": "30"}


@pytest.mark.parametrize("name, preferences", [("Other", {}), ("SSM-SessionManagerRunShell", None)])
def test_there_is_no_other_document(client_of, service, name, preferences):
    ssm = client_of("ssm")
    service.ssm.diagnosis.preferences = preferences
    with pytest.raises(ssm.exceptions.InvalidDocument):
        ssm.get_document(Name=name)


def test_the_caller_is_somebody(client_of):
    answer = client_of("sts").get_caller_identity()
    assert answer["Arn"] == "arn:aws:iam::000000000000:user/demo"
    assert answer["Account"] == "000000000000"


def test_a_wrong_signature_is_an_error_that_is_understood(client_of):
    exceptions = pytest.importorskip("botocore.exceptions")
    with pytest.raises(exceptions.ClientError) as caught:
        client_of("sts", "another key").get_caller_identity()
    code = caught.value.response["Error"]["Code"]
    assert code in ("InvalidSignatureException", "SignatureDoesNotMatch")
