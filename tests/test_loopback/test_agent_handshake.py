"""The agent's handshake, against the client's own and against clients that do it wrong."""

import base64
import os

import pytest

from ssm_plugin.channel.cipher import Cipher, unavailable_reason
from ssm_plugin.channel.events import Started
from ssm_plugin.channel.handshake import ClientHandshake
from ssm_plugin.errors import EncryptionError, HandshakeError
from ssm_plugin.loopback.agent_documents import NON_INTERACTIVE, PORT, Assignment
from ssm_plugin.loopback.agent_handshake import ENCRYPTED, AgentHandshake, Encryption
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.channel_client import ChannelClient
from tests.support.service import local_service

from .helpers import call

KEY = os.urandom(64)
COMMAND = Assignment(NON_INTERACTIVE, None, ("true",), False)
CONTEXT = {"aws:ssm:SessionId": "s-1", "aws:ssm:TargetId": "i-1"}

needs_aes = pytest.mark.skipif(unavailable_reason() is not None, reason="no AES-GCM here")


class Keys:
    """Decrypts anything to one key; ``contexts`` are those it was asked with."""

    def __init__(self, key=KEY):
        self.key = key
        self.contexts = []

    def __call__(self, ciphertext, context):
        assert ciphertext == "c2VhbGVk"
        self.contexts.append(dict(context))
        return self.key


def new_handshake(encryption=None, assignment=COMMAND):
    return AgentHandshake(assignment, "3.3.0.0", "s-1", "i-1", encryption)


def response(*actions, version="1.2.896.0"):
    return payloads.build_handshake_response(
        payloads.HandshakeResponse(version, tuple(actions))
    )


def processed(name=payloads.SESSION_TYPE_ACTION, status=payloads.SUCCESS, result=None, error=""):
    return payloads.ProcessedAction(name, status, result, error)


def key_result(**more):
    result = dict({"KMSCipherTextKey": "c2VhbGVk", "KMSCipherTextHash": None}, **more)
    return processed(payloads.KMS_ENCRYPTION_ACTION, result=result)


def answer(handshake, *actions):
    return handshake.step(payloads.HANDSHAKE_RESPONSE, response(*actions), 0.5)


def challenge_of(handshake):
    request = payloads.parse_handshake_request(handshake.request()[0][1])
    return request.actions[1].parameters.get("Challenge")


def run_against_client(handshake, client):
    """Let both talk until neither has anything to say; the client's last events."""
    messages, events = handshake.request(), ()
    while messages:
        replies = [client.step(*one) for one in messages]
        if client._key_action and client.cipher is None:
            replies.append(client.provide_key(KEY, "c2VhbGVk"))
        events = [event for reply in replies for event in reply.events]
        answers = [one for reply in replies for one in reply.messages]
        messages = [step for one in answers for step in handshake.step(one[0], one[1], 0.25)]
    return events


def test_both_sides_agree_on_the_session():
    port = Assignment(PORT, {"portNumber": "22"}, (), False)
    handshake, client = new_handshake(assignment=port), ClientHandshake(["Port"])
    events = run_against_client(handshake, client)
    assert events == [Started("Port", {"portNumber": "22"}, "3.3.0.0", "", False)]
    assert handshake.done
    assert handshake.client_version == "1.2.896.0"
    assert handshake.cipher is None


@pytest.mark.parametrize(
    "version, separate, told",
    [
        ("1.2.295.0", True, "Please update session manager plugin version"),
        ("1.2.295.0", False, ""),
        ("1.2.312.0", True, ""),
    ],
)
def test_a_client_too_old_for_separate_errors_is_told_to_be_updated(version, separate, told):
    handshake = new_handshake(assignment=Assignment(NON_INTERACTIVE, None, ("true",), separate))
    answered = response(processed(), version=version)
    ((_, complete),) = handshake.step(payloads.HANDSHAKE_RESPONSE, answered, 0.5)
    message = payloads.parse_handshake_complete(complete).customer_message
    assert message.startswith(told) and bool(message) == bool(told)


