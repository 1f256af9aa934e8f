"""Who is told of --speed: those whose download crawls at the agent's pace, once. And a relay that
is no faster than a plain tunnel is noticed, and no other."""

from ssm_plugin.relay.pace import ENOUGH, PERIOD, PaceHint, RelayPace

KIB = 1024


# --- A plain download


def told_after(hint, size, rate, start=0.0):
    """After how many bytes it is said, if ``size`` bytes come at ``rate`` bytes a second."""
    said = []
    for number in range(1, size // KIB + 1):
        if hint.came(KIB, start + number * KIB / rate):
            said.append(number * KIB)
    return said


def test_a_download_at_the_agent_s_pace_is_told_of_it_once():
    assert told_after(PaceHint(), 3 * ENOUGH, 0.7e6) == [ENOUGH]


def test_a_fast_download_is_not():
    assert told_after(PaceHint(), 3 * ENOUGH, 8e6) == []


def test_a_short_one_is_not():
    assert told_after(PaceHint(), ENOUGH - KIB, 0.7e6) == []


def test_many_short_ones_are_not():
    hint = PaceHint()
    for number in range(5):
        assert told_after(hint, ENOUGH // 2, 0.7e6, number * 100.0) == []


def test_a_download_that_was_fast_at_first_is_told_once_it_crawls():
    hint = PaceHint()
    assert told_after(hint, ENOUGH, 8e6) == []
    assert len(told_after(hint, 2 * ENOUGH, 0.7e6, ENOUGH / 8e6)) == 1


# --- A relay


def slow_after(pace, rate, seconds, start=0.0, step=1.0):
    """After how many seconds it is slow, while more waits all the time; None if it never is."""
    for number in range(int(seconds / step) + 1):
        if pace.waits(start + number * step):
            return number * step
        pace.came(int(rate * step))
    return None


def test_what_stays_at_the_agents_pace_is_slow():
    assert slow_after(RelayPace(), 0.7e6, 60) == PERIOD


def test_what_is_faster_is_not():
    assert slow_after(RelayPace(), 5e6, 60) is None


def test_a_period_that_is_slow_after_a_fast_one_counts():
    pace = RelayPace()
    assert slow_after(pace, 5e6, PERIOD) is None
    assert slow_after(pace, 0.5e6, 60, start=PERIOD + 1) is not None


def test_a_target_that_has_little_to_send_makes_no_relay_slow():
    """Its bytes come, and nothing waits; or it waits for a moment, again and again."""
    pace = RelayPace()
    for number in range(100):
        pace.came(1000)
        assert not pace.waits(number * 10.0)


def test_what_came_before_more_waited_does_not_count():
    pace = RelayPace()
    pace.came(1 << 30)
    assert slow_after(pace, 0.7e6, 60) == PERIOD
