"""Random faults upon whole sessions, in short. scripts/prove_faults plays a thousand of them."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.schedules import KINDS, Playground, Schedule

AT_ONCE = 8


# The first test of each table waits for all of it.
pytestmark = pytest.mark.timeout(90)


def play_some(first, count):
    """By kind, what was broken of so many schedules of each."""
    schedules = [
        Schedule(first + 100 * number + more, (kind,))
        for number, kind in enumerate(KINDS)
        for more in range(count)
    ]
    with Playground() as playground, ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(playground.play, schedules))
    return {
        kind: [
            "%s\n%s" % (one.schedule, one.broken)
            for one in outcomes
            if one.broken and one.schedule.kind == kind
        ]
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def usual():
    return play_some(0, 4)


@pytest.fixture(scope="module")
def stressed():
    """Threads take turns a thousand times as often, so that each gap between two steps is found."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        return play_some(50, 2)
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("kind", KINDS)
def test_faults_change_neither_the_bytes_nor_their_order_nor_the_reason(usual, kind):
    assert usual[kind] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_holds_when_threads_switch_all_the_time(stressed, kind):
    assert stressed[kind] == []


def test_a_schedule_is_drawn_from_its_seed_alone():
    assert [str(Schedule(seed)) for seed in range(50)] == [
        str(Schedule(seed)) for seed in range(50)
    ]
    assert Schedule(3).data() == Schedule(3).data() != Schedule(3).data(1)
