import socket
import threading
import time

import pytest

from ssm_plugin.errors import ConnectError, ConnectionLost, DeadlineError, RemoteError, UpgradeError
from ssm_plugin.transport.websocket import SEND_SIZE, open_websocket
from tests.support.websocket_peer import BINARY, CLOSE, PING, PONG, TEXT, Peer, frame

URL = "ws://gateway.example/v1/data-channel/s-1?role=publish_subscribe"
LIMIT = 10


@pytest.fixture
def ends():
    """A socket, and the peer at its other end."""
    near, far = socket.socketpair()
    with near, Peer(far) as peer:
        yield near, peer


@pytest.fixture
def pair(ends):
    """An open connection, and its peer."""
    near, peer = ends
    connection, _ = opened(near, peer)
    yield connection, peer
    connection.close()


def in_thread(function, *arguments):
    """A started thread, and the list that its result or error will be in."""
    results = []

    def run():
        try:
            results.append(function(*arguments))
        except (ConnectionLost, OSError) as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def opened(near, peer, headers=None, extra=b""):
    thread, requests = in_thread(peer.accept, extra)
    connection = open_websocket(URL, headers or {}, near, LIMIT)
    thread.join(LIMIT)
    return connection, requests[0]


def receive(connection, count):
    messages = []
    while len(messages) < count:
        messages += [bytes(message) for message in connection.receive()]
    return messages


# --- Opening


def test_the_request_carries_the_signed_headers_and_one_host(ends):
    near, peer = ends
    headers = {"Host": "gateway.example", "Authorization": "AWS4 x", "x-amz-date": "2026"}
    connection, (request, found) = opened(near, peer, headers)
    assert request == "GET /v1/data-channel/s-1?role=publish_subscribe HTTP/1.1"
    assert found["host"] == "gateway.example"
    assert found["authorization"] == "AWS4 x"
    assert found["x-amz-date"] == "2026"
    assert "origin" not in found
    connection.close()


def test_frames_that_follow_the_answer_at_once_are_not_lost(ends):
    near, peer = ends
    extra = frame(BINARY, b"first") + frame(BINARY, b"second")
    connection, _ = opened(near, peer, extra=extra)
    assert receive(connection, 2) == [b"first", b"second"]
    connection.close()


@pytest.mark.parametrize(
    "status, advice",
    [(403, "OpenDataChannel"), (401, "credentials"), (410, "over"), (500, "stream URL")],
)
def test_a_refused_upgrade_names_the_status_and_what_to_do(ends, status, advice):
    near, peer = ends
    thread, _ = in_thread(peer.refuse, status)
    with pytest.raises(UpgradeError, match=advice) as caught:
        open_websocket(URL, {}, near, LIMIT)
    thread.join(LIMIT)
    assert caught.value.status == status
    assert "gateway.example" in str(caught.value)


@pytest.mark.parametrize("status", [200, 301, 302, 303, 307])
def test_a_redirection_is_a_refusal_and_not_an_open_connection(ends, status):
    near, peer = ends
    thread, _ = in_thread(peer.refuse, status)
    with pytest.raises(UpgradeError) as caught:
        open_websocket(URL, {}, near, LIMIT)
    thread.join(LIMIT)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"",
    ],
    ids=["ssh", "no headers", "wrong accept", "no status", "garbage", "nothing"],
)
def test_any_other_answer_is_a_connect_error(ends, answer):
    near, peer = ends
    peer.socket.sendall(answer)
    peer.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectError, match="gateway.example"):
        open_websocket(URL, {}, near, LIMIT)
    assert near.fileno() == -1


def test_a_gateway_that_does_not_answer_is_given_up_in_time(ends):
    near, _ = ends
    with pytest.raises(DeadlineError, match="gateway.example"):
        open_websocket(URL, {}, near, 0.1)
    assert near.fileno() == -1


def test_an_answer_that_drips_is_given_up_in_the_same_time(ends):
    near, peer = ends
    ended = threading.Event()

    def drip():
        while not ended.wait(0.02):
            peer.socket.sendall(b"H")

    thread, _ = in_thread(drip)
    begun = time.monotonic()
    with pytest.raises(DeadlineError, match="gateway.example"):
        open_websocket(URL, {}, near, 0.2)
    assert time.monotonic() - begun < LIMIT / 2
    ended.set()
    thread.join(LIMIT)


