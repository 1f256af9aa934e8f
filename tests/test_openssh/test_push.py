"""When a key is pushed, and pushed again."""

import pytest

from ssm_plugin.errors import ServiceError
from ssm_plugin.openssh.keys import public_key_of
from ssm_plugin.openssh.push import KeyPush
from tests.support.clock import Clock
from tests.support.nodes import WEB, service_with
from tests.support.running import service_client

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43


@pytest.fixture
def service():
    with service_with(*WEB) as service:
        yield service


def test_several_starts_within_half_a_minute_need_one_push(service):
    clock = Clock()
    push = KeyPush(service_client(service), WEB[0].node_id, "me", KEY, clock)
    pushed = service.instance_connect.calls
    push()
    clock.advance(29)
    push()
    assert len(pushed()) == 1
    clock.advance(1)
    push()
    assert len(pushed()) == 2


def test_a_push_that_failed_is_made_again(service):
    push = KeyPush(service_client(service), WEB[0].node_id, "me", KEY, Clock())
    service.instance_connect.answer_with("SendSSHPublicKey", "AuthException", "no", 403)
    with pytest.raises(ServiceError):
        push()
    push()
    assert service.instance_connect.keys.of(WEB[0].node_id, "me") == [KEY]


def test_a_push_comes_before_the_session(service):
    client = service_client(service)
    client.before_start = KeyPush(client, WEB[0].node_id, "me", KEY, Clock())
    service.instance_connect.answer_with("SendSSHPublicKey", "AuthException", "no", 403)
    with pytest.raises(ServiceError):
        client.start_session(WEB[0].node_id)
    assert service.sessions() == []
    client.start_session(WEB[0].node_id)
    assert len(service.sessions()) == 1


@pytest.mark.parametrize(
    "text, found",
    [
        (KEY, KEY),
        ("  %s  me@home\r\n" % KEY, KEY),
        ("sk-ssh-ed25519@openssh.com AAAA%s x\n%s\n" % ("C" * 80, KEY), KEY),
        ("ssh-ed25519-cert-v01@openssh.com AAAA%s" % ("C" * 80), None),
        ("The agent has no identities.\n", None),
        ("ssh-ed25519 AAAA;rm -rf", None),
    ],
)
def test_keys_that_can_be_pushed(text, found):
    assert public_key_of(text) == found
