from ssm_plugin.aws.pacer import DECREASE, SLOWEST, Pacer, shared_pacer
from tests.support.clock import Clock


def test_at_first_there_is_no_limit():
    pacer = Pacer(Clock())
    assert [pacer.turn().wait() for _ in range(1000)] == [0.0] * 1000
    assert pacer.rate is None


def throttled(successes=20):
    """A pacer that was throttled after so many successes within the last second."""
    clock = Clock()
    pacer = Pacer(clock)
    for _ in range(successes):
        pacer.turn().succeeded()
    pacer.turn().throttled()
    return pacer, clock


def test_the_first_throttling_lowers_it_to_a_part_of_what_has_succeeded():
    pacer, _ = throttled(20)
    assert pacer.rate == 20 * DECREASE


def test_successes_of_long_ago_say_nothing():
    clock = Clock()
    pacer = Pacer(clock)
    for _ in range(50):
        pacer.turn().succeeded()
    clock.advance(5.0)
    pacer.turn().succeeded()
    pacer.turn().throttled()
    assert pacer.rate == DECREASE


def test_starts_that_were_under_way_together_lower_it_once():
    clock = Clock()
    pacer = Pacer(clock)
    turns = [pacer.turn() for _ in range(120)]
    for turn in turns[:20]:
        turn.succeeded()
    for turn in turns[20:]:
        turn.throttled()
    assert pacer.rate == 20 * DECREASE


def test_turns_follow_each_other_at_the_rate_for_all_together():
    pacer, clock = throttled(20)
    turns = [pacer.turn() for _ in range(15)]
    gap = 1 / pacer.rate
    assert [round(turn.wait() / gap, 6) for turn in turns] == list(range(1, 16))
    clock.advance(gap * 1.001)
    assert [turn.wait() <= 0 for turn in turns] == [True] + [False] * 14


def test_those_who_wait_feel_the_next_lowering_too():
    pacer, clock = throttled(20)
    first, *_, last = [pacer.turn() for _ in range(15)]
    clock.advance(first.wait())
    assert first.wait() <= 0
    before = last.wait()
    first.throttled()
    assert last.wait() > before / DECREASE


def test_each_success_raises_it_by_one_start_a_second_within_a_second():
    pacer, clock = throttled(20)
    rate = pacer.rate
    for _ in range(int(rate)):
        turn = pacer.turn()
        clock.advance(max(0.0, turn.wait()))
        turn.succeeded()
    assert rate + 0.9 < pacer.rate < rate + 1.1


def test_it_never_stands_still():
    pacer, clock = throttled(0)
    for _ in range(20):
        turn = pacer.turn()
        clock.advance(turn.wait())
        assert turn.wait() <= 0
        turn.throttled()
    assert pacer.rate == SLOWEST


def test_time_without_starts_is_not_saved_up():
    pacer, clock = throttled(20)
    clock.advance(60.0)
    waits = [pacer.turn().wait() for _ in range(3)]
    assert waits[0] <= 0 < waits[1] < waits[2]


def play(limit, starts, seconds):
    """A service that takes ``limit`` starts a second, asked for ``starts`` of them: the refusals,
    and the time in seconds until all have been taken."""
    clock = Clock(0.0)
    pacer = Pacer(clock)
    tokens, refused, left = float(limit), 0, starts
    turns = [pacer.turn() for _ in range(starts)]
    while left and clock.now < seconds:
        due = [turn for turn in turns if turn.wait() <= 0]
        for turn in due:
            turns.remove(turn)
            if tokens >= 1.0:
                tokens, left = tokens - 1.0, left - 1
                turn.succeeded()
            else:
                refused += 1
                turn.throttled()
                turns.append(pacer.turn())
        clock.advance(0.01)
        tokens = min(float(limit), tokens + limit * 0.01)
    return refused, clock.now


def test_it_comes_close_to_the_rate_of_the_service_and_stays_there():
    refused, seconds = play(20, 400, 60.0)
    assert 19.0 <= seconds <= 28.0
    assert refused < 440  # all that were sent before the first answer, and then a few


def test_one_process_has_one_pacer_for_a_region():
    assert shared_pacer("eu-west-1") is shared_pacer("eu-west-1")
    assert shared_pacer("eu-west-1") is not shared_pacer("eu-west-1", "http://127.0.0.1:1")
