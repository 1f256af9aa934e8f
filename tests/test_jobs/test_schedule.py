import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.fleet_plan import ErrorLimit, FleetPlan, error_limit, parse_max_errors
from ssm_plugin.jobs.schedule import MOST_STARTING, Schedule


def schedule(total, **plan):
    return Schedule(total, FleetPlan(**plan))


def start(schedule, now=0.0):
    """As many as may start; how many that are."""
    number = 0
    while schedule.may_start(now):
        schedule.started()
        number += 1
    return number


def end(schedule, *failures, now=0.0):
    for has_failed in failures:
        schedule.arrived()
        schedule.ended(has_failed, now)


def test_so_many_run_at_once_and_each_end_lets_one_more_start():
    fleet = schedule(5, parallel=2)
    assert (start(fleet), fleet.running, fleet.waiting) == (2, 2, 3)
    end(fleet, False)
    assert start(fleet) == 1
    end(fleet, True, False)
    assert start(fleet) == 2
    assert not fleet.is_over
    end(fleet, False, False)
    assert fleet.is_over and (fleet.done, fleet.failed) == (4, 1)


def test_only_so_many_are_on_their_way_at_once_however_many_may_run():
    fleet = schedule(1000, parallel=200)
    assert start(fleet) == MOST_STARTING and start(fleet) == 0
    for _ in range(10):
        fleet.arrived()
    assert start(fleet) == 10 and fleet.running == MOST_STARTING + 10


def test_once_so_many_have_failed_no_more_are_started_and_those_that_run_go_on():
    fleet = schedule(100, parallel=4, max_errors=ErrorLimit(3))
    start(fleet)
    end(fleet, True, True)
    assert start(fleet) == 2
    end(fleet, True)
    assert start(fleet) == 0 and fleet.running == 3 and not fleet.is_over
    end(fleet, False, True, False)
    assert fleet.is_over and fleet.waiting == 94
    assert fleet.stopped == "3 had failed"


@pytest.mark.parametrize(
    "text, total, enough",
    [("3", 100, 3), ("10%", 50, 5), ("10%", 51, 6), ("1%", 5, 1), ("100%", 7, 7), ("9", 2, 9)],
)
def test_a_part_of_the_targets_is_rounded_up(text, total, enough):
    assert parse_max_errors(text).of(total) == enough


@pytest.mark.parametrize("text", ["0", "0%", "150%", "-1", "1.5", "", "%", "3 %", "ten", "\u0664"])
def test_what_is_no_limit_of_failures_is_a_mistake(text):
    with pytest.raises(UsageError):
        parse_max_errors(text)


def test_a_program_may_give_a_number():
    assert error_limit(3) == ErrorLimit(3)
    assert error_limit("5%") == ErrorLimit(5, True)
    assert error_limit(None) is None
    with pytest.raises(UsageError):
        error_limit(0)


def test_the_next_batch_starts_when_all_have_ended_and_the_pause_is_over():
    fleet = schedule(5, rolling=2, pause=30.0)
    assert start(fleet, 100.0) == 2
    end(fleet, False, now=110.0)
    assert start(fleet, 110.0) == 0 and fleet.wake_at() is None
    end(fleet, True, now=120.0)
    assert start(fleet, 149.9) == 0 and fleet.wake_at() == 150.0
    assert start(fleet, 150.0) == 2 and fleet.wake_at() is None
    end(fleet, False, False, now=160.0)
    assert start(fleet, 190.0) == 1
    end(fleet, False, now=200.0)
    assert fleet.is_over  # without a pause after the last one


def test_within_a_batch_no_more_run_at_once_than_allowed():
    fleet = schedule(6, parallel=2, rolling=3)
    assert start(fleet) == 2
    end(fleet, False)
    assert start(fleet) == 1
    end(fleet, False, False)
    assert start(fleet) == 2


def test_failures_stop_between_batches_without_a_pause():
    fleet = schedule(6, rolling=2, pause=30.0, max_errors=ErrorLimit(1))
    start(fleet)
    end(fleet, True, False, now=1.0)
    assert fleet.is_over and fleet.wake_at() is None and start(fleet, 99.0) == 0


def test_told_to_stop_it_starts_no_more_and_the_first_reason_counts():
    fleet = schedule(6, parallel=2, max_errors=ErrorLimit(1))
    start(fleet)
    fleet.stop("signal 2 came")
    end(fleet, True, True)
    assert fleet.is_over and fleet.stopped == "signal 2 came"


def test_a_pause_needs_batches():
    with pytest.raises(UsageError):
        FleetPlan(pause=1.0).check()
    assert FleetPlan(rolling=1, pause=1.0).check().pause == 1.0


def test_of_no_targets_it_is_over_at_once():
    assert schedule(0, max_errors=ErrorLimit(10, True)).is_over
