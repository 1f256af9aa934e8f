import pytest

from ssm_plugin.channel import outbound as module
from ssm_plugin.channel.congestion import INITIAL_WINDOW, LONG_QUEUE, Window
from ssm_plugin.channel.outbound import LONGEST_PAUSE, RESEND_BURST, STALL_LIMIT, Outbound


def sending(*frames, at=0.0, **options):
    """An outbound that has sent these frames."""
    outbound = Outbound(**options)
    keep(outbound, at, *frames)
    return outbound


def keep(outbound, now, *frames):
    for frame in frames:
        outbound.keep(frame, now)


def test_messages_are_numbered_from_0_and_kept():
    outbound = sending(b"a", b"b")
    assert outbound.next_sequence == 2
    assert len(outbound) == 2


def test_an_acknowledgement_retires_its_message_and_no_other():
    outbound = sending(b"a", b"b", b"c")
    assert outbound.acknowledge(1, 0.1)
    assert len(outbound) == 2
    assert outbound.overdue(5.0) == [b"a", b"c"]


@pytest.mark.parametrize("sequence", [0, 1, -1, 1 << 70])
def test_an_acknowledgement_of_what_does_not_wait_changes_nothing(sequence):
    outbound = sending(b"a")
    outbound.acknowledge(0, 0.1)
    timeout = outbound.rtt.timeout
    assert not outbound.acknowledge(sequence, 5.0)
    assert outbound.rtt.timeout == timeout


# --- Timeouts


def test_after_the_timeout_a_message_is_sent_again():
    outbound = sending(b"a")
    assert outbound.due_at() == 0.2
    assert outbound.overdue(0.19) == []
    assert outbound.overdue(0.2) == [b"a"]
    assert outbound.resends == 1


def test_the_timeout_doubles_while_nothing_comes_up_to_a_second():
    outbound = sending(b"a")
    times = [outbound.due_at()]
    for _ in range(5):
        assert outbound.overdue(times[-1]) == [b"a"]
        times.append(outbound.due_at())
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps == pytest.approx([0.4, 0.8, 1.0, 1.0, 1.0])


def test_an_acknowledgement_of_what_was_sent_once_ends_the_doubling():
    outbound = sending(b"a", b"b")
    outbound.overdue(0.2)
    keep(outbound, 0.2, b"c")
    outbound.acknowledge(0, 0.3)  # of which sending? nobody knows
    assert outbound.due_at() == pytest.approx(0.7)
    outbound.acknowledge(2, 0.35)
    assert outbound.due_at() == pytest.approx(0.35 + outbound.rtt.timeout)


def test_while_others_are_acknowledged_nothing_times_out():
    outbound = sending(b"a", b"b", b"c")
    outbound.acknowledge(1, 0.19)
    assert outbound.due_at() > 0.3
    assert outbound.overdue(0.3) == []
    assert outbound.overdue(outbound.due_at()) == [b"a", b"c"]


def test_a_timer_that_fires_exactly_in_time_finds_its_message():
    # (0.1 + 0.7) - 0.7 is less than 0.1: floating point must not make the timer miss.
    for tenths in range(1, 100):
        outbound = Outbound()
        keep(outbound, 0.0, b"sample")
        outbound.acknowledge(0, 0.7 / 3)
        keep(outbound, tenths / 10, b"a")
        assert outbound.overdue(outbound.due_at()) == [b"a"]


def test_years_without_an_answer_do_not_break_the_arithmetic():
    outbound = sending(b"a")
    for _ in range(3000):
        assert outbound.overdue(outbound.due_at()) == [b"a"]


def test_everything_overdue_goes_but_in_bursts():
    frames = [b"%d" % number for number in range(100)]
    outbound = sending(*frames)
    first = outbound.overdue(0.2)
    assert first == frames[:RESEND_BURST]
    second = outbound.overdue(outbound.due_at())
    assert second[:36] == frames[RESEND_BURST:]


def test_a_timeout_halves_the_window():
    outbound = sending(b"sample")
    outbound.acknowledge(0, 0.05)
    outbound.window = Window(initial=512)
    keep(outbound, 0.1, b"a")
    outbound.overdue(outbound.due_at())
    assert outbound.room(0.4) == 255


def test_a_timeout_before_any_round_trip_is_known_says_nothing_of_the_window():
    outbound = sending(b"a")
    outbound.window = Window(initial=512)
    outbound.overdue(0.2)
    assert outbound.room(0.2) == 511