@needs_aes
@pytest.mark.parametrize("challenge", [True, False])
def test_both_sides_agree_on_a_key(challenge):
    keys = Keys()
    encryption = Encryption("key-1", keys, challenge, require_challenge=challenge)
    handshake = new_handshake(encryption)
    context = dict(CONTEXT)
    if challenge:
        context["aws:ssm:RandomChallenge"] = challenge_of(handshake)
    client = ClientHandshake([NON_INTERACTIVE])
    (started,) = run_against_client(handshake, client)
    assert started.customer_message == ENCRYPTED
    assert started.encrypted
    assert keys.contexts == [context]
    assert client.cipher.open(handshake.cipher.seal(b"down")) == b"down"
    assert handshake.cipher.open(client.cipher.seal(b"up")) == b"up"


@needs_aes
def test_an_old_client_may_leave_out_the_challenge():
    keys = Keys()
    handshake = new_handshake(Encryption("key-1", keys))
    assert challenge_of(handshake)
    answer(handshake, processed(), key_result())
    assert keys.contexts == [CONTEXT]


def test_an_old_client_is_refused_where_the_challenge_is_required():
    handshake = new_handshake(Encryption("key-1", Keys(), require_challenge=True))
    with pytest.raises(HandshakeError, match="required encryption context random challenge"):
        answer(handshake, processed(), key_result())


def test_the_duration_is_told_in_nanoseconds():
    ((payload_type, payload),) = answer(new_handshake(), processed())
    assert payload_type == payloads.HANDSHAKE_COMPLETE
    assert payloads.parse_handshake_complete(payload) == (500000000, "")


@pytest.mark.parametrize(
    "action, words",
    [
        (processed(status=payloads.FAILED, error="no such type"), "failed .* no such type"),
        (processed(status=payloads.UNSUPPORTED), "SessionType is unsupported"),
        (processed(status=9), "unknown status"),
        (processed("Other"), "did not process the action SessionType"),
    ],
)
def test_an_action_that_did_not_succeed_fails_the_session(action, words):
    with pytest.raises(HandshakeError, match=words):
        answer(new_handshake(), action)


def test_a_client_that_does_not_encrypt_fails_the_session():
    with pytest.raises(HandshakeError, match="did not process the action KMSEncryption"):
        answer(new_handshake(Encryption("key-1", Keys())), processed())


@pytest.mark.parametrize("result", [None, {}, {"KMSCipherTextKey": 7}])
def test_a_client_without_a_key_fails_the_session(result):
    action = processed(payloads.KMS_ENCRYPTION_ACTION, result=result)
    with pytest.raises(HandshakeError, match="no KMSCipherTextKey"):
        answer(new_handshake(Encryption("key-1", Keys())), processed(), action)


def test_an_answer_that_is_none_fails_the_session():
    with pytest.raises(HandshakeError, match="cannot be read"):
        new_handshake().step(payloads.HANDSHAKE_RESPONSE, b"?", 0.0)


@needs_aes
@pytest.mark.parametrize(
    "proof, words",
    [
        (lambda client: base64.b64encode(client.seal(b"x" * 64)), "not the one"),
        (lambda client: base64.b64encode(b"x" * 92), "does not open"),
        (lambda client: b"not base64", "does not open"),
    ],
)
def test_a_wrong_proof_fails_the_session(proof, words):
    handshake = new_handshake(Encryption("key-1", Keys()))
    answer(handshake, processed(), key_result())
    payload = payloads.build_challenge(proof(Cipher(KEY, Role.CLIENT)).decode())
    with pytest.raises(HandshakeError, match=words):
        handshake.step(payloads.ENCRYPTION_CHALLENGE_RESPONSE, payload, 0.0)


def test_what_comes_out_of_turn_is_ignored():
    handshake = new_handshake()
    challenge = payloads.build_challenge("YQ==")
    assert handshake.step(payloads.ENCRYPTION_CHALLENGE_RESPONSE, challenge, 0.0) == []
    assert handshake.step(payloads.OUTPUT, b"keys", 0.0) == []
    assert answer(handshake, processed())
    assert answer(handshake, processed()) == []


# --- At work