def test_an_answer_without_end_is_not_read_to_its_end(ends):
    near, peer = ends
    thread, _ = in_thread(peer.socket.sendall, b"x" * 10000000)
    with pytest.raises(ConnectError, match="gateway.example"):
        open_websocket(URL, {}, near, LIMIT)
    thread.join(LIMIT)
    assert not thread.is_alive()


# --- Messages


def test_messages_go_out_as_binary_frames(pair):
    connection, peer = pair
    messages = [b"a", b"", b"x" * 1144, b"y" * 70000]
    connection.send(messages)
    assert [peer.read() for _ in messages] == [(BINARY, message) for message in messages]
    connection.send([])


def test_many_messages_go_out_whole_and_in_order(pair):
    connection, peer = pair
    messages = [b"%d" % number * 300 for number in range(3 * SEND_SIZE // 1000)]
    thread, _ = in_thread(connection.send, messages)
    assert [peer.read() for _ in messages] == [(BINARY, message) for message in messages]
    thread.join(LIMIT)


def test_all_messages_that_are_here_come_at_once(pair):
    connection, peer = pair
    peer.socket.sendall(b"".join(frame(BINARY, b"%d" % number) for number in range(50)))
    assert [bytes(message) for message in connection.receive()] == [b"%d" % n for n in range(50)]


def test_messages_may_come_in_any_pieces(pair):
    connection, peer = pair
    messages = [b"a" * 5, b"", b"b" * 300, b"c" * 66000]
    data = b"".join(frame(BINARY, message) for message in messages)
    thread, results = in_thread(receive, connection, len(messages))
    for start in list(range(0, 320)) + list(range(320, len(data), 1000)):
        stop = start + 1 if start < 320 else start + 1000
        peer.socket.sendall(data[start:min(stop, len(data))])
    thread.join(LIMIT)
    assert results == [messages]


def test_other_frames_between_them_are_no_obstacle(pair):
    connection, peer = pair
    peer.socket.sendall(
        frame(BINARY, b"one")
        + frame(PING, b"are you there")
        + frame(BINARY, b"two")
        + frame(PONG, b"")
        + frame(TEXT, b"\xff not even text")
        + frame(BINARY, b"th", final=False)
        + frame(PING, b"")
        + frame(0, b"ree")
        + frame(BINARY, b"four")
    )
    assert receive(connection, 4) == [b"one", b"two", b"three", b"four"]
    assert [peer.read() for _ in range(2)] == [(PONG, b"are you there"), (PONG, b"")]


def test_text_pings_and_the_farewell_go_out(pair):
    connection, peer = pair
    connection.send_text('{"TokenValue":"\u00e9"}')
    connection.ping()
    connection.farewell()
    assert peer.read() == (TEXT, '{"TokenValue":"\u00e9"}'.encode("utf-8"))
    assert peer.read() == (PING, b"")
    assert peer.read() == (CLOSE, b"\x03\xe8")


def test_answers_go_where_they_are_posted_and_never_by_the_thread_that_receives(pair):
    connection, peer = pair
    posted = []
    connection.answer_through(posted.append)
    peer.socket.sendall(frame(PING, b"one") + frame(PING, b"two") + frame(BINARY, b"x"))
    assert receive(connection, 1) == [b"x"]
    assert len(posted) == 2
    for answer in posted:
        connection.send_frame(answer)
    assert [peer.read() for _ in range(2)] == [(PONG, b"one"), (PONG, b"two")]


def test_a_message_in_many_fragments_is_joined(pair):
    connection, peer = pair
    pieces = [b"%d," % number for number in range(500)]
    data = frame(BINARY, b"begin", final=False)
    data += b"".join(frame(0, piece, final=False) for piece in pieces) + frame(0, b"end")
    thread, _ = in_thread(peer.socket.sendall, data)
    assert receive(connection, 1) == [b"begin" + b"".join(pieces) + b"end"]
    thread.join(LIMIT)


@pytest.mark.parametrize("fragment", [b"", b"x" * 60000], ids=["empty", "large"])
def test_fragments_without_end_are_the_end(pair, fragment):
    connection, peer = pair

    def flood():
        peer.send(BINARY, b"begin", final=False)
        while True:
            peer.socket.sendall(frame(0, fragment, final=False) * 10)

    thread, _ = in_thread(flood)
    with pytest.raises(RemoteError, match="1 MiB"):
        receive(connection, 1)
    connection.abort()
    thread.join(LIMIT)


def test_a_long_frame_that_drips_in_is_not_copied_again_and_again(pair):
    connection, peer = pair
    data = frame(BINARY, b"d" * 1000000)

    def drip():
        for start in range(0, len(data), 100):
            peer.socket.sendall(data[start:start + 100])

    thread, _ = in_thread(drip)
    begun = time.process_time()
    assert receive(connection, 1) == [b"d" * 1000000]
    assert time.process_time() - begun < 2
    thread.join(LIMIT)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE, PONG])
