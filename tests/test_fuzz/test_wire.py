"""Whatever comes from the wire: it is read, or it is one of our errors that says what is wrong."""

import socket
import threading

import pytest
import websocket

pytest.importorskip("hypothesis")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ssm_plugin.channel.cipher import Cipher  # noqa: E402
from ssm_plugin.channel.events import KeyRequested  # noqa: E402
from ssm_plugin.channel.protocol import ChannelProtocol  # noqa: E402
from ssm_plugin.errors import ConnectionLost, RemoteError  # noqa: E402
from ssm_plugin.loopback.stream import Stream as ServerStream  # noqa: E402
from ssm_plugin.loopback.websocket_server import ServerWebSocket  # noqa: E402
from ssm_plugin.transport.buffered_socket import BufferedSocket  # noqa: E402
from ssm_plugin.transport.frames import cut_messages, is_unfinished  # noqa: E402
from ssm_plugin.transport.websocket import WebSocketConnection  # noqa: E402
from ssm_plugin.wire import message, payloads  # noqa: E402
from ssm_plugin.wire.message import Role  # noqa: E402
from tests.test_fuzz.strategies import FRAMES, QUICK, WEBSOCKET, built  # noqa: E402

TYPES = ("Port", "Standard_Stream", "InteractiveCommands", "NonInteractiveCommands")


def key_for(protocol, now):
    """Answer what asks for a key, as a session would."""
    for event in protocol.events():
        if isinstance(event, KeyRequested) and not protocol.ended:
            protocol.provide_key(bytes(range(64)), "sealed", now)


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name)
def test_the_core_survives_any_messages(role):
    @QUICK
    @given(st.lists(st.lists(FRAMES, max_size=4), max_size=6))
    @example([[built(message.OUTPUT_STREAM_DATA, 0, payloads.HANDSHAKE_COMPLETE, b"{}")]])
    @example([[built(message.OUTPUT_STREAM_DATA, 0, payloads.ENCRYPTION_CHALLENGE_REQUEST, b"{}")]])
    def check(batches):
        protocol = ChannelProtocol(role, TYPES)
        protocol.connection_made(0.0)
        for now, frames in enumerate(batches):
            protocol.receive(frames, float(now))
            key_for(protocol, float(now))
            protocol.on_timer(now + 0.5)
            for sent in protocol.data_to_send():
                assert message.parse(sent).message_type in message.PADDED
        assert protocol.unacknowledged <= 4 * len(batches) + 1

    check()


@QUICK
@given(st.binary(max_size=100))
def test_a_sealed_payload_opens_or_is_refused(sealed):
    pytest.importorskip("cryptography")
    with pytest.raises(RemoteError):
        Cipher(bytes(range(64)), Role.CLIENT).open(sealed)


@QUICK
@given(WEBSOCKET | st.binary(max_size=100))
def test_frames_are_cut_without_going_beyond_the_buffer(data):
    try:
        frames, stop = cut_messages(data, 0, False)
        is_unfinished(data, stop, False)
    except RemoteError:
        return
    assert 0 <= stop <= len(data)
    assert sum(map(len, frames)) <= stop


def opened(sock):
    """A client's connection over a socket, as after the upgrade."""
    library = websocket.WebSocket(fire_cont_frame=True, skip_utf8_validation=True)
    library.sock = BufferedSocket(sock)
    return WebSocketConnection(library.sock, library)


def closed_pair(data):
    """A socket that has ``data`` and then the end to be read; and the other one."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    ours.settimeout(5)
    return ours, theirs


@QUICK
@given(WEBSOCKET | st.binary(max_size=100))
@example(b"\x82\xff" + b"\x7f" * 8)
@example(b"\x88\x01x")
@example(b"\x89\x7e\x00\x80" + b"p" * 128)
def test_a_connection_gives_messages_and_then_ends(data):
    ours, theirs = closed_pair(data)
    with ours, theirs:
        connection = opened(ours)
        with pytest.raises((ConnectionLost, RemoteError)):
            while True:
                assert isinstance(connection.receive(), list)


@QUICK
@given(WEBSOCKET | st.binary(max_size=100))
def test_the_local_service_survives_any_client(data):
    ours, theirs = closed_pair(data)
    with ours, theirs:
        server = ServerWebSocket(ServerStream(ours))
        with pytest.raises((ConnectionLost, OSError)):
            while True:
                assert isinstance(server.receive(), list)


def test_a_connection_that_is_aborted_wakes_its_reader():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = opened(ours)
        ended = []

        def read():
            with pytest.raises(ConnectionLost):
                connection.receive()
            ended.append(True)

        thread = threading.Thread(target=read)
        thread.start()
        connection.abort()
        thread.join(5)
        assert ended
