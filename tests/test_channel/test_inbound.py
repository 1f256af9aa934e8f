import random

import pytest

from ssm_plugin.channel.inbound import Inbound


def payloads(inbound):
    return [bytes(payload) for _, payload in inbound.take()]


def test_messages_in_order_are_delivered_and_acknowledged():
    inbound = Inbound()
    assert inbound.accept(0, 1, b"a")
    assert inbound.accept(1, 11, b"b")
    assert inbound.take() == [(1, b"a"), (11, b"b")]
    assert inbound.take() == []
    assert inbound.expected == 2


def test_a_message_ahead_of_its_turn_is_acknowledged_and_kept():
    inbound = Inbound()
    assert inbound.accept(2, 1, b"c")
    assert inbound.accept(1, 1, b"b")
    assert inbound.take() == []
    assert inbound.accept(0, 1, b"a")
    assert payloads(inbound) == [b"a", b"b", b"c"]


def test_a_gap_holds_up_only_what_is_behind_it():
    inbound = Inbound()
    for sequence in (1, 3):
        inbound.accept(sequence, 1, b"%d" % sequence)
    inbound.accept(0, 1, b"0")
    assert payloads(inbound) == [b"0", b"1"]
    inbound.accept(2, 1, b"2")
    assert payloads(inbound) == [b"2", b"3"]


@pytest.mark.parametrize("sequence", [0, 2, -1])
def test_a_duplicate_is_acknowledged_again_and_not_delivered(sequence):
    inbound = Inbound()
    inbound.accept(0, 1, b"a")
    inbound.accept(2, 1, b"c")
    inbound.take()
    assert inbound.accept(sequence, 1, b"again")
    inbound.accept(1, 1, b"b")
    assert payloads(inbound) == [b"b", b"c"]


def test_without_room_a_message_ahead_is_not_acknowledged():
    inbound = Inbound(limit=3)
    assert [inbound.accept(sequence, 1, b"x") for sequence in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert inbound.accept(2, 1, b"x"), "it is held already"
    assert inbound.accept(0, 1, b"a"), "the next one always has room"
    assert len(inbound.take()) == 4
    assert inbound.accept(4, 1, b"x")


def test_a_number_out_of_all_proportion_is_not_acknowledged():
    assert not Inbound().accept(1 << 62, 1, b"x")


def test_what_waits_does_not_keep_its_receive_buffer():
    inbound = Inbound()
    buffer = bytearray(b"0123456789")
    inbound.accept(1, 1, memoryview(buffer)[2:4])
    buffer[:] = b"x" * 10
    inbound.accept(0, 1, b"")
    assert payloads(inbound) == [b"", b"23"]


def test_any_order_with_any_repetition_comes_out_in_order_and_once():
    for seed in range(50):
        source = random.Random(seed)
        numbers = list(range(200)) + source.choices(range(200), k=100)
        source.shuffle(numbers)
        inbound = Inbound()
        found = []
        for number in numbers:
            assert inbound.accept(number, 1, b"%d" % number)
            found += payloads(inbound)
        assert found == [b"%d" % number for number in range(200)]


def test_a_hole_is_known_by_what_came_after_it_kept_or_not():
    inbound = Inbound(limit=2)
    assert not inbound.is_incomplete
    inbound.accept(0, 1, b"a")
    assert not inbound.is_incomplete
    for sequence in (2, 3, 4):
        inbound.accept(sequence, 1, b"x")
    assert inbound.is_incomplete
    inbound.accept(1, 1, b"b")
    assert inbound.expected == 4
    assert inbound.is_incomplete, "the last one was refused"
    inbound.accept(4, 1, b"x")
    assert not inbound.is_incomplete


def test_a_number_out_of_all_proportion_proves_no_hole():
    inbound = Inbound()
    inbound.accept(1 << 40, 1, b"x")
    assert not inbound.is_incomplete
