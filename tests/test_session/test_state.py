import itertools

import pytest

from ssm_plugin.errors import StateError
from ssm_plugin.session.state import IGNORED, TRANSITIONS, Event, advance
from ssm_plugin.session.types import SessionStatus

ENDS = (SessionStatus.TERMINATED, SessionStatus.FAILED)


@pytest.mark.parametrize(
    "status, event",
    list(itertools.product(SessionStatus, Event)),
    ids=lambda value: value.value,
)
def test_each_pair_is_a_transition_or_ignored_or_an_error(status, event):
    pair = (status, event)
    if pair in TRANSITIONS:
        assert pair not in IGNORED
        assert advance(status, event) is TRANSITIONS[pair]
    elif pair in IGNORED:
        assert advance(status, event) is status
    else:
        with pytest.raises(StateError) as caught:
            advance(status, event)
        assert status.value.lower() in str(caught.value)
        assert event.value in str(caught.value)


def test_a_transition_leads_somewhere_else():
    assert [pair for pair, status in TRANSITIONS.items() if pair[0] is status] == []


def test_from_an_end_nothing_leads_anywhere():
    assert [status for status, _ in TRANSITIONS if status in ENDS] == []


def test_every_status_can_be_reached_and_every_one_but_an_end_can_be_left():
    reached = {SessionStatus.CREATED}
    while True:
        more = {status for (origin, _), status in TRANSITIONS.items() if origin in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(SessionStatus)
    assert {status for status, _ in TRANSITIONS} == set(SessionStatus) - set(ENDS)


def test_from_everywhere_an_end_can_be_asked_for_twice():
    for status in SessionStatus:
        ending = advance(status, Event.TERMINATE)
        assert advance(ending, Event.TERMINATE) is ending
        assert advance(ending, Event.END) in ENDS
        assert advance(status, Event.FAIL) in ENDS
