"""What is known of the nodes of a command, and when to look again."""

from ssm_plugin.run_command.following import (
    FIRST,
    LONGEST,
    SOON,
    Interval,
    Rounds,
    Seen,
    SentCommand,
)


def seen(node_id, status, details=None):
    return Seen(node_id, status, details or status)


def test_looks_come_later_while_nothing_changes_and_soon_when_something_does():
    interval, now, pauses = Interval(), 0.0, []
    for _ in range(12):
        then = interval.after(now, 0.01, False)
        pauses.append(then - now)
        now = then
    assert pauses == sorted(pauses)
    assert FIRST < pauses[0] < pauses[-1] <= LONGEST + 1e-6
    assert abs(interval.after(now, 0.01, True) - now - SOON) < 1e-6


def test_a_look_that_takes_long_is_followed_by_a_pause_that_is_as_long():
    assert Interval().after(100.0, 30.0, True) == 130.0


def test_one_round_of_looks_follows_the_other():
    rounds = Rounds(100.0)
    assert rounds.begin(100.0) and rounds.due_at is None
    rounds.sent(100.1)
    assert not rounds.begin(200.0), "one is going on"
    rounds.saw(True)
    rounds.over(101.0, 0.1)
    assert rounds.due_at == 101.0 + SOON and not rounds.begin(101.4)
    rounds.sent(102.0)
    assert rounds.due_at == 102.0 + FIRST
    rounds.soon(101.0)
    assert rounds.due_at == 101.0 + FIRST
    rounds.soon(105.0)
    assert rounds.due_at == 101.0 + FIRST, "what is due is not put off"


def test_each_end_is_told_once():
    command = SentCommand("c", ["i-1", "i-2"])
    ended, changed = command.take([seen("i-1", "Success"), seen("i-2", "InProgress")], 1.0)
    assert [one.node_id for one in ended] == ["i-1"]
    assert changed and command.running == {"i-2"} and not command.is_over
    assert command.take([seen("i-1", "Success"), seen("i-2", "InProgress")], 2.0) == ([], False)
    ended, _ = command.take([seen("i-2", "Failed")], 3.0)
    assert [one.node_id for one in ended] == ["i-2"]
    assert command.is_over and not command.running


def test_a_node_that_nobody_meant_counts_only_where_a_tag_chose_the_nodes():
    assert SentCommand("c", ["i-1"]).take([seen("i-9", "Success")], 0.0) == ([], False)
    command = SentCommand("c", ["i-1"], takes_more=True)
    assert [one.node_id for one in command.take([seen("i-9", "Success")], 0.0)[0]] == ["i-9"]
    assert command.open == {"i-1"}


def test_a_node_that_is_never_listed_is_given_up_only_after_the_end_and_some_looks():
    command = SentCommand("c", ["i-1", "i-2"])
    command.take([seen("i-1", "Success")], 0.0)
    assert command.asks_for_whole
    assert [command.missing(False) for _ in range(20)] == [[]] * 20
    looks = [command.missing(True) for _ in range(5)]
    assert looks[:4] == [[]] * 4 and looks[4] == ["i-2"]
    assert command.is_over


def test_limits_count_from_what_was_seen_first():
    command = SentCommand("c", ["i-1", "i-2", "i-3"])
    command.take([seen("i-1", "InProgress"), seen("i-2", "Delayed"), seen("i-3", "Pending")], 10.0)
    command.take([seen("i-1", "InProgress"), seen("i-2", "Delayed")], 11.0)
    assert command.next_limit(5.0, 3.0, {}) == 13.0
    assert command.next_limit(5.0, 3.0, {"i-2"}) == 15.0
    assert command.next_limit(None, None, {}) is None
    assert command.late(14.9, 5.0) == [] and command.late(15.0, 5.0) == ["i-1"]
    assert command.unanswered(12.9, 3.0) == [] and command.unanswered(13.0, 3.0) == ["i-2"]
    assert command.not_sent() == ["i-2", "i-3"]
    command.take([seen("i-2", "Pending")], 12.0)
    assert command.unanswered(99.0, 3.0) == []


def test_a_node_that_is_not_begun_although_there_is_room_does_not_answer():
    command = SentCommand("c", ["i-1", "i-2", "i-3"], concurrency=2)
    both = [seen("i-1", "InProgress"), seen("i-2", "InProgress"), seen("i-3", "Pending")]
    command.take(both, 0.0)
    assert command.unanswered(99.0, 5.0) == [] and command.next_limit(None, 5.0, {}) is None
    command.take([seen("i-1", "Success"), seen("i-3", "Pending")], 100.0)
    assert command.next_limit(None, 5.0, {}) == 105.0
    assert command.next_limit(None, 5.0, {"i-3"}) is None
    command.take([seen("i-3", "Pending")], 104.0)
    assert command.unanswered(104.9, 5.0) == [] and command.unanswered(105.0, 5.0) == ["i-3"]
    command.take([seen("i-3", "InProgress")], 106.0)
    assert command.unanswered(200.0, 5.0) == []
