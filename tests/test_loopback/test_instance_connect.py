"""SendSSHPublicKey of the local service, as botocore reads its answers."""

import pytest

from ssm_plugin.loopback.instance_connect import PushedKeys
from ssm_plugin.loopback.nodes import LocalNode
from tests.support.clock import Clock
from tests.support.nodes import service_with

KEYS = {"AKIDEXAMPLE": "a secret key"}
HERE, STOPPED = "i-0123456789abcdef0", "i-0123456789abcdef1"
HYBRID = "mi-0123456789abcdef0"
NODES = (LocalNode(HERE), LocalNode(STOPPED, state="stopped"), LocalNode(HYBRID))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43


@pytest.fixture(scope="module")
def service():
    with service_with(*NODES, secret_keys=KEYS, require_signatures=True) as service:
        yield service


@pytest.fixture
def client(service):
    config = pytest.importorskip("botocore.config").Config(retries={"max_attempts": 0})
    return pytest.importorskip("botocore.session").Session().create_client(
        "ec2-instance-connect",
        region_name="eu-west-1",
        endpoint_url=service.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="a secret key",
        config=config,
    )


def send(client, node=HERE, user="ec2-user", key=KEY):
    return client.send_ssh_public_key(InstanceId=node, InstanceOSUser=user, SSHPublicKey=key)


def test_a_key_is_there_for_this_user_of_this_node_alone(client, service):
    assert send(client)["Success"] is True
    keys = service.instance_connect.keys
    assert keys.of(HERE, "ec2-user") == [KEY]
    assert keys.of(HERE, "root") == keys.of(STOPPED, "ec2-user") == []


@pytest.mark.parametrize(
    "given, code",
    [
        ({"node": "i-00000000000000000"}, "EC2InstanceNotFoundException"),
        ({"node": STOPPED}, "EC2InstanceStateInvalidException"),
        ({"node": HYBRID}, "InvalidArgsException"),
        ({"user": "-x"}, "InvalidArgsException"),
        ({"key": "x" * 100}, "InvalidArgsException"),
        ({"key": "ssh-dss " + KEY}, "InvalidArgsException"),
    ],
)
def test_what_is_refused_has_the_error_of_aws(client, given, code):
    with pytest.raises(getattr(client.exceptions, code)):
        send(client, **given)


def test_a_key_is_good_for_a_minute():
    clock = Clock()
    keys = PushedKeys(clock)
    keys.push("i-1", "me", "first")
    clock.advance(59)
    keys.push("i-1", "me", "second")
    assert keys.of("i-1", "me") == ["first", "second"]
    clock.advance(1)
    assert keys.of("i-1", "me") == ["second"]
    clock.advance(59)
    assert keys.of("i-1", "me") == []
