import pytest

from ssm_plugin.errors import MessageError
from ssm_plugin.loopback import control
from ssm_plugin.loopback.fault_plan import parse_faults
from ssm_plugin.loopback.faults import BYE, DROP, ConnectionFaults, DirectionFaults
from ssm_plugin.wire import message

from .helpers import acknowledgement, data, number

HUNDRED = [data(n) for n in range(100)]


def faults(text, seed="0"):
    return DirectionFaults(parse_faults(text).down, seed)


def numbers(messages):
    return [number(one) for one in messages]


def types(messages):
    return [message.parse(one).message_type for one in messages]


def test_without_a_fault_everything_passes():
    assert faults("").apply(HUNDRED, 0.0) == HUNDRED


def test_all_is_lost():
    assert faults("lose").apply(HUNDRED, 0.0) == []


def test_a_rate_loses_about_so_many():
    assert 60 <= len(faults("lose=30%").apply(HUNDRED, 0.0)) <= 80


def test_a_count_loses_the_first_ones():
    assert numbers(faults("lose=3").apply(HUNDRED, 0.0)) == list(range(3, 100))


def test_the_same_seed_loses_the_same_messages():
    first, again, other = (faults("lose=30%", seed).apply(HUNDRED, 0.0) for seed in "112")
    assert first == again != other


def test_doubled_messages_follow_each_other():
    assert numbers(faults("double=2").apply(HUNDRED[:3], 0.0)) == [0, 0, 1, 1, 2]


def test_a_reordered_message_is_overtaken_by_the_next():
    assert numbers(faults("reorder=1").apply(HUNDRED[:4], 0.0)) == [1, 0, 2, 3]


def test_reordering_everything_loses_nothing():
    assert numbers(faults("reorder").apply(HUNDRED[:4], 0.0)) == [1, 0, 3, 2]


def test_a_message_that_nothing_overtakes_goes_in_the_end():
    link = faults("reorder=1")
    assert link.apply(HUNDRED[:1], 1.0) == []
    timer = link.next_timer()
    assert 1.0 < timer < 1.1
    assert link.due(1.0) == []
    assert link.due(timer) == HUNDRED[:1]
    assert link.next_timer() is None


def test_a_delayed_message_comes_when_it_is_due():
    link = faults("delay=2:20ms")
    assert numbers(link.apply(HUNDRED[:3], 1.0)) == [2]
    assert link.next_timer() == pytest.approx(1.02)
    assert link.due(1.01) == []
    assert numbers(link.apply(HUNDRED[3:4], 1.02)) == [0, 1, 3]
    assert link.next_timer() is None


def test_the_nearest_timer_counts():
    link = faults("delay=1:1s,reorder=1")
    link.apply(HUNDRED[:2], 0.0)
    assert link.next_timer() == pytest.approx(0.02)


def test_flushing_gives_everything_back():
    link = faults("delay=2:20s,reorder=1")
    link.apply(HUNDRED[:3], 0.0)
    assert numbers(link.flush()) == [0, 1, 2]


def test_acknowledgements_alone_are_dropped():
    mixed = [data(0), acknowledgement(0), data(1), acknowledgement(1)]
    assert faults("no-acknowledge").apply(mixed, 0.0) == mixed[::2]
    assert faults("no-acknowledge=1").apply(mixed, 0.0) == [mixed[0]] + mixed[2:]


@pytest.mark.parametrize("seed", list("0123456789"))
def test_a_corrupt_message_does_not_pass_its_check(seed):
    (corrupt,) = faults("corrupt", seed).apply([data(7, b"x" * 20)], 0.0)
    with pytest.raises(MessageError, match="digest"):
        message.parse(corrupt)
    assert corrupt[:80] == data(7, b"x" * 20)[:80]


def test_what_is_too_short_for_a_message_stays_as_it_is():
    assert faults("corrupt").apply([b"short"], 0.0) == [b"short"]


def test_the_end_of_the_channel_always_comes_through():
    closed = control.channel_closed("s-1", "i-1", "")
    link = faults("lose,no-acknowledge,delay,corrupt,double,reorder")
    assert link.apply([closed, data(0)], 0.0) == [closed]


def test_a_pause_ends_after_its_time():
    link = faults("pause=1:500ms")
    out = link.apply(HUNDRED[:3], 10.0)
    assert types(out) == [
        "input_stream_data",
        "pause_publication",
        "input_stream_data",
        "input_stream_data",
    ]
    assert link.next_timer() == pytest.approx(10.5)
    assert types(link.due(10.5)) == ["start_publication"]


def connection(text):
    return ConnectionFaults(parse_faults(text))


def test_without_a_fault_the_connection_lasts():
    assert connection("lose=5%").relay(HUNDRED, 0.0) == (HUNDRED, None)


def test_the_connection_is_cut_after_so_many_messages():
    cut = connection("drop-after=150")
    assert cut.relay(HUNDRED, 0.0) == (HUNDRED, None)
    assert cut.relay(HUNDRED, 0.0) == (HUNDRED[:50], DROP)
    assert cut.relay(HUNDRED, 0.0) == (HUNDRED, None)


def test_a_limit_met_exactly_ends_the_connection_at_once():
    assert connection("bye-after=100").relay(HUNDRED, 0.0) == (HUNDRED, BYE)


def test_every_connection_is_cut_again():
    cut = connection("bye-every=60")
    for _ in range(3):
        cut.connected()
        assert cut.relay(HUNDRED, 0.0) == (HUNDRED[:60], BYE)
        assert cut.relay(HUNDRED, 0.0) == (HUNDRED, None)


def test_the_nearest_limit_comes_first():
    cut = connection("bye-after=30,drop-after=20")
    assert cut.relay(HUNDRED[:25], 0.0) == (HUNDRED[:20], DROP)
    assert cut.relay(HUNDRED[:25], 0.0) == (HUNDRED[:10], BYE)


def test_a_silence_swallows_everything_for_its_time():
    silent = connection("silent=100:3s")
    assert silent.relay(HUNDRED, 10.0) == (HUNDRED, None)
    assert silent.quiet_until == 0.0
    assert silent.relay(HUNDRED, 11.0) == ([], None)
    assert silent.quiet_until == 14.0
    assert silent.relay(HUNDRED, 13.9) == ([], None)
    assert silent.relay(HUNDRED, 14.0) == (HUNDRED, None)


def test_tokens_and_upgrades_are_refused_so_many_times():
    refusing = connection("refuse-token=2,refuse-upgrade=1")
    assert [refusing.refuses_token() for _ in range(3)] == [True, True, False]
    assert [refusing.refuses_upgrade() for _ in range(2)] == [True, False]
