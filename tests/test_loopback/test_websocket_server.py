import os
import socket
import struct
import threading

import pytest

from ssm_plugin.errors import ConnectionLost
from ssm_plugin.loopback.http import Request
from ssm_plugin.loopback.stream import Stream, open_stream
from ssm_plugin.loopback.websocket_server import ServerWebSocket, accept_upgrade
from ssm_plugin.transport.frames import MAXIMUM_MESSAGE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def masked(opcode, payload, final=True, mask=b"\x01\x02\x03\x04", reserved=0):
    """A frame as clients send it."""
    first = bytes(((0x80 if final else 0) | reserved | opcode,))
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65536:
        length = struct.pack(">BH", 0x80 | 126, size)
    else:
        length = struct.pack(">BQ", 0x80 | 127, size)
    key = (mask * (size // 4 + 1))[:size]
    covered = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return first + length + mask + covered.to_bytes(size, "big")


def plain(opcode, payload):
    """A frame as servers send it."""
    size = len(payload)
    length = bytes((size,)) if size < 126 else struct.pack(">BH", 126, size)
    return bytes((0x80 | opcode,)) + length + payload


def close_frame(code, reason=b""):
    return plain(CLOSE, struct.pack(">H", code) + reason)


@pytest.fixture
def pair():
    """A server's WebSocket and the client's raw socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        far = socket.create_connection(listener.getsockname(), timeout=10)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near = listener.accept()[0]
    yield ServerWebSocket(Stream(near)), far
    near.close()
    far.close()


def test_a_connection_that_cannot_be_told_to_send_at_once_is_served_all_the_same():
    """On macOS that is one which the peer has reset. Here a Unix socket refuses as well."""
    near, far = socket.socketpair()
    with near, far:
        open_stream(near, None).sendall(b"data")
        assert far.recv(10) == b"data"


def read(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, data
        data += more
    return data


def reading_thread(server):
    """A thread that receives until the end; ``join`` gives the error."""
    lost = []

    def run():
        try:
            while True:
                server.receive()
        except ConnectionLost as error:
            lost.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, lost


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 1144, 65535, 65536, MAXIMUM_MESSAGE])
def test_messages_of_any_size_arrive_unmasked(pair, size):
    server, client = pair
    payload = os.urandom(size)
    sender = threading.Thread(target=client.sendall, args=(masked(BINARY, payload),))
    sender.start()
    assert server.receive() == [payload]
    sender.join(10)


def test_all_messages_of_one_read_come_in_one_batch(pair):
    server, client = pair
    payloads = [b"%d" % n * n for n in range(40)]
    client.sendall(b"".join(masked(BINARY, one) for one in payloads))
    assert server.receive() == payloads


def test_a_frame_may_come_in_pieces(pair):
    server, client = pair
    data = masked(BINARY, b"x" * 200) + masked(BINARY, b"y" * 3)
    ready = threading.Event()

    def trickle():
        for n in range(len(data)):
            client.sendall(data[n:n + 1])
            ready.wait(0.0001)

    sender = threading.Thread(target=trickle)
    sender.start()
    received = []
    while len(received) < 2:
        received += server.receive()
    assert received == [b"x" * 200, b"y" * 3]
    sender.join(10)


def test_fragments_are_joined_and_control_frames_may_lie_between(pair):
    server, client = pair
    client.sendall(
        masked(BINARY, b"ab", final=False)
        + masked(PING, b"still there?")
        + masked(0, b"", final=False)
        + masked(0, b"cd")
        + masked(BINARY, b"next")
    )
    assert server.receive() + server.receive() == [b"abcd", b"next"]
    assert read(client, 14) == plain(PONG, b"still there?")


def test_bytes_that_came_with_the_upgrade_are_not_lost():
    near, far = socket.socketpair()
    with near, far:
        server = ServerWebSocket(Stream(near), masked(TEXT, b"open") + masked(BINARY, b"data"))
        assert server.receive_text(10) == "open"
        assert server.receive() == [b"data"]


def test_the_first_message_must_come_in_time(pair):
    server, client = pair
    client.sendall(masked(TEXT, b"half")[:-1])
    with pytest.raises(ConnectionLost, match="timed out"):
        server.receive_text(0.02)


@pytest.mark.parametrize("size", [0, 125, 126, 65535])
def test_messages_are_sent_as_one_frame_each(pair, size):
    server, client = pair
    payload = os.urandom(size)
    sender = threading.Thread(target=server.send, args=([payload, b"second"],))
    sender.start()
    expected = plain(BINARY, payload) + plain(BINARY, b"second")
    assert read(client, len(expected)) == expected
    sender.join(10)


def test_a_big_message_is_sent_with_a_long_length(pair):
    server, client = pair
    sender = threading.Thread(target=server.send, args=([bytes(70000)],))
    sender.start()
    assert read(client, 10) == struct.pack(">BBQ", 0x82, 127, 70000)
    assert read(client, 70000) == bytes(70000)
    sender.join(10)


def test_pings_go_both_ways(pair):
    server, client = pair
    server.ping(b"keepalive")
    assert read(client, 11) == plain(PING, b"keepalive")
    client.sendall(masked(PONG, b"keepalive") + masked(BINARY, b"data"))
    assert server.receive() == [b"data"]


def test_a_quiet_server_answers_no_ping(pair):
    server, client = pair
    server.stay_quiet(float("inf"))
    client.sendall(masked(PING, b"1") + masked(BINARY, b"data"))
    assert server.receive() == [b"data"]
    server.stay_quiet(0.0)
    client.sendall(masked(PING, b"2") + masked(BINARY, b"data"))
    assert server.receive() == [b"data"]
    assert read(client, 3) == plain(PONG, b"2")


def test_messages_before_the_close_frame_are_delivered_first(pair):
    server, client = pair
    client.sendall(
        masked(BINARY, b"last") + masked(CLOSE, struct.pack(">H", 1001) + b"going away")
    )
    assert server.receive() == [b"last"]
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="1001 going away"):
            server.receive()
    assert read(client, 4) == close_frame(1000)
    with pytest.raises(ConnectionLost):
        server.send([b"too late"])


def test_an_empty_close_frame_is_an_end_too(pair):
    server, client = pair
    client.sendall(masked(CLOSE, b""))
    with pytest.raises(ConnectionLost, match="closed"):
        server.receive()


def test_closing_ends_when_the_client_has_answered(pair):
    server, client = pair
    thread, lost = reading_thread(server)
    server.close(1000, "Bye")
    server.close(1001, "once is enough")
    server.ping(b"")
    assert read(client, 7) == close_frame(1000, b"Bye")
    client.sendall(masked(PING, b"no answer") + masked(CLOSE, struct.pack(">H", 1000)))
    thread.join(10)
    assert lost == ["the client closed the connection (1000)"]


@pytest.mark.parametrize(
    "frames, code",
    [
        (plain(BINARY, b"unmasked"), 1002),
        (masked(BINARY, b"", reserved=0x40), 1002),
        (masked(0, b"a continuation of nothing"), 1002),
        (masked(BINARY, b"", final=False) + masked(BINARY, b"new"), 1002),
        (masked(PING, b"", final=False), 1002),
        (masked(PING, b"x" * 126), 1002),
        (masked(3, b"unknown"), 1002),
        (masked(0xB, b"unknown"), 1002),
        (masked(BINARY, bytes(MAXIMUM_MESSAGE + 1))[:14], 1002),
        (masked(BINARY, b"", final=False) + masked(0, b"", final=False) * 20000, 1002),
    ],
    ids=range(10),
)
def test_a_client_that_breaks_the_protocol_is_told_so(pair, frames, code):
    server, client = pair
    sender = threading.Thread(target=client.sendall, args=(masked(BINARY, b"good") + frames,))
    sender.start()
    assert server.receive() == [b"good"]
    with pytest.raises(ConnectionLost, match="broke the protocol"):
        server.receive()
    sender.join(10)
    assert struct.unpack(">H", read(client, 4)[2:]) == (code,)


def test_a_binary_message_is_no_open_message(pair):
    server, client = pair
    client.sendall(masked(BINARY, b"data"))
    with pytest.raises(ConnectionLost):
        server.receive_text(10)


def test_a_client_that_vanishes_is_an_end(pair):
    server, client = pair
    client.close()
    with pytest.raises(ConnectionLost):
        server.receive()
    with pytest.raises(ConnectionLost):
        while True:  # the first is refused by the client's machine, the next ones by ours
            server.send([b"data"])
    with pytest.raises(ConnectionLost):
        server.ping()
    server.close()


def test_a_pong_does_not_wait_behind_a_send_that_nobody_reads(pair):
    server, client = pair
    big = bytes(16 * MAXIMUM_MESSAGE)  # more than the socket buffers hold
    sender = threading.Thread(target=server.send, args=([big],), daemon=True)
    sender.start()
    read(client, 1)
    client.sendall(masked(PING, b"?") + masked(BINARY, b"data"))
    assert server.receive() == [b"data"]
    read(client, len(big) + 9)
    assert read(client, 3) == plain(PONG, b"?")
    sender.join(10)


def test_an_abort_resets_the_connection_at_once_while_nobody_reads(pair):
    server, client = pair
    server.abort()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionLost, match="was cut"):
        server.receive()


def test_an_abort_resets_the_connection_when_the_reader_has_closed_it(pair):
    server, client = pair
    thread, lost = reading_thread(server)
    client.sendall(masked(PING, b""))
    read(client, 2)
    server.abort()
    thread.join(10)
    server._stream.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert lost == ["the connection was cut"]


def test_an_abort_wakes_a_blocked_send_and_a_blocked_receive(pair):
    server, client = pair
    failed = threading.Event()

    def send():
        try:
            server.send([bytes(16 * MAXIMUM_MESSAGE)])
        except ConnectionLost:
            failed.set()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    read(client, 1)
    thread, lost = reading_thread(server)
    server.abort()
    assert failed.wait(10)
    thread.join(10)
    assert lost == ["the connection was cut"]
    with pytest.raises(ConnectionLost):
        server.send([b"data"])


@pytest.mark.parametrize(
    "changes, status",
    [
        ({}, 101),
        ({"upgrade": "h2c"}, 426),
        ({"connection": "keep-alive"}, 426),
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-key": "short"}, 400),
        ({"sec-websocket-key": "ü"}, 400),
        ({"sec-websocket-key": ""}, 400),
    ],
)
def test_only_a_proper_upgrade_is_accepted(changes, status):
    headers = {
        "upgrade": "WebSocket",
        "connection": "keep-alive, Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    headers.update(changes)
    request = Request("GET", "/", "/", "", headers, b"", True)
    answer = accept_upgrade(request, lambda stream, rest: None)
    assert answer.status == status
    if status == 101:
        # The example of RFC 6455.
        assert dict(answer.headers)["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_only_a_get_is_upgraded():
    headers = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    request = Request("POST", "/", "/", "", headers, b"", True)
    assert accept_upgrade(request, lambda stream, rest: None).status == 400
