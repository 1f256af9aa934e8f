import base64
import json

import pytest

from ssm_plugin.channel.cipher import Cipher, unavailable_reason
from ssm_plugin.channel.events import KeyRequested, Output, Started, Terminating
from ssm_plugin.channel.handshake import IGNORED, STEPS, TRANSITIONS, ClientHandshake, Phase, Reply
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.errors import EncryptionError, HandshakeError, MessageError
from ssm_plugin.version import PROTOCOL_VERSION
from ssm_plugin.wire import message as wire
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.link import handshake_complete, handshake_request
from tests.support.vectors import agent_session

needs_aes_gcm = pytest.mark.skipif(unavailable_reason() is not None, reason="no AES-GCM here")

KEY = bytes(range(64))
KMS = payloads.RequestedAction("KMSEncryption", {"KMSKeyId": "arn:key"})
KMS_CHALLENGE = payloads.RequestedAction(
    "KMSEncryption", {"KMSKeyId": "arn:key", "Challenge": "word"}
)


def requested(*more, session_type="Port", properties=None):
    """A handshake that has read its request, and the reply to it."""
    handshake = ClientHandshake({"Port", "Standard_Stream"})
    request = handshake_request(session_type, properties, *more)
    return handshake, handshake.step(payloads.HANDSHAKE_REQUEST, request)


def response_in(reply):
    ((payload_type, payload),) = reply.messages
    assert payload_type == payloads.HANDSHAKE_RESPONSE
    return payloads.parse_handshake_response(payload)


def complete(handshake, message=""):
    return handshake.step(payloads.HANDSHAKE_COMPLETE, handshake_complete(message))


def challenge(cipher, secret=b"secret"):
    return payloads.build_challenge(base64.b64encode(cipher.seal(secret)).decode("ascii"))


def test_every_pair_is_a_transition_or_ignored_or_an_error_that_changes_nothing():
    contents = {
        payloads.HANDSHAKE_REQUEST: handshake_request(),
        payloads.HANDSHAKE_COMPLETE: handshake_complete(),
        payloads.OUTPUT: b"",
    }
    errors = 0
    for phase in Phase:
        for step in sorted(STEPS | {payloads.OUTPUT, payloads.STDERR, payloads.EXIT_CODE}):
            assert ((phase, step) in TRANSITIONS) + ((phase, step) in IGNORED) < 2
            handshake = ClientHandshake({"Port"})
            handshake.phase = phase
            if (phase, step) in IGNORED:
                assert handshake.step(step, b"anything") == Reply()
                assert handshake.phase is phase
            elif (phase, step) in TRANSITIONS:
                if step in contents:
                    handshake.step(step, contents[step])
                    assert handshake.phase is TRANSITIONS[phase, step]
            else:
                errors += 1
                with pytest.raises(HandshakeError, match=phase.value):
                    handshake.step(step, b"anything")
                assert handshake.phase is phase
    assert errors > 5


def test_without_a_handshake_the_first_output_opens_a_shell():
    handshake = ClientHandshake({"Standard_Stream"})
    reply = handshake.step(payloads.OUTPUT, b"")
    assert reply == Reply(events=(Started("", {}, "", "", False),))
    assert handshake.phase is Phase.OPEN


def test_a_known_session_type_is_answered_with_success():
    handshake, reply = requested(properties={"portNumber": "80"})
    assert response_in(reply) == payloads.HandshakeResponse(
        PROTOCOL_VERSION, (payloads.ProcessedAction("SessionType", payloads.SUCCESS),)
    )
    assert handshake.phase is Phase.NEGOTIATING
    assert complete(handshake, "Welcome").events == (
        Started("Port", {"portNumber": "80"}, "3.3.0.0", "Welcome", False),
    )
    assert handshake.phase is Phase.OPEN


@pytest.mark.parametrize("properties", [None, "text", ["list"], 7])
def test_properties_that_are_no_object_are_empty(properties):
    handshake, _ = requested(properties=properties)
    assert complete(handshake).events[0].properties == {}


