import socket
import sys
import time
from contextlib import closing

import pytest

from ssm_plugin.plugins.peer import PeerLookup
from tests.test_net.test_local_end import has_ipv6

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells on Linux")


def peer_is_gone(sock):
    with closing(PeerLookup()) as peers:
        return peers.is_gone(sock)


def pair(family):
    if family == socket.AF_UNIX:
        return socket.socketpair()
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listener.listen(1)
        client = socket.socket(family)
        client.connect(listener.getsockname())
        return listener.accept()[0], client


FAMILIES = [socket.AF_UNIX, socket.AF_INET] + [socket.AF_INET6] * has_ipv6()


@linux
@pytest.mark.may_skip
@pytest.mark.parametrize("family", FAMILIES)
def test_a_peer_that_only_finished_sending_is_told_from_one_that_is_gone(family):
    near, far = pair(family)
    with near, far:
        assert peer_is_gone(near) is False
        far.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        assert peer_is_gone(near) is False
        far.close()
        wait_until_gone(near)


def wait_until_gone(sock):
    deadline = time.monotonic() + 5
    while not peer_is_gone(sock):
        assert time.monotonic() < deadline


@linux
@pytest.mark.may_skip
def test_nothing_is_claimed_of_a_connection_that_is_not_there():
    near, far = pair(socket.AF_INET)
    far.close()
    near.close()
    assert peer_is_gone(near) is None
    with socket.socket() as unconnected:
        assert peer_is_gone(unconnected) is None


@linux
def test_one_that_was_closed_opens_its_way_again():
    near, far = pair(socket.AF_INET)
    with near, far, closing(PeerLookup()) as peers:
        peers.close()
        assert peers.is_gone(near) is False
