"""What fuzzing and reading have found, kept as it was found; no generator is needed for these."""

import json
import socket
import time

import pytest

from ssm_plugin import config
from ssm_plugin.aws import metadata, process
from ssm_plugin.aws.metadata import document
from ssm_plugin.aws.service_errors import Operation, service_error
from ssm_plugin.channel.events import Output
from ssm_plugin.channel.handshake import ClientHandshake
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.commands import dropin
from ssm_plugin.errors import (
    ConfigurationError,
    CredentialsError,
    HandshakeError,
    MessageError,
    NetworkError,
    UsageError,
)
from ssm_plugin.net.address import Address
from ssm_plugin.net.exchange import Response, exchange
from ssm_plugin.net.timing import Deadline
from ssm_plugin.wire import message, payloads
from ssm_plugin.wire.message import Role

DEEP = '{"a":' * 20000 + "1" + "}" * 20000


def test_a_payload_nested_too_deep_is_refused():
    with pytest.raises(MessageError):
        payloads.parse_channel_closed(DEEP.encode("ascii")[:60000])


def test_a_response_nested_too_deep_is_refused():
    with pytest.raises(UsageError):
        dropin.parse([DEEP, "eu-west-1", "StartSession"], {})


def test_a_refusal_nested_too_deep_is_still_a_refusal():
    response = Response(400, {}, DEEP.encode("ascii"))
    operation = Operation("ssm:ResumeSession", "s-1")
    assert service_error(operation, response, time.time()).code == "HTTP400"


@pytest.mark.parametrize("size", [b"-5", b"+5", b"0x5", b"1_0", b"", b" 5", b"f" * 17])
def test_an_answer_with_a_malformed_chunk_is_refused(size):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\nxxxxx\r\n0\r\n\r\n"
    with pytest.raises(NetworkError, match="does not answer in HTTP"):
        asked(answer % size)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: -1",
        b"Content-Length: 1_0",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip, chunked",
        b"no colon",
        b" folded: x",
    ],
)
def test_an_answer_of_no_certain_length_is_refused(head):
    with pytest.raises(NetworkError, match="does not answer in HTTP"):
        asked(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nxxxxx")


def asked(answer):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        address = Address("http", "h", 80)
        return exchange(ours, "POST", "/", address, {}, b"", Deadline(5, "it"), 4096)


def test_messages_far_ahead_of_their_turn_are_not_kept():
    protocol = ChannelProtocol(Role.CLIENT, ("Port",))
    protocol.connection_made(0.0)
    far = [
        message.build(message.OUTPUT_STREAM_DATA, number, 0, 1, 2, payloads.OUTPUT, b"x", 1)
        for number in (10**6, 2**62, -1, -(2**62))
    ]
    protocol.receive(far, 0.0)
    assert not any(isinstance(event, Output) for event in protocol.events())


def test_large_messages_ahead_of_their_turn_wait_at_the_sender():
    """Ten thousand may be kept ahead of their turn, which has to be little in all."""
    protocol = ChannelProtocol(Role.CLIENT, ("Port",))
    protocol.connection_made(0.0)
    body = b"x" * 100000
    first, second = [
        message.build(message.OUTPUT_STREAM_DATA, number, 0, 1, 2, payloads.OUTPUT, body, 1)
        for number in range(2)
    ]
    protocol.receive([second], 0.0)
    assert protocol.data_to_send() == []
    protocol.receive([first, second], 1.0)
    assert len(protocol.data_to_send()) == 2
    outputs = [event for event in protocol.events() if isinstance(event, Output)]
    assert b"".join(event.data for event in outputs) == 2 * body


NESTED = '{"Code": %s, "Expiration": %s, "AccessKeyId": "AKIA", "SecretAccessKey": "s"}'
NEARLY_DEEP = "[" * 900 + "]" * 900  # read well, and then too deep to be shown


@pytest.mark.parametrize("body", [DEEP, NESTED % (NEARLY_DEEP, "1"), "[" * 30000])
def test_credentials_nested_too_deep_are_refused(body):
    with pytest.raises(CredentialsError):
        metadata._keys(document(Response(200, {}, body.encode("ascii")), "it"))


def test_an_expiration_of_a_wrong_type_is_refused():
    body = NESTED % ('"Success"', NEARLY_DEEP)
    with pytest.raises(CredentialsError, match="expiration time"):
        metadata._keys(document(Response(200, {}, body.encode("ascii")), "it"))


def test_a_credential_process_that_prints_deep_json_is_refused():
    with pytest.raises(CredentialsError, match="did not print one JSON object"):
        process._read(DEEP.encode("ascii"), "it")


@pytest.mark.parametrize("name", ["DocumentName", "Target"])
@pytest.mark.parametrize("value", [["x"], {"x": 1}, 5, True])
def test_a_request_of_wrong_types_is_refused(name, value):
    arguments = ["{}", "eu-west-1", "StartSession", "", json.dumps({name: value})]
    with pytest.raises(UsageError, match=name + " in the request is not text"):
        dropin.session_arguments(dropin.parse(arguments, {}))


@pytest.mark.parametrize("name", ["SessionType", "KMSKeyId", "Challenge"])
def test_an_action_of_wrong_types_fails_the_handshake(name):
    kind = "SessionType" if name == "SessionType" else "KMSEncryption"
    action = '{"ActionType": "%s", "ActionParameters": {"%s": %s}}' % (kind, name, NEARLY_DEEP)
    request = '{"RequestedClientActions": [%s]}' % action
    with pytest.raises(HandshakeError, match="no text as " + name):
        ClientHandshake(("Port",)).step(payloads.HANDSHAKE_REQUEST, request.encode("ascii"))


def test_errors_that_are_no_text_are_no_handshake_response():
    with pytest.raises(MessageError):
        payloads.parse_handshake_response(('{"Errors": [%s]}' % NEARLY_DEEP).encode("ascii"))


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_a_configuration_nested_too_deep_is_refused_at_once(tmp_path, opening):
    """PyYAML alone takes time by the square of the depth: some seconds for these."""
    path = tmp_path / "config.yaml"
    path.write_bytes(opening * 20000)
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"config\.yaml:1: nested too deep"):
        config.load(str(path), {})
    assert time.process_time() - began < 0.5
