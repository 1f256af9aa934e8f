import pytest

from ssm_plugin.channel.congestion import GRANULARITY, RoundTripEstimator


def test_before_any_sample_the_timeout_is_200_ms():
    assert RoundTripEstimator().timeout == 0.2


def test_the_first_sample_sets_the_estimate():
    rtt = RoundTripEstimator()
    rtt.sample(0.1)
    assert (rtt.smoothed, rtt.variation, rtt.minimum) == (0.1, 0.05, 0.1)
    assert rtt.timeout == pytest.approx(0.3)


def test_later_samples_move_it_by_an_eighth_and_a_quarter():
    rtt = RoundTripEstimator()
    rtt.sample(0.08)
    rtt.sample(0.16)
    assert rtt.smoothed == pytest.approx(0.09)
    assert rtt.variation == pytest.approx(0.04 + (0.08 - 0.04) / 4)
    assert rtt.timeout == pytest.approx(0.09 + 4 * 0.05)


def test_on_a_steady_path_the_timeout_nears_the_round_trip_and_the_granularity():
    rtt = RoundTripEstimator()
    for _ in range(100):
        rtt.sample(0.05)
    assert rtt.timeout == pytest.approx(0.05 + GRANULARITY)


def test_the_timeout_is_a_second_at_most():
    rtt = RoundTripEstimator()
    for _ in range(10):
        rtt.sample(7.0)
    assert rtt.timeout == 1.0


def test_the_shortest_round_trip_is_remembered_until_the_path_changes():
    rtt = RoundTripEstimator()
    for elapsed in (0.3, 0.1, 0.2):
        rtt.sample(elapsed)
    assert rtt.minimum == 0.1
    smoothed = rtt.smoothed
    rtt.forget_path()
    assert rtt.minimum == float("inf")
    assert rtt.smoothed == smoothed