def test_with_nothing_waiting_no_timer_runs():
    outbound = sending(b"a")
    outbound.acknowledge(0, 0.1)
    assert outbound.due_at() is None
    assert outbound.stalled_at() is None
    assert outbound.overdue(100.0) == []


# --- The estimate of the round trip


def test_an_acknowledgement_gives_a_sample():
    outbound = sending(b"a")
    outbound.acknowledge(0, 0.05)
    assert outbound.rtt.smoothed == 0.05
    assert outbound.rtt.timeout == pytest.approx(0.15)


def test_one_round_trip_gives_one_sample():
    outbound = sending(*[b"x"] * 100)
    for sequence in range(100):
        outbound.acknowledge(sequence, 0.1 + sequence / 1000)
    assert (outbound.rtt.smoothed, outbound.rtt.minimum) == (0.1, 0.1)
    keep(outbound, 0.2, b"a")
    outbound.acknowledge(100, 0.38)
    assert outbound.rtt.smoothed == pytest.approx(0.11)


def test_the_window_grows_each_round_trip_in_which_it_was_full():
    outbound = sending(*[b"x"] * INITIAL_WINDOW)
    for sequence in range(INITIAL_WINDOW):
        outbound.acknowledge(sequence, 0.1 + sequence / 100)
    assert outbound.room(0.3) == 2 * INITIAL_WINDOW


def test_it_doubles_twice_where_all_is_acknowledged_at_once():
    outbound = sending(*[b"x"] * INITIAL_WINDOW)
    for sequence in range(INITIAL_WINDOW):
        outbound.acknowledge(sequence, 0.1)
    assert outbound.room(0.1) == 4 * INITIAL_WINDOW


def test_karns_rule_a_message_sent_twice_gives_no_sample():
    outbound = sending(b"a", b"b")
    outbound.overdue(0.2)
    outbound.acknowledge(0, 0.21)
    assert outbound.rtt.smoothed == 0.0
    assert outbound.rtt.timeout == 0.2


# --- Losses that later acknowledgements reveal


def test_a_message_that_a_later_one_overtook_is_sent_again_at_once():
    outbound = Outbound()
    keep(outbound, 0.00, b"a")
    keep(outbound, 0.04, b"b")
    outbound.acknowledge(1, 0.14)
    assert outbound.lost(0.14) == [b"a"]
    assert outbound.lost(0.15) == []
    assert outbound.room(0.14) == INITIAL_WINDOW - 1, "one loss says nothing against the window"


def test_messages_sent_close_to_each_other_may_change_places():
    outbound = Outbound()
    keep(outbound, 0.00, b"a")
    keep(outbound, 0.01, b"b")
    outbound.acknowledge(1, 0.11)
    assert outbound.lost(0.11) == []


def test_an_acknowledgement_of_the_first_sending_says_nothing_of_what_went_after_it():
    outbound = Outbound()
    keep(outbound, 0.0, b"sample")
    outbound.acknowledge(0, 0.1)
    keep(outbound, 1.0, b"a")
    keep(outbound, 1.2, b"b")
    assert outbound.overdue(1.3) == [b"a"]
    # 2 ms later, where a round trip takes at least 100: this answers what went out at 1.0.
    outbound.acknowledge(1, 1.302)
    assert outbound.lost(1.302) == []


def test_an_acknowledgement_of_the_second_sending_reveals_losses_too():
    outbound = Outbound()
    keep(outbound, 0.0, b"sample")
    outbound.acknowledge(0, 0.1)
    keep(outbound, 1.0, b"a")
    keep(outbound, 1.2, b"b")
    assert outbound.overdue(1.3) == [b"a"]
    outbound.acknowledge(1, 1.41)
    assert outbound.lost(1.41) == [b"b"]


# --- The window


def test_the_window_leaves_no_room_once_it_is_full():
    outbound = Outbound(window=3)
    keep(outbound, 0.0, b"a", b"b")
    assert outbound.room(0.0) == 1
    keep(outbound, 0.0, b"c")
    assert outbound.room(0.0) == 0
    keep(outbound, 0.0, b"control")
    assert outbound.room(0.0) == 0
    outbound.acknowledge(0, 0.1)
    outbound.acknowledge(1, 0.1)
    assert outbound.room(0.1) == 1