def test_an_unknown_session_type_is_answered_with_failed():
    handshake, reply = requested(session_type="Dance")
    response = response_in(reply)
    assert [action.status for action in response.actions] == [payloads.FAILED]
    assert "Dance" in response.actions[0].error
    assert response.errors == (response.actions[0].error,)


def test_an_agent_that_goes_on_with_an_unknown_session_type_breaks_the_protocol():
    handshake, _ = requested(session_type="Dance")
    with pytest.raises(HandshakeError, match="Dance"):
        complete(handshake)
    assert handshake.phase is Phase.NEGOTIATING


def test_an_unknown_action_is_answered_with_unsupported():
    _, reply = requested(payloads.RequestedAction("Dance", {}))
    response = response_in(reply)
    assert [action.status for action in response.actions] == [
        payloads.SUCCESS,
        payloads.UNSUPPORTED,
    ]
    assert response.errors == ("Unsupported action",)


def test_a_request_that_cannot_be_read_leaves_the_handshake_as_it_was():
    handshake = ClientHandshake({"Port"})
    with pytest.raises(MessageError):
        handshake.step(payloads.HANDSHAKE_REQUEST, b"{")
    assert handshake.phase is Phase.WAITING
    assert response_in(handshake.step(payloads.HANDSHAKE_REQUEST, handshake_request()))


# --- Encryption


@pytest.mark.parametrize("action, word", [(KMS, ""), (KMS_CHALLENGE, "word")])
def test_encryption_asks_its_owner_for_a_key_before_it_answers(action, word):
    _, reply = requested(action)
    assert reply == Reply(events=(KeyRequested("arn:key", word),))


@needs_aes_gcm
@pytest.mark.parametrize("action, acknowledged", [(KMS, False), (KMS_CHALLENGE, True)])
def test_the_answer_carries_the_sealed_key_and_whether_the_challenge_went_in(
    action, acknowledged
):
    handshake, _ = requested(action)
    reply = handshake.provide_key(KEY, "c2VhbGVk")
    response = response_in(reply)
    assert {action.action_type: action.status for action in response.actions} == {
        "SessionType": payloads.SUCCESS,
        "KMSEncryption": payloads.SUCCESS,
    }
    assert response.actions[-1].result == {
        "KMSCipherTextKey": "c2VhbGVk",
        "KMSCipherTextHash": None,
        "ChallengeAcknowledgement": acknowledged,
    }
    assert json.loads(reply.messages[0][1].decode("utf-8"))["Errors"] is None


@needs_aes_gcm
def test_the_encryption_challenge_is_opened_and_sealed_again():
    handshake, _ = requested(KMS)
    handshake.provide_key(KEY, "c2VhbGVk")
    agent = Cipher(KEY, Role.AGENT)
    reply = handshake.step(payloads.ENCRYPTION_CHALLENGE_REQUEST, challenge(agent))
    ((payload_type, payload),) = reply.messages
    assert payload_type == payloads.ENCRYPTION_CHALLENGE_RESPONSE
    assert agent.open(base64.b64decode(payloads.parse_challenge(payload))) == b"secret"
    assert handshake.phase is Phase.NEGOTIATING
    assert complete(handshake).events[0].encrypted


@needs_aes_gcm
@pytest.mark.parametrize(
    "payload",
    [
        payloads.build_challenge("not base64!"),
        payloads.build_challenge("AAAA"),
        payloads.build_challenge(base64.b64encode(b"x" * 64).decode("ascii")),
        b'{"Challenge":"\\u00e9"}',
    ],
)
def test_a_challenge_that_does_not_open_ends_it(payload):
    handshake, _ = requested(KMS)
    handshake.provide_key(KEY, "c2VhbGVk")
    with pytest.raises(EncryptionError):
        handshake.step(payloads.ENCRYPTION_CHALLENGE_REQUEST, payload)


@needs_aes_gcm
def test_a_challenge_under_another_key_does_not_open():
    handshake, _ = requested(KMS)
    handshake.provide_key(KEY, "c2VhbGVk")
    stranger = Cipher(KEY[::-1], Role.AGENT)
    with pytest.raises(EncryptionError):
        handshake.step(payloads.ENCRYPTION_CHALLENGE_REQUEST, challenge(stranger))


