"""How streams of a relay end where not all goes well, under each interpreter of a node."""

import select
import socket

import pytest

from ssm_plugin.relay import messages
from tests.support.relay_at_node import TIME_LIMIT, RelayAtNode, relay_runners
from tests.support.target import Target

RUNNERS = relay_runners()
LONG = bytes(range(256)) * 8192  # 2 MiB: two windows


@pytest.fixture(params=sorted(RUNNERS))
def argv(request):
    return RUNNERS[request.param]


def close_unread(stream, peer):
    """The target goes with data unread: a reset."""
    stream.send(b"unread")
    assert peer.recv(1) == b"u"
    peer.close()


# --- The target has gone, and a write is what finds it out.


def test_a_reset_that_a_write_finds_first_is_told_as_one(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        peer.sendall(LONG[: messages.WINDOW])
        stream.expect_output(messages.WINDOW)  # no credit is left: it cannot read
        close_unread(stream, peer)
        stream.send(b"lost")
        stream.allow(messages.WINDOW)
        stream.expect(messages.BROKEN)
        assert not stream.has(messages.ENDED)


def test_an_end_and_then_a_reset_that_a_write_finds_are_both_told(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        peer.sendall(LONG[: messages.WINDOW])
        stream.expect_output(messages.WINDOW)
        peer.shutdown(socket.SHUT_WR)
        close_unread(stream, peer)
        stream.send(b"lost")
        stream.allow(messages.WINDOW)
        stream.expect(messages.BROKEN)
        assert stream.kinds()[-2:] == [messages.ENDED, messages.BROKEN]


def test_who_sends_to_a_target_that_dies_with_data_unread_is_told(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.fill()
        assert peer.recv(1) == b"\0"
        peer.close()
        stream.expect(messages.BROKEN)
        assert not stream.has(messages.ENDED)


# --- The target has ended first, and takes what comes up more slowly than it comes.


def hang_up_early(relay, stream, peer):
    """More than its target takes has gone up, and the end, and nobody is there any more."""
    peer.shutdown(socket.SHUT_WR)
    stream.expect(messages.ENDED)
    sent = stream.fill()
    stream.end()
    stream.sock.close()
    relay.open(0).expect(messages.OPENED)  # later than that
    return sent


def hung_up_on(peer):
    """A poll that waits for a reset, and for nothing else."""
    poll = select.poll()
    poll.register(peer, 0)
    return poll


def read_to_reset(peer):
    with pytest.raises(ConnectionResetError):
        while peer.recv(65536):
            pass


def test_the_rest_of_an_upload_outlives_its_stream(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        sent = hang_up_early(relay, stream, peer)
        with peer.makefile("rb") as incoming:
            assert len(incoming.read()) == sent


def test_a_target_that_goes_before_it_has_the_rest_disturbs_nobody(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        hang_up_early(relay, stream, peer)
        peer.close()  # with data unread: a reset
        stream.expect(messages.BROKEN)
        relay.open(0).expect(messages.OPENED)


def test_a_target_that_takes_nothing_of_the_rest_is_reset_after_the_lease(argv):
    with Target() as target, RelayAtNode(argv, lease=4) as relay:
        stream = relay.open(target.port)
        alive = relay.open(0)
        peer = target.accept()
        hang_up_early(relay, stream, peer)
        while not hung_up_on(peer).poll(100):
            alive.allow(0)
        read_to_reset(peer)
        relay.open(0).expect(messages.OPENED)


def test_a_stream_that_was_cut_before_its_target_has_ended_is_reset_all_the_same(argv):
    with Target() as target, RelayAtNode(argv) as relay:
        stream = relay.open(target.port)
        peer = target.accept()
        stream.fill()
        stream.end()
        stream.sock.close()
        assert hung_up_on(peer).poll(TIME_LIMIT * 1000)
        read_to_reset(peer)
