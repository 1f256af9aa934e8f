"""Random faults upon whole sessions, in short. scripts/prove_faults plays a thousand of them."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.schedules import KINDS, Playground, Schedule

# Quick ones. What else goes wrong for the first time goes wrong in scripts/prove_faults.
SEEDS = {kind: range(number * 100, number * 100 + 4) for number, kind in enumerate(KINDS)}
STRESSED = {kind: range(number * 100 + 50, number * 100 + 52) for number, kind in enumerate(KINDS)}


@pytest.fixture(scope="module")
def playground():
    with Playground() as playground:
        yield playground


@pytest.fixture
def quickly_switching():
    """Threads take turns a thousand times as often, so that each gap between two steps is found."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def play(playground, kind, seeds):
    schedules = [Schedule(seed, (kind,)) for seed in seeds]
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(playground.play, schedules))
    broken = ["%s\n%s" % (one.schedule, one.broken) for one in outcomes if one.broken]
    assert broken == []


@pytest.mark.parametrize("kind", KINDS)
def test_faults_change_neither_the_bytes_nor_their_order_nor_the_reason(playground, kind):
    play(playground, kind, SEEDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_holds_when_threads_switch_all_the_time(playground, kind, quickly_switching):
    play(playground, kind, STRESSED[kind])


def test_a_schedule_is_drawn_from_its_seed_alone():
    assert [str(Schedule(seed)) for seed in range(50)] == [
        str(Schedule(seed)) for seed in range(50)
    ]
    assert Schedule(3).data() == Schedule(3).data() != Schedule(3).data(1)
