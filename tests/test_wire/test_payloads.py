import json
import random
import uuid

import pytest

from ssm_plugin.errors import MessageError
from ssm_plugin.wire import payloads
from tests.support.vectors import payloads_of, text_frames

PARSERS = [
    payloads.acknowledged_sequence,
    payloads.parse_channel_closed,
    payloads.parse_handshake_request,
    payloads.parse_handshake_response,
    payloads.parse_handshake_complete,
    payloads.parse_challenge,
    payloads.parse_size,
    payloads.parse_flag,
    payloads.parse_exit_code,
]

JSON_PARSERS = PARSERS[:-2]

REQUEST = (
    b'{"AgentVersion":"3.3.0.0","RequestedClientActions":['
    b'{"ActionType":"KMSEncryption","ActionParameters":'
    b'{"KMSKeyId":"arn:aws:kms:key","Challenge":"word"}},'
    b'{"ActionType":"SessionType","ActionParameters":'
    b'{"SessionType":"Port","Properties":{"portNumber":"80"}}}]}'
)


def from_aws(payload_type, **options):
    found = payloads_of(payload_type, **options)
    assert found
    return found


# --- AWS's own client's payloads, both ways


def test_the_open_message_is_what_the_aws_client_sent():
    assert len(text_frames()) >= 2
    for text in text_frames():
        fields = json.loads(text)
        ours = payloads.open_message(
            fields["RequestId"], fields["TokenValue"], fields["ClientId"], fields["ClientVersion"]
        )
        assert ours == text


def test_acknowledgements_are_what_the_aws_client_sent():
    for payload in from_aws(0, message_type="acknowledge"):
        fields = json.loads(payload)
        sequence = fields["AcknowledgedMessageSequenceNumber"]
        assert payloads.acknowledged_sequence(payload) == sequence
        halves = divmod(uuid.UUID(fields["AcknowledgedMessageId"]).int, 1 << 64)
        built = payloads.build_acknowledgement("output_stream_data", *halves, sequence)
        assert built == payload


def test_handshake_responses_are_what_the_aws_client_sent():
    for payload in from_aws(payloads.HANDSHAKE_RESPONSE):
        response = payloads.parse_handshake_response(payload)
        assert response == payloads.HandshakeResponse(
            "1.2.677.0", (payloads.ProcessedAction("SessionType", payloads.SUCCESS),)
        )
        assert payloads.build_handshake_response(response) == payload


def test_sizes_are_what_the_aws_client_sent():
    for payload in from_aws(payloads.SIZE):
        assert payloads.parse_size(payload) == (300, 100)
        assert payloads.build_size(300, 100) == payload


def test_flags_are_what_the_aws_client_sent():
    sent = from_aws(payloads.FLAG)
    assert [payloads.parse_flag(payload) for payload in sent] == [
        payloads.DISCONNECT_TO_PORT,
        payloads.TERMINATE_SESSION,
    ]
    assert [payloads.build_flag(flag) for flag in (1, 2)] == sent


# --- Each kind


def test_an_acknowledgement_in_another_form_is_read_all_the_same():
    usual = payloads.build_acknowledgement("input_stream_data", 1, 2, 12)
    fields = json.loads(usual.decode("ascii"))
    for text in (
        json.dumps(fields),
        json.dumps(fields, indent=2),
        json.dumps(dict(sorted(fields.items(), reverse=True))),
        json.dumps(dict(fields, Unknown=[1])),
        json.dumps(fields, sort_keys=True, separators=(",", ":")),
    ):
        assert payloads.acknowledged_sequence(text.encode("ascii")) == 12
        assert payloads.acknowledged_sequence(memoryview(text.encode("ascii"))) == 12


ID = '"AcknowledgedMessageId":"00000000-0000-0001-0000-000000000002",'
NUMBER = '"AcknowledgedMessageSequenceNumber":%d,'


def test_an_acknowledgement_that_says_something_twice_means_what_json_does():
    for twice in (ID + NUMBER % 3 + NUMBER % 4, NUMBER % 3 + NUMBER % 4 + ID):
        text = '{%s"IsSequentialMessage":true}' % twice
        assert payloads.acknowledged_sequence(text.encode("ascii")) == 4