def test_a_pause_takes_nothing_new_and_keeps_resending_what_is_there():
    outbound = sending(b"a")
    outbound.pause(0.1)
    assert outbound.room(0.1) == 0
    assert outbound.overdue(0.2) == [b"a"]


def test_an_acknowledgement_ends_a_pause():
    outbound = sending(b"a", b"b")
    outbound.pause(0.1)
    outbound.acknowledge(0, 0.2)
    assert outbound.room(0.2) > 0


def test_a_pause_halves_the_window():
    outbound = Outbound()
    outbound.window = Window(initial=512)
    outbound.pause(0.1)
    outbound.end_pause()
    assert outbound.room(0.2) == 256


def test_a_new_connection_ends_a_pause():
    outbound = Outbound()
    outbound.pause(0.1)
    assert outbound.room(0.2) == 0
    outbound.replay(0.2)
    assert outbound.room(0.2) > 0


def test_a_pause_whose_end_was_lost_ends_by_itself_and_the_producer_knows_when():
    outbound = Outbound()
    outbound.pause(1.0)
    assert outbound.room(1.0) == 0
    assert outbound.paced_until(1.0) == 1.0 + LONGEST_PAUSE
    assert outbound.room(1.0 + LONGEST_PAUSE) > 0
    assert outbound.paced_until(1.0 + LONGEST_PAUSE) is None


# --- Connections


def replayed(outbound, now):
    """All that a new connection gets where each message is acknowledged at once, in its order."""
    frames = outbound.replay(now)
    for frame in frames:
        outbound.acknowledge(int(frame), now + 0.01)
        frames += outbound.released(now + 0.01)
    return frames


def test_a_new_connection_gets_everything_again_in_order():
    frames = [b"%d" % number for number in range(200)]
    outbound = sending(*frames)
    outbound.acknowledge(7, 0.1)
    outbound.overdue(0.5)
    assert replayed(outbound, 9.0) == frames[:7] + frames[8:]
    assert len(outbound) == 0


def test_a_new_connection_begins_with_few_messages_and_each_acknowledged_one_makes_room_for_two():
    frames = [b"%d" % number for number in range(200)]
    outbound = sending(*frames)
    assert outbound.replay(9.0) == frames[:INITIAL_WINDOW]
    assert outbound.due_at() > 9.0
    assert outbound.released(9.0) == []
    outbound.acknowledge(0, 9.1)
    assert outbound.released(9.1) == frames[INITIAL_WINDOW:INITIAL_WINDOW + 2]
    assert len(outbound) == 199


def test_nothing_new_goes_before_what_waits_for_a_new_connection():
    outbound = sending(*[b"%d" % number for number in range(3 * INITIAL_WINDOW)])
    outbound.replay(9.0)
    for sequence in range(INITIAL_WINDOW):
        assert outbound.room(9.1) == 0
        outbound.acknowledge(sequence, 9.1)
    assert len(outbound.released(9.1)) == 2 * INITIAL_WINDOW
    assert outbound.room(9.1) == 0
    outbound.acknowledge(INITIAL_WINDOW, 9.2)
    assert outbound.room(9.2) == 1


def test_what_the_other_end_had_before_the_loss_is_not_sent_again():
    frames = [b"%d" % number for number in range(20)]
    outbound = sending(*frames)
    outbound.replay(9.0)
    assert outbound.acknowledge(19, 9.0)
    outbound.acknowledge(0, 9.1)
    outbound.acknowledge(1, 9.1)
    assert outbound.released(9.1) == frames[INITIAL_WINDOW:19]
    assert not outbound.acknowledge(19, 9.2)


def test_a_second_loss_begins_again_with_all_that_is_kept():
    frames = [b"%d" % number for number in range(200)]
    outbound = sending(*frames)
    outbound.replay(9.0)
    outbound.acknowledge(3, 9.1)
    outbound.released(9.1)
    assert replayed(outbound, 10.0) == frames[:3] + frames[4:]


def test_a_long_queue_on_a_new_connection_stops_the_growth():
    outbound = sending(*[b"%d" % number for number in range(200)])
    outbound.replay(9.0)
    outbound.acknowledge(0, 9.02)
    outbound.released(9.02)
    outbound.acknowledge(1, 9.02 + LONG_QUEUE + 0.01)
    assert len(outbound.released(9.3)) == 1


