import socket
import ssl
import threading

import pytest

from ssm_plugin.errors import ConnectionLost
from ssm_plugin.net.tls_socket import TlsSocket
from ssm_plugin.transport.buffered_socket import BufferedSocket
from tests.support.certificates import Authority

LIMIT = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def pair(request, authority):
    """A stream and the socket at its other end."""
    near, far = socket.socketpair()
    if request.param:
        near, far = encrypted(near, far, authority)
    stream = BufferedSocket(near)
    stream.lift_limit()
    yield stream, far
    stream.close()
    far.close()


def encrypted(near, far, authority):
    context = ssl.create_default_context(cafile=authority.ca_file)
    client = TlsSocket(near, context, "localhost")
    server = TlsSocket(far, authority.server_context(), None)
    thread, _ = in_thread(server.do_handshake, lambda: LIMIT)
    client.do_handshake(lambda: LIMIT)
    thread.join(LIMIT)
    server.settimeout(LIMIT)
    return client, server


def in_thread(function, *arguments):
    """A started thread, and the list that its result or its ConnectionLost will be in."""
    results = []

    def run():
        try:
            results.append(function(*arguments))
        except ConnectionLost as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def receive(stream, size):
    data = bytearray()
    while len(data) < size:
        stream.fill()
        data += stream.buffer[stream.start:]
        stream.consume(len(stream.buffer))
    return bytes(data)


def receive_raw(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(65536)
        assert piece
        data += piece
    return bytes(data)


def test_what_was_not_consumed_stays_in_front_of_what_comes(pair):
    stream, far = pair
    far.sendall(b"12345")
    while len(stream.buffer) < 5:
        stream.fill()
    stream.consume(3)
    assert stream.buffer[stream.start:] == b"45"
    far.sendall(b"67")
    while len(stream.buffer) - stream.start < 4:
        stream.fill()
    assert stream.buffer[stream.start:] == b"4567"


def test_websocket_client_reads_from_the_same_buffer(pair):
    stream, far = pair
    far.sendall(b"12345")
    stream.fill()
    stream.consume(1)
    assert stream.recv(2) == b"23"
    assert stream.recv(10) == b"45"
    far.sendall(b"6")
    assert stream.recv(10) == b"6"


def test_no_bytes_are_here_at_once(pair):
    """Versions of websocket-client read a refusal's text in one go, and most refusals have none."""
    stream, far = pair
    stream.limit(0.05, 1000)
    assert stream.recv(0) == b""
    far.sendall(b"x")
    assert (stream.recv(1), stream.recv(0)) == (b"x", b"")


def test_send_sends_everything(pair):
    stream, far = pair
    data = b"0123456789" * 100000
    thread, received = in_thread(receive_raw, far, len(data))
    assert stream.send(data) == len(data)
    thread.join(LIMIT)
    assert received == [data]


def test_the_end_of_the_other_side_is_a_lost_connection(pair):
    stream, far = pair
    far.close()
    with pytest.raises(ConnectionLost):
        stream.fill()
    with pytest.raises(ConnectionLost):
        for _ in range(100):
            stream.sendall(b"x" * 65536)


def test_a_broken_connection_is_told_in_the_words_of_the_system_alone():
    near, far = socket.socketpair()
    far.close()
    stream = BufferedSocket(near)
    with pytest.raises(ConnectionLost, match="^the connection broke while sending: Broken pipe$"):
        stream.sendall(b"x")
    stream.close()
    with pytest.raises(ConnectionLost, match="^the connection broke: Bad file descriptor$"):
        stream.fill()


def test_abort_wakes_a_blocked_reader(pair):
    stream, _ = pair
    thread, results = in_thread(stream.fill)
    stream.abort()
    thread.join(LIMIT)
    assert isinstance(results[0], ConnectionLost)


def test_abort_wakes_a_blocked_writer(pair):
    stream, _ = pair
    thread, results = in_thread(stream.sendall, b"x" * (1 << 24))
    thread.join(0.2)
    assert not results, "nobody reads, so it waits"
    stream.abort()
    thread.join(LIMIT)
    assert isinstance(results[0], ConnectionLost)


def test_after_an_abort_or_a_close_everything_fails_in_the_same_way(pair):
    stream, _ = pair
    for end in (stream.abort, lambda: stream.shutdown(2), stream.close, stream.close):
        end()
        with pytest.raises(ConnectionLost):
            stream.fill()
        with pytest.raises(ConnectionLost):
            stream.sendall(b"x")


def test_a_time_limit_is_a_lost_connection_that_names_its_cause(pair):
    stream, _ = pair
    stream.limit(0.05, 1000)
    with pytest.raises(ConnectionLost) as caught:
        stream.fill()
    assert isinstance(caught.value.__cause__, socket.timeout)


def test_a_time_limit_is_for_all_that_comes_together(pair):
    stream, far = pair
    stream.limit(0.2, 1000)
    stopped = threading.Event()

    def drip():
        while not stopped.wait(0.02):
            far.sendall(b"x")

    thread, _ = in_thread(drip)
    with pytest.raises(ConnectionLost):
        receive(stream, 1000)
    stopped.set()
    thread.join(LIMIT)


def test_no_more_comes_than_was_allowed_until_the_limit_is_lifted(pair):
    stream, far = pair
    stream.limit(LIMIT, 10)
    far.sendall(b"0123456789abcdef")
    assert receive(stream, 10) == b"0123456789"
    with pytest.raises(ConnectionLost, match="no end"):
        stream.fill()
    stream.lift_limit()
    assert receive(stream, 6) == b"abcdef"


def test_what_websocket_client_sends_goes_where_it_is_posted(pair):
    stream, far = pair
    posted = []
    stream.post = posted.append
    assert stream.send(b"pong") == 4
    stream.sendall(b"data")
    assert (posted, far.recv(100)) == ([b"pong"], b"data")


def test_twenty_megabytes_go_each_way_at_the_same_time(pair):
    stream, far = pair
    size = 20 * 1000 * 1000
    up, down = b"upwards! " * (size // 9), b"downwards " * (size // 10)
    threads = [
        in_thread(far.sendall, down),
        in_thread(receive_raw, far, len(up)),
        in_thread(receive, stream, len(down)),
    ]
    for start in range(0, len(up), 131072):
        stream.sendall(up[start:start + 131072])
    for thread, _ in threads:
        thread.join(LIMIT)
    assert threads[1][1] == [up]
    assert threads[2][1] == [down]
