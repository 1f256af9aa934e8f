"""How streams of a relay end where not all goes well, under each interpreter of a node."""

import socket

import pytest

from ssm_plugin.relay import messages
from tests.support.relay_at_node import RelayAtNode, relay_runners
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