def test_the_first_acknowledgement_may_show_that_a_new_path_is_longer():
    outbound = sending(*[b"%d" % number for number in range(200)])
    outbound.replay(9.0)
    for sequence in range(INITIAL_WINDOW):
        outbound.acknowledge(sequence, 9.6)
    assert len(outbound.released(9.6)) == 2 * INITIAL_WINDOW


def test_what_waits_for_a_new_connection_counts_for_a_stall():
    outbound = sending(*[b"%d" % number for number in range(20)])
    outbound.replay(9.0)
    assert outbound.acknowledge(19, 9.0)
    for sequence in range(19):
        assert outbound.stalled_at() == 9.0 + STALL_LIMIT
        outbound.acknowledge(sequence, 9.1)
    assert outbound.stalled_at() is None


def test_what_was_replayed_gives_no_sample():
    outbound = sending(b"a")
    outbound.replay(9.0)
    outbound.acknowledge(0, 9.001)
    assert outbound.rtt.smoothed == 0.0


# --- A stall


def test_a_head_that_waits_five_minutes_is_a_stall():
    outbound = sending(b"a", at=10.0)
    keep(outbound, 200.0, b"b")
    assert STALL_LIMIT == 300
    assert outbound.stalled_at() == 310.0
    outbound.acknowledge(0, 20.0)
    assert outbound.stalled_at() == 500.0


def test_resending_does_not_put_a_stall_off():
    outbound = sending(b"a", at=10.0)
    outbound.overdue(100.0)
    assert outbound.stalled_at() == 310.0


def test_time_without_a_connection_does_not_count_as_a_stall():
    outbound = sending(b"a", at=10.0)
    outbound.replay(1000.0)
    assert outbound.stalled_at() == 1300.0


# --- The agent's stand-in


def test_the_patient_one_resends_its_oldest_message_only():
    outbound = Outbound(patient=True)
    keep(outbound, 0.0, b"a", b"b")
    keep(outbound, 1.0, b"c")
    outbound.acknowledge(2, 1.1)
    assert outbound.lost(1.1) == []
    assert outbound.overdue(2.2) == [b"a"]
    assert outbound.overdue(outbound.due_at()) == [b"a"]
    outbound.acknowledge(0, 5.0)
    assert outbound.overdue(9.0) == [b"b"]


def test_the_patient_one_never_doubles_its_timeout():
    """Nor does the agent: at the end of a command it has two seconds for all its resends."""
    outbound = Outbound(patient=True)
    keep(outbound, 0.0, b"0")
    for resend in range(1, 10):
        assert outbound.due_at() == pytest.approx(0.2 * resend)
        assert outbound.overdue(outbound.due_at()) == [b"0"]


def test_the_patient_one_resends_at_most_one_message_in_a_tenth_of_a_second(monkeypatch):
    """As the agent does: that sets how fast a download recovers from its losses."""
    monkeypatch.setattr(module, "AGENTS_PAUSE", 0.1)
    outbound = Outbound(patient=True)
    keep(outbound, 0.0, b"a", b"b")
    assert outbound.overdue(0.2) == [b"a"]
    outbound.acknowledge(0, 0.21)
    assert outbound.overdue(0.25) == []
    assert outbound.due_at() == pytest.approx(0.3)
    assert outbound.overdue(outbound.due_at()) == [b"b"]


# --- Pacing


def test_a_pace_limits_messages_per_second():
    outbound = Outbound(pace=100.0)
    sent, now = 0, 0.0
    while now < 2.0:
        for _ in range(outbound.room(now)):
            outbound.keep(b"x", now)
            outbound.acknowledge(outbound.next_sequence - 1, now)
            sent += 1
        now += 0.001
    assert 200 <= sent <= 211


def test_a_producer_learns_when_the_pace_has_room_again():
    outbound = Outbound(pace=10.0)
    assert outbound.room(0.0) == 1
    assert outbound.paced_until(0.0) is None
    outbound.keep(b"x", 0.0)
    assert outbound.room(0.0) == 0
    assert outbound.paced_until(0.0) == pytest.approx(0.1)
    assert outbound.paced_until(0.05) == pytest.approx(0.1)
    assert outbound.room(0.1001) == 1


def test_without_a_pace_there_is_no_time_to_wait_for():
    outbound = sending(b"a", window=1)
    assert outbound.room(0.0) == 0
    assert outbound.paced_until(0.0) is None