def test_an_acknowledgement_without_a_number_is_refused():
    text = '{%s"IsSequentialMessage":true}' % (3 * ID)
    with pytest.raises(MessageError):
        payloads.acknowledged_sequence(text.encode("ascii"))


def test_an_acknowledgement_may_name_no_id():
    assert payloads.acknowledged_sequence(b'{"AcknowledgedMessageSequenceNumber":3}') == 3


def test_a_handshake_request_is_read():
    assert payloads.parse_handshake_request(REQUEST) == payloads.HandshakeRequest(
        "3.3.0.0",
        (
            payloads.RequestedAction(
                "KMSEncryption", {"KMSKeyId": "arn:aws:kms:key", "Challenge": "word"}
            ),
            payloads.RequestedAction(
                "SessionType", {"SessionType": "Port", "Properties": {"portNumber": "80"}}
            ),
        ),
    )


def test_a_handshake_request_survives_the_way_there_and_back():
    request = payloads.parse_handshake_request(REQUEST)
    assert payloads.parse_handshake_request(payloads.build_handshake_request(request)) == request


def test_what_a_handshake_request_leaves_out_is_empty():
    empty = payloads.HandshakeRequest("", ())
    assert payloads.parse_handshake_request(b"{}") == empty
    assert payloads.parse_handshake_request(
        b'{"AgentVersion":null,"RequestedClientActions":null}'
    ) == empty
    bare = payloads.parse_handshake_request(b'{"RequestedClientActions":[{"ActionType":"X"}]}')
    assert bare.actions == (payloads.RequestedAction("X", {}),)


def test_a_handshake_response_carries_results_and_errors():
    response = payloads.HandshakeResponse(
        "1.2.3.4",
        (
            payloads.ProcessedAction("KMSEncryption", payloads.FAILED, None, "no key"),
            payloads.ProcessedAction("Other", payloads.UNSUPPORTED, {"a": 1}),
        ),
        ("no key",),
    )
    payload = payloads.build_handshake_response(response)
    assert payloads.parse_handshake_response(payload) == response
    fields = json.loads(payload.decode("utf-8"))
    assert [action["ActionStatus"] for action in fields["ProcessedClientActions"]] == [2, 3]
    assert fields["Errors"] == ["no key"]


def test_a_handshake_complete_carries_a_message():
    complete = payloads.HandshakeComplete(123456789, "Caf\u00e9 \u2603")
    payload = payloads.build_handshake_complete(complete)
    assert payloads.parse_handshake_complete(payload) == complete
    assert payloads.parse_handshake_complete(b"{}") == payloads.HandshakeComplete(0, "")


def test_a_challenge_is_text_both_ways():
    assert payloads.build_challenge("AAEC") == b'{"Challenge":"AAEC"}'
    assert payloads.parse_challenge(b' {"Challenge": "AAEC"} ') == "AAEC"


def test_a_channel_closed_gives_its_reason():
    payload = payloads.build_channel_closed("s-1", "id", 17, "dest", "Timed out")
    assert payloads.parse_channel_closed(payload) == "Timed out"
    assert json.loads(payload.decode("utf-8")) == {
        "MessageId": "id",
        "CreatedDate": "17",
        "DestinationId": "dest",
        "SessionId": "s-1",
        "MessageType": "channel_closed",
        "SchemaVersion": 1,
        "Output": "Timed out",
    }
    assert payloads.parse_channel_closed(b"{}") == ""


@pytest.mark.parametrize("status", [0, 1, 127, 255, -1])
def test_an_exit_code_goes_both_ways(status):
    payload = payloads.build_exit_code(status)
    assert payload == b"EXIT_CODE: " + str(status).encode("ascii")
    assert payloads.parse_exit_code(payload) == status
    assert payloads.parse_exit_code(memoryview(b" " + payload + b"\n")) == status


def test_the_session_state_is_what_the_agent_tells_the_service():
    assert json.loads(payloads.build_session_state("s-1", "Terminating").decode("utf-8")) == {
        "SchemaVersion": 1,
        "SessionState": "Terminating",
        "SessionId": "s-1",
    }


# --- What is wrong


