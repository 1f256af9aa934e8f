import queue

import pytest

from ssm_plugin.jobs import time_limit
from ssm_plugin.jobs.time_limit import TimeLimit, TimeUp
from ssm_plugin.session.loop import EndRequested


def test_time_up_comes_first_and_then_the_end_of_the_session():
    events = queue.Queue()
    with TimeLimit(0.05, events) as limit:
        assert isinstance(events.get(timeout=5), TimeUp)
        end = events.get(timeout=time_limit.GRACE + 5)
    assert isinstance(end, EndRequested)
    assert end.status == 124
    assert limit.passed


def test_a_command_that_ends_at_once_when_told_gets_no_second_event():
    events = queue.Queue()
    with TimeLimit(0.05, events):
        events.get(timeout=5)
    assert events.empty()


@pytest.mark.parametrize("seconds", [None, 3600.0])
def test_what_ends_in_time_hears_nothing(seconds):
    events = queue.Queue()
    with TimeLimit(seconds, events) as limit:
        pass
    assert events.empty()
    assert not limit.passed