def test_a_frame_of_fifteen_mebibytes_is_refused_before_it_is_read(pair, opcode):
    connection, peer = pair
    peer.socket.sendall(bytes([0x80 | opcode, 127]) + (15 << 20).to_bytes(8, "big"))
    with pytest.raises(RemoteError, match="too long"):
        connection.receive()


# --- The end


@pytest.mark.parametrize(
    "payload, said", [(b"\x03\xe8Bye", "1000 Bye"), (b"\x03\xe9", "1001"), (b"", "closed")]
)
def test_a_close_frame_is_the_end_and_is_answered(pair, payload, said):
    connection, peer = pair
    peer.send(BINARY, b"last")
    peer.send(CLOSE, payload)
    assert receive(connection, 1) == [b"last"]
    with pytest.raises(ConnectionLost, match=said):
        connection.receive()
    assert peer.read()[0] == CLOSE


def test_a_connection_that_breaks_off_is_the_end(pair):
    connection, peer = pair
    peer.socket.sendall(frame(BINARY, b"whole") + frame(BINARY, b"half")[:4])
    peer.close()
    assert receive(connection, 1) == [b"whole"]
    with pytest.raises(ConnectionLost):
        connection.receive()


@pytest.mark.parametrize(
    "data",
    [b"\x82\x85abcdhello", b"\x82\x7f" + b"\xff" * 8, b"\xf2\x00", b"\x83\x00", b"\x80\x00"],
    ids=["masked", "endless", "reserved bits", "unknown opcode", "nothing to continue"],
)
def test_what_breaks_the_protocol_is_an_error_of_ours(pair, data):
    connection, peer = pair
    peer.socket.sendall(data)
    peer.socket.shutdown(socket.SHUT_WR)
    with pytest.raises((RemoteError, ConnectionLost)):
        connection.receive()


def test_abort_wakes_a_receiver(pair):
    connection, _ = pair
    thread, results = in_thread(connection.receive)
    connection.abort()
    thread.join(LIMIT)
    assert isinstance(results[0], ConnectionLost)


def test_abort_wakes_a_receiver_in_the_middle_of_a_rare_frame(pair):
    connection, peer = pair
    peer.socket.sendall(frame(PING, b"x" * 100)[:20])
    thread, results = in_thread(connection.receive)
    thread.join(0.05)
    connection.abort()
    thread.join(LIMIT)
    assert isinstance(results[0], ConnectionLost)


def test_abort_wakes_a_sender(pair):
    connection, _ = pair
    thread, results = in_thread(connection.send, [b"x" * 1000] * 20000)
    thread.join(0.2)
    assert not results, "nobody reads, so it waits"
    connection.abort()
    thread.join(LIMIT)
    assert isinstance(results[0], ConnectionLost)


def test_after_the_end_everything_is_a_lost_connection(pair):
    connection, _ = pair
    for end in (connection.abort, connection.close, connection.close):
        end()
        for attempt in (
            connection.receive,
            connection.ping,
            connection.farewell,
            lambda: connection.send([b"x"]),
            lambda: connection.send_text("x"),
        ):
            with pytest.raises(ConnectionLost):
                attempt()
