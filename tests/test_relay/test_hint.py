"""Who is told of --speed: those whose download crawls at the agent's pace, once."""

from ssm_plugin.relay.hint import ENOUGH, PaceHint

KIB = 1024


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
