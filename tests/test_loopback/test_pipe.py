import threading

import pytest

from ssm_plugin.errors import ConnectionLost
from ssm_plugin.loopback.pipe import link_pair


def in_thread(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_what_one_end_sends_the_other_receives_in_one_batch():
    one, other = link_pair()
    one.send([b"a", b"b"])
    one.send([b"c"])
    one.send([])
    assert other.receive() == [b"a", b"b", b"c"]


def test_text_pings_and_farewells_are_no_messages():
    one, other = link_pair()
    one.ping()
    one.send([b"a"])
    one.farewell()
    assert other.receive() == [b"a"]


def test_a_ping_is_answered_by_a_sign_of_life():
    one, other = link_pair()
    one.ping()
    assert one.receive() == []
    one.ping()
    other.send([b"a"])
    other.abort()
    assert one.receive() == [b"a"]
    with pytest.raises(ConnectionLost):
        one.receive()


def test_closing_is_the_same_as_aborting():
    one, other = link_pair()
    one.close()
    with pytest.raises(ConnectionLost):
        other.receive()


def test_a_full_link_makes_the_sender_wait_for_the_reader():
    one, other = link_pair(limit=10)
    one.send([b"0123456789"])
    waiting = in_thread(lambda: one.send([b"more"]))
    waiting.join(0.05)
    assert waiting.is_alive()
    assert other.receive() == [b"0123456789"]
    waiting.join(5)
    assert other.receive() == [b"more"]


def test_what_was_sent_before_the_end_still_arrives():
    one, other = link_pair()
    one.send([b"last"])
    one.abort("done")
    assert other.receive() == [b"last"]
    with pytest.raises(ConnectionLost):
        other.receive()
    assert other.peer_reason == "done"
    assert one.peer_reason == ""


def test_last_messages_do_not_wait_for_room():
    one, other = link_pair(limit=1)
    one.send([b"full"])
    one.abort("", last=[b"closed"])
    assert other.receive() == [b"full", b"closed"]


def test_the_first_reason_counts():
    one, other = link_pair()
    one.abort("first")
    one.abort("second", last=[b"late"])
    assert other.peer_reason == "first"
    with pytest.raises(ConnectionLost):
        other.receive()


def test_neither_end_can_use_a_link_that_was_aborted():
    one, other = link_pair()
    other.send([b"unread"])
    one.abort()
    for use in (one.receive, other.receive, lambda: one.send([b""]), lambda: other.send([b""])):
        with pytest.raises(ConnectionLost):
            use()


@pytest.mark.parametrize("aborter", [0, 1])
def test_an_abort_wakes_both_ends(aborter):
    ends = link_pair(limit=1)
    ends[0].send([b"full"])
    lost = []

    def use(action):
        try:
            action()
        except ConnectionLost:
            lost.append(action)

    threads = [
        in_thread(lambda: use(ends[0].receive)),
        in_thread(lambda: use(lambda: ends[0].send([b"more"]))),
    ]
    ends[aborter].abort()
    for thread in threads:
        thread.join(5)
    assert len(lost) == 2