def data_key(service, key_id="key-1", **context):
    """A function that answers a client's request for a key, from the service's own."""

    def provide(request):
        values = {
            "aws:ssm:SessionId": service.session().session_id,
            "aws:ssm:TargetId": "i-0123456789abcdef0",
            "aws:ssm:RandomChallenge": request.challenge,
        }
        values.update(context)
        status, fields = call(
            service,
            "GenerateDataKey",
            {"KeyId": request.key_id, "NumberOfBytes": 64, "EncryptionContext": values},
            prefix="TrentService",
        )
        assert status == 200
        return base64.b64decode(fields["Plaintext"]), fields["CiphertextBlob"]

    return provide


@needs_aes
def test_an_encrypted_shell():
    with local_service(kms_key_id="key-1", require_challenge=True) as service:
        with ChannelClient(service, provide_key=data_key(service)) as client:
            client.wait_for(lambda: client.started)
            assert client.started.customer_message == ENCRYPTED
            assert client.started.session_type == "Standard_Stream"
            client.send(b"echo se''cret; exit\n")
            assert client.wait_closed() == ""
            assert b"secret\r\n" in client.output


@needs_aes
def test_an_encrypted_command():
    parameters = {"command": "sh -c 'echo out; echo err >&2; exit 3'", "separateOutputStream": "1"}
    with local_service(kms_key_id="key-1") as service:
        parameters["separateOutputStream"] = "true"
        with ChannelClient(
            service,
            "AWS-StartNonInteractiveCommand",
            parameters,
            provide_key=data_key(service),
        ) as client:
            assert client.wait_closed() == ""
        assert (client.output, client.errors, client.exit_code) == (b"out\n", b"err\n", 3)


@needs_aes
def test_a_key_under_another_context_ends_the_session():
    with local_service(kms_key_id="key-1") as service:
        provide = data_key(service, **{"aws:ssm:TargetId": "i-other"})
        with ChannelClient(service, provide_key=provide) as client:
            assert "encryption context" in client.wait_closed()


def test_a_shell_may_be_made_to_shake_hands():
    with local_service(faults="force-handshake") as service, ChannelClient(service) as client:
        client.wait_for(lambda: client.output)
        assert client.started.session_type == "Standard_Stream"
        assert client.started.agent_version == "3.3.0.0"
        client.send(b"exit\n")
        assert client.wait_closed() == ""


def test_a_command_may_be_made_to_skip_the_handshake():
    with local_service(faults="skip-handshake") as service:
        with ChannelClient(
            service, "AWS-StartNonInteractiveCommand", {"command": "echo out"}
        ) as client:
            assert client.wait_closed() == ""
        assert (client.started.session_type, client.output) == ("", b"out\n")


def test_a_client_that_refuses_is_told_why_the_session_ended():
    with local_service(faults="force-handshake") as service:
        with ChannelClient(service, supported=("Port",)) as client:
            reason = client.wait_closed()
    assert reason.startswith("\n----------ERROR-------\nEncountered error while initiating ")
    assert "Unknown session type Standard_Stream" in reason
    assert not client.leaving  # it never had a shell that could end


def test_a_client_that_does_not_answer_is_given_up():
    with local_service(faults="force-handshake,up.lose", handshake_limit=0.3) as service:
        with ChannelClient(service) as client:
            assert "did not answer within 0 s" in client.wait_closed()


def test_input_before_the_end_of_the_handshake_is_acknowledged_and_ignored():
    class HastyClient(ChannelClient):
        def dial(self):
            self.protocol.send_control(payloads.OUTPUT, b"echo early\n", 0.0)
            return super().dial()

    with local_service(faults="force-handshake") as service:
        with HastyClient(service) as client:
            client.wait_for(lambda: client.output)
            assert client.channel.drain(5)
            client.send(b"echo on''time; exit\n")
            client.wait_closed()
    assert b"ontime" in client.output
    assert b"early" not in client.output


def test_terminating_ends_a_session_that_shakes_hands():
    with local_service(faults="force-handshake,up.lose") as service:
        with ChannelClient(service) as client:
            client.session.terminate()
            assert client.wait_closed() == ""


def test_what_a_key_service_refuses_is_the_reason():
    def refuse(ciphertext, context):
        raise EncryptionError("the key is disabled")

    handshake = new_handshake(Encryption("key-1", refuse))
    with pytest.raises(EncryptionError, match="disabled"):
        answer(handshake, processed(), key_result())
