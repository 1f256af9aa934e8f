"""Streams and their connections, over a channel that only remembers what it was given."""

import socket
import threading

import pytest

from ssm_plugin.channel.mux import MuxSession, StreamClosed, StreamData, StreamOpened
from ssm_plugin.channel.protocol import MAXIMUM_PAYLOAD
from ssm_plugin.errors import RemoteError, SessionLost
from ssm_plugin.plugins.mux_streams import MuxStreams
from ssm_plugin.transport.data_channel import PIECE
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from ssm_plugin.wire.smux import FIN, NOP, PSH, SYN, encode_frame

from .port_helpers import random_bytes


class RecordingChannel:
    portion = PIECE

    """``messages`` as the real one would cut them."""

    def __init__(self):
        self.messages = []

    def send_input_data(self, data):
        for start in range(0, len(data), MAXIMUM_PAYLOAD):
            self.messages.append(data[start:start + MAXIMUM_PAYLOAD])

    def send_control(self, payload_type, payload):
        assert payload_type == payloads.OUTPUT and len(payload) <= MAXIMUM_PAYLOAD
        self.messages.append(payload)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def channel():
    return RecordingChannel()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def streams(channel, clock):
    return MuxStreams(channel, Role.CLIENT, False, clock)


@pytest.fixture
def sock():
    near, far = socket.socketpair()
    with near, far:
        yield near


def test_a_connection_is_a_stream_from_its_beginning_to_its_end(streams, channel, sock):
    connection = streams.opened(sock)
    assert (connection.stream_id, streams.connections()) == (3, [connection])
    streams.send(connection, b"data")
    streams.closed(connection)
    streams.closed(connection)
    assert channel.messages == [
        encode_frame(SYN, 3), encode_frame(PSH, 3, b"data"), encode_frame(FIN, 3)
    ]
    assert streams.connections() == []


@pytest.mark.parametrize("size", [1, 1015, 1016, 1017, 5000, 65024])
def test_no_frame_crosses_the_border_of_a_message(streams, channel, sock, size):
    connection = streams.opened(sock)
    data = random_bytes(size)
    streams.send(connection, data)
    assert streams.piece // 1016 * 1024 <= PIECE
    reader = MuxSession(Role.AGENT, False, 0)
    found = []
    for message in channel.messages:
        found += reader.receive(message, 0)
        assert not reader._splitter._missing and not reader._splitter._header
    assert found[0] == StreamOpened(3)
    assert b"".join(event.data for event in found[1:]) == data


def test_two_threads_may_send_between_each_others_messages(streams, channel, sock):
    connection = streams.opened(sock)
    others = [streams.opened(sock) for _ in range(300)]
    data = random_bytes(streams.piece)
    sender = threading.Thread(
        target=lambda: [streams.send(connection, data) for _ in range(20)]
    )
    sender.start()
    for other in others:
        streams.receive(encode_frame(FIN, other.stream_id))
    sender.join()
    reader = MuxSession(Role.AGENT, False, 0)
    events = [event for message in channel.messages for event in reader.receive(message, 0)]
    came = b"".join(event.data for event in events if isinstance(event, StreamData))
    assert came == data * 20
    assert sum(isinstance(event, StreamClosed) for event in events) == 300


def test_many_frames_without_data_make_whole_messages(streams, channel, sock):
    connections = [streams.opened(sock) for _ in range(300)]
    del channel.messages[:]
    frames = b"".join(encode_frame(FIN, one.stream_id) for one in connections)
    received = streams.receive(frames)
    assert received.ended == connections and streams.connections() == []
    assert [len(message) for message in channel.messages] == [1024, 1024, 352]


def test_what_came_goes_to_its_connections(streams, sock):
    one, other = streams.opened(sock), streams.opened(sock)
    received = streams.receive(
        encode_frame(PSH, 3, b"a") + encode_frame(PSH, 5, b"b") + encode_frame(FIN, 3)
        + encode_frame(PSH, 3, b"after the end") + encode_frame(PSH, 99, b"for nobody")
    )
    assert received.data == [(one, b"a"), (other, b"b")]
    assert (received.opened, received.ended) == ([], [one])


def test_data_for_a_stream_that_the_node_has_ended_goes_nowhere(streams, channel, sock):
    connection = streams.opened(sock)
    streams.receive(encode_frame(FIN, 3))
    sent = len(channel.messages)
    streams.send(connection, b"too late")
    assert len(channel.messages) == sent


def test_what_is_no_smux_is_an_error(streams):
    with pytest.raises(RemoteError):
        streams.receive(b"HTTP/1.1 200 OK\r\n")


def test_keep_alives_are_sent_in_time_and_miss_a_silent_node(channel, clock):
    streams = MuxStreams(channel, Role.CLIENT, True, clock)
    assert streams.next_timer() == 10
    clock.now += 10
    assert streams.next_timer() == 0
    streams.on_timer()
    assert channel.messages == [encode_frame(NOP, 0)]
    with pytest.raises(SessionLost, match="silent"):
        for _ in range(3):
            clock.now += 10
            streams.on_timer()


def test_newer_agents_need_no_keep_alives(streams):
    assert streams.next_timer() is None


def test_the_node_makes_connections_of_streams(channel, clock):
    streams = MuxStreams(channel, Role.AGENT, False, clock)
    received = streams.receive(encode_frame(SYN, 3) + encode_frame(PSH, 3, b"x"))
    (connection,) = received.opened
    assert (connection.sock, connection.stream_id) == (None, 3)
    assert received.data == [(connection, b"x")]