@pytest.mark.parametrize("parser", JSON_PARSERS)
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"a":1}}',
        b"[" * 60000,
        b'{"a":' * 12000,
    ],
    ids=lambda payload: repr(payload[:8]),
)
def test_what_is_not_a_json_object_is_a_message_error(parser, payload):
    with pytest.raises(MessageError, match="^a payload is not"):
        parser(payload)


@pytest.mark.parametrize("parser", JSON_PARSERS)
def test_json_that_is_much_too_long_is_not_even_read(parser):
    with pytest.raises(MessageError, match="too long"):
        parser(b'{"AcknowledgedMessageSequenceNumber":' + b"1" * 1000000 + b"}")


@pytest.mark.parametrize(
    "parser, payload",
    [
        (payloads.acknowledged_sequence, b"{}"),
        (payloads.acknowledged_sequence, b'{"AcknowledgedMessageSequenceNumber":"1"}'),
        (payloads.acknowledged_sequence, b'{"AcknowledgedMessageSequenceNumber":1.5}'),
        (payloads.acknowledged_sequence, b'{"AcknowledgedMessageSequenceNumber":true}'),
        (payloads.parse_channel_closed, b'{"Output":[]}'),
        (payloads.parse_handshake_request, b'{"RequestedClientActions":{}}'),
        (payloads.parse_handshake_request, b'{"RequestedClientActions":[1]}'),
        (payloads.parse_handshake_request, b'{"RequestedClientActions":[{}]}'),
        (
            payloads.parse_handshake_request,
            b'{"RequestedClientActions":[{"ActionType":"X","ActionParameters":"y"}]}',
        ),
        (payloads.parse_handshake_request, b'{"AgentVersion":3}'),
        (payloads.parse_handshake_response, b'{"ProcessedClientActions":["x"]}'),
        (payloads.parse_handshake_response, b'{"ProcessedClientActions":[{"ActionType":"X"}]}'),
        (payloads.parse_handshake_response, b'{"Errors":"x"}'),
        (payloads.parse_handshake_response, b'{"Errors":[1]}'),
        (payloads.parse_handshake_complete, b'{"HandshakeTimeToComplete":"x"}'),
        (payloads.parse_handshake_complete, b'{"CustomerMessage":{}}'),
        (payloads.parse_challenge, b"{}"),
        (payloads.parse_challenge, b'{"Challenge":null}'),
        (payloads.parse_size, b'{"cols":80}'),
        (payloads.parse_size, b'{"cols":80,"rows":"24"}'),
        (payloads.parse_flag, b""),
        (payloads.parse_flag, b"\0\0\0\0\1"),
        (payloads.parse_exit_code, b"EXIT_CODE:"),
        (payloads.parse_exit_code, b"EXIT_CODE: 1 2"),
        (payloads.parse_exit_code, b"EXIT_CODE: " + b"1" * 11),
        (payloads.parse_exit_code, b"3"),
    ],
)
def test_a_field_of_the_wrong_kind_is_a_message_error(parser, payload):
    with pytest.raises(MessageError):
        parser(payload)


def mutated(source, samples):
    payload = bytearray(source.choice(samples))
    for _ in range(source.randrange(1, 5)):
        payload[source.randrange(len(payload))] = source.choice(b'{}[]",:0123456789 \\ntf\xff\0')
    return bytes(payload)


def test_no_parser_raises_anything_but_message_errors():
    source = random.Random(2)
    samples = [
        REQUEST,
        payloads.build_acknowledgement("input_stream_data", 1, 2, 12),
        payloads.build_channel_closed("s-1", "id", 17, "dest", "Timed out"),
        payloads.build_handshake_complete(payloads.HandshakeComplete(1, "x")),
        payloads.build_size(80, 24),
        payloads.build_flag(2),
        payloads.build_exit_code(1),
    ] + from_aws(payloads.HANDSHAKE_RESPONSE)
    outcomes = {True: 0, False: 0}
    for _ in range(2000):
        payload = mutated(source, samples)
        for parser in PARSERS:
            try:
                parser(payload)
                outcomes[True] += 1
            except MessageError:
                outcomes[False] += 1
    assert min(outcomes.values()) > 500
