"""What fuzzing and reading have found, kept as it was found; no generator is needed for these."""

import socket
from datetime import datetime, timezone

import pytest

from ssm_plugin.aws.service_errors import Operation, service_error
from ssm_plugin.channel.events import Output
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.channel.role import Role
from ssm_plugin.commands import dropin
from ssm_plugin.errors import MessageError, NetworkError, UsageError
from ssm_plugin.net.address import Address
from ssm_plugin.net.deadline import Deadline
from ssm_plugin.net.exchange import Response, exchange
from ssm_plugin.wire import message, payloads

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
    assert service_error(operation, response, datetime.now(timezone.utc)).code == "HTTP400"


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
