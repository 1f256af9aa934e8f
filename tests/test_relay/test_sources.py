"""The relay's sources, under each interpreter that a node may have."""

import contextlib
import hashlib
import os
import socket
import subprocess
import threading

import pytest

from ssm_plugin.relay import launch, messages, node_python
from tests.support.echo import EchoServer
from tests.support.measure import usage
from tests.support.relay_at_node import TIME_LIMIT, RelayAtNode, relay_runners
from tests.support.target import Target
from tests.support.threads import wait_until

RUNNERS = relay_runners()
LONG = bytes(range(256)) * 8192  # 2 MiB: two windows


@pytest.fixture(params=sorted(RUNNERS))
def argv(request):
    return RUNNERS[request.param]


@pytest.fixture
def each():
    """A relay of each, one after the other, to the test's end: for what waits for seconds."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: (
            stack.enter_context(RelayAtNode(RUNNERS[name], **options)) for name in sorted(RUNNERS)
        )


def test_there_is_an_old_python_a_new_one_and_perl():
    assert {"python3.6", "perl"} <= set(RUNNERS)


def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_bytes_of_every_value_come_back_through_it(argv):
    with EchoServer() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        stream.expect(messages.OPENED)
        part = LONG[:500000]
        stream.send(part)
        assert stream.expect_output(len(part)) == part


def test_the_end_of_one_direction_leaves_the_other_open(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.send(b"question")
        stream.end()
        with peer.makefile("rb") as incoming:
            assert incoming.read() == b"question"
        peer.sendall(b"answer")
        assert stream.expect_output(6) == b"answer"
        assert not stream.has(messages.ENDED)
        peer.close()
        stream.expect(messages.ENDED)


def test_a_target_that_ends_first_still_gets_what_comes(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        peer.shutdown(socket.SHUT_WR)
        stream.expect(messages.ENDED)
        stream.send(b"late")
        stream.end()
        with peer.makefile("rb") as incoming:
            assert incoming.read() == b"late"


def test_a_stream_without_credit_stops_and_holds_up_no_other(argv):
    with Target() as one, EchoServer() as two, RelayAtNode(argv) as relay:
        stream = relay.open(one.port)
        peer = one.accept()
        sender = threading.Thread(target=peer.sendall, args=(LONG,), daemon=True)
        sender.start()
        stream.expect_output(messages.WINDOW)
        other = relay.open(two.port)
        other.expect(messages.OPENED)
        other.send(b"not held up")
        assert other.expect_output(11) == b"not held up"
        assert len(stream.output) == messages.WINDOW
        stream.allow(messages.WINDOW)
        assert stream.expect_output(len(LONG)) == LONG
        sender.join(TIME_LIMIT)


def test_that_more_waits_is_told_once_some_is_taken(argv):
    with Target() as target, RelayAtNode(argv, reading=False) as relay:
        relay.read_greeting()
        relay.open(target.port)
        peer = target.accept()
        peer.settimeout(0.3)
        with pytest.raises(socket.timeout):
            while True:
                peer.send(LONG)
        relay.read()
        relay.wait_for(lambda: (messages.WAITING, b"") in relay.said[0])


def test_room_is_told_as_the_target_takes_what_came(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.expect(messages.OPENED)
        stream.send(LONG[: messages.WINDOW])
        with peer.makefile("rb") as incoming:
            assert incoming.read(messages.WINDOW) == LONG[: messages.WINDOW]
        relay.wait_for(lambda: stream.room() > messages.WINDOW // 2)


def test_a_target_that_resets_is_told(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.send(b"unread")
        assert peer.recv(1) == b"u"
        peer.close()  # with data unread: a reset
        stream.expect(messages.BROKEN)


def test_what_was_sent_before_a_target_hung_up_is_not_lost_for_want_of_credit(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        sender = threading.Thread(target=peer.sendall, args=(LONG,), daemon=True)
        sender.start()
        stream.end()
        stream.expect_output(messages.WINDOW)
        stream.allow(messages.WINDOW + 1)  # room for the end, too
        sender.join(TIME_LIMIT)
        peer.close()
        stream.expect(messages.ENDED)
        assert hashlib.sha256(stream.output).digest() == hashlib.sha256(LONG).digest()


def test_a_target_that_refuses_is_told_with_the_reason(argv):
    with RelayAtNode(argv) as relay:
        stream = relay.open(unused_port())
        assert b"refused" in stream.expect(messages.REFUSED)


def test_a_host_that_there_is_not_is_told(argv):
    with RelayAtNode(argv) as relay:
        stream = relay.open(80, "nowhere.invalid")
        assert stream.expect(messages.REFUSED)


def test_a_stream_that_leads_nowhere_is_taken(argv):
    with RelayAtNode(argv) as relay:
        stream = relay.open(0)
        stream.expect(messages.OPENED)


def test_more_secrets_can_be_had_by_whoever_has_brought_one(argv):
    with RelayAtNode(argv, spare=1) as relay:
        stream = relay.open(0)
        relay.wait_for(lambda: len(relay.secrets) == 1)
        for number in (2, 3):
            stream.ask_for_more()
            relay.wait_for(lambda number=number: len(relay.secrets) == number)
        relay.open(0).expect(messages.OPENED)


def test_it_answers_whoever_asks_whether_it_is_heard(argv):
    with RelayAtNode(argv) as relay:
        stream = relay.open(0)
        stream.expect(messages.OPENED)
        stream.sock.sendall(messages.frame(messages.ECHO, b"17"))
        assert stream.expect(messages.ECHOED) == b"17"


def test_a_hundred_streams_at_once(argv):
    with EchoServer() as target, RelayAtNode(argv) as relay:
        streams = [relay.open(target.port) for _ in range(100)]
        for stream in streams:
            stream.send(b"%d" % stream.number)
            stream.end()
        for stream in streams:
            stream.expect(messages.ENDED)
            assert stream.output == b"%d" % stream.number


def test_a_reset_from_here_reaches_the_target(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.expect(messages.OPENED)
        stream.reset()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_a_stream_that_was_cut_is_no_end_of_data_for_its_target(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.expect(messages.OPENED)
        stream.sock.close()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


# --- Who is not served.


def is_hung_up_on(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_secret_serves_one_connection(argv):
    with RelayAtNode(argv) as relay:
        relay.wait_for(lambda: relay.secrets)
        number, secret = sorted(relay.secrets.items())[0]
        relay.open(0).expect(messages.OPENED)
        again = relay.connect()
        again.sendall(messages.hello(number, secret, 0))
        assert is_hung_up_on(again)


NO_SECRETS = [
    messages.hello(1, b"\0" * 16, 22),
    messages.hello(999, b"\0" * 16, 22),
    messages.frame(messages.HELLO),
    messages.frame(messages.DATA, b"x"),
    messages.frame(messages.HELLO, b"x" * 301),
    b"GET / HTTP/1.0\r\n\r\n",
]


def test_who_brings_no_secret_is_hung_up_on(argv):
    with RelayAtNode(argv) as relay:
        for said in NO_SECRETS:
            stranger = relay.connect()
            stranger.sendall(said)
            assert is_hung_up_on(stranger), said
            relay.open(0).expect(messages.OPENED)


def test_a_crowd_of_silent_strangers_shuts_nobody_out(each):
    crowds = []
    for relay in each():
        crowds.append([relay.connect() for _ in range(80)])
        crowds[-1][-1].sendall(messages.hello(1, bytes(16), 22)[:10])  # and not one byte more
        relay.open(0).expect(messages.OPENED)
        assert is_hung_up_on(crowds[-1][0])
    for crowd in crowds:  # after five seconds of silence
        assert is_hung_up_on(crowd[-1]) and is_hung_up_on(crowd[-2])


# --- Out of descriptors, out of threads.


def test_a_target_for_which_there_is_no_thread_is_refused_and_no_other_suffers(argv):
    limited = ["sh", "-c", 'ulimit -v 300000; ulimit -s 600000; exec "$@"', "sh"]
    with EchoServer() as target, RelayAtNode(limited + argv) as relay:
        first = relay.open(0)
        relay.open(target.port)
        first.sock.sendall(messages.frame(messages.ECHO, b"1"))
        assert first.expect(messages.ECHOED) == b"1"


def test_where_no_more_can_be_accepted_it_rests():
    limited = ["sh", "-c", 'ulimit -n 24; exec "$@"', "sh"]
    with contextlib.ExitStack() as stack:
        relays = [stack.enter_context(RelayAtNode(limited + argv)) for argv in RUNNERS.values()]
        for relay in relays:
            for _ in range(40):
                relay.connect()
        # Counted, not timed: who looks again at once never sleeps, however busy the machine is.
        rests = [usage(relay.process.pid).rests + 50 for relay in relays]
        wait_until(lambda: all(usage(r.process.pid).rests > n for r, n in zip(relays, rests)))


def test_it_takes_as_many_as_the_node_lets_it_have():
    source = launch.compact(node_python.SOURCE)
    limited = ["sh", "-c", "ulimit -S -n 24; " + launch._LAUNCH, source, ""]
    with EchoServer() as target, RelayAtNode(limited) as relay:
        for _ in range(40):
            relay.open(target.port).expect(messages.OPENED)


# --- Its end.


def test_it_ends_when_nobody_reads_its_output(argv):
    with RelayAtNode(argv, reading=False) as relay:
        relay.process.stdout.close()
        assert relay.process.wait(TIME_LIMIT) == 0
        relay.process.stdout = open(os.devnull, "rb")


def test_it_ends_with_its_parent(argv):
    with RelayAtNode(["sh", "-c", '"$@" & wait', "sh"] + argv) as relay:
        socket.create_connection(("127.0.0.1", relay.decoder.port), TIME_LIMIT).close()
        relay.process.kill()
        relay.wait_for_end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", relay.decoder.port), TIME_LIMIT)


def test_it_ends_after_it_has_heard_nothing_for_its_lease(each):
    relays = []
    for relay in each(lease=2):
        relay.open(0).expect(messages.OPENED)
        relays.append(relay)
    assert [relay.process.wait(TIME_LIMIT) for relay in relays] == [0] * len(RUNNERS)


def test_nobody_else_can_have_the_other_address_of_its_port(argv):
    with RelayAtNode(argv) as relay, socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError):
            other.bind(("::1", relay.decoder.port))


def test_it_listens_where_it_is_told_if_that_is_free_and_else_elsewhere(argv):
    port = unused_port()
    with RelayAtNode(argv, port=port) as one, RelayAtNode(argv, port=port) as other:
        assert one.decoder.port == port
        assert other.decoder.port not in (0, port)
        other.open(0).expect(messages.OPENED)


def test_its_secrets_are_in_no_argument(argv):
    with RelayAtNode(argv) as relay:
        relay.wait_for(lambda: len(relay.secrets) == 4)
        shown = subprocess.check_output(["ps", "-o", "args=", "-p", str(relay.process.pid)])
        for secret in relay.secrets.values():
            assert secret not in shown and secret.hex().encode() not in shown