def test_a_challenge_before_any_key_ends_it():
    handshake, _ = requested()
    with pytest.raises(EncryptionError, match="before any key"):
        handshake.step(payloads.ENCRYPTION_CHALLENGE_REQUEST, payloads.build_challenge("AAAA"))


def test_a_key_that_is_not_to_be_had_is_answered_with_failed():
    handshake, _ = requested(KMS)
    response = response_in(handshake.refuse_key("AccessDenied"))
    assert [action.status for action in response.actions] == [payloads.SUCCESS, payloads.FAILED]
    assert response.errors == ("AccessDenied",)


@pytest.mark.parametrize("refused", [True, False])
def test_an_agent_may_not_go_on_without_the_encryption_that_it_asked_for(refused):
    handshake, _ = requested(KMS)
    if refused:
        handshake.refuse_key("AccessDenied")
    with pytest.raises(HandshakeError, match="encryption"):
        complete(handshake)
    assert handshake.phase is Phase.NEGOTIATING


# --- What AWS's own agent sent


def answers_to(frames, supported, key=None):
    """What the core tells of these messages, and the payloads of its answers by their types."""
    core = ChannelProtocol(Role.CLIENT, {supported})
    core.connection_made(0.0)
    told, sent = [], {}
    for frame in frames:
        core.receive([frame], 0.0)
        events = core.events()
        if any(type(event) is KeyRequested for event in events):
            core.provide_key(base64.b64decode(key["data_key"]), key["sealed_key"], 0.0)
        for message in map(wire.parse, core.data_to_send()):
            if message.message_type == "input_stream_data":
                sent[message.payload_type] = json.loads(bytes(message.payload).decode("ascii"))
        told += events
    return told, sent


@needs_aes_gcm
def test_an_encrypted_command_of_the_aws_agent_is_read_as_it_was_meant():
    known, frames = agent_session("encrypted command")
    told, sent = answers_to(frames, "NonInteractiveCommands", known)
    asked, started, out, err, code, end = told
    key_id = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    assert asked == KeyRequested(key_id, "dk/pJFRLUsFHMhtpB+JLug==")
    notice = "This session is encrypted using AWS KMS."
    assert started == Started("NonInteractiveCommands", {}, "3.3.0.0", notice, True)
    assert (out, err) == (Output(payloads.OUTPUT, b"out\n"), Output(payloads.STDERR, b"err\n"))
    assert code == Output(payloads.EXIT_CODE, b"EXIT_CODE: 3")
    assert type(end) is Terminating

    assert sorted(sent) == [6, 9]
    assert sent[6]["ProcessedClientActions"] == [
        {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""},
        {
            "ActionType": "KMSEncryption",
            "ActionStatus": 1,
            "ActionResult": {
                "KMSCipherTextKey": known["sealed_key"],
                "KMSCipherTextHash": None,
                "ChallengeAcknowledgement": True,
            },
            "Error": "",
        },
    ]
    agent = Cipher(base64.b64decode(known["data_key"]), Role.AGENT)
    ours, theirs = sent[9]["Challenge"], known["client_challenge"]
    assert agent.open(base64.b64decode(ours)) == agent.open(base64.b64decode(theirs))


def test_a_port_that_the_aws_agent_could_not_reach_is_read_as_it_was_meant():
    _, frames = agent_session("refused port")
    told, sent = answers_to(frames, "Port")
    started, flag, fin = told
    place = {"localPortNumber": "18181", "portNumber": "18099", "type": "LocalPortForwarding"}
    assert started == Started("Port", place, "3.3.0.0", "", False)
    assert flag.payload_type == payloads.FLAG
    assert payloads.parse_flag(flag.data) == payloads.CONNECT_TO_PORT_ERROR
    assert fin == Output(payloads.OUTPUT, b"\x01\x01\0\0\x03\0\0\0")
    assert sorted(sent) == [6]
