import sys
import threading

import pytest

from ssm_plugin.errors import (
    DeadlineError,
    HandshakeError,
    SessionInterrupted,
    SessionLost,
    StateError,
)
from ssm_plugin.session.lifecycle import (
    GOOD_AFTER,
    HANDSHAKE_LIMIT,
    IGNORED,
    TRANSITIONS,
    Event,
    Lifecycle,
    Limits,
    Outcome,
    State,
)
from ssm_plugin.session.types import SessionStatus

LOSS = ConnectionResetError("reset")
GOOD = Outcome(0)


def opening(**limits):
    """Connected at 0.0, and waiting for the node's first message."""
    life = Lifecycle(Limits(**limits))
    life.execute(0.0)
    life.connected(0.0, 0)
    return life


def running(**limits):
    life = opening(**limits)
    life.started()
    return life


def run_until(life, now):
    """The moments up to then at which it asks to be taken for open."""
    found = []
    while life.next_timer() is not None and life.next_timer() <= now:
        at = life.next_timer()
        if life.due(at):
            found.append(at)
    return found


# --- The table


def test_every_pair_is_either_in_the_table_or_ignored_or_a_mistake():
    assert not IGNORED & set(TRANSITIONS)
    for state in State:
        for event in Event:
            life = Lifecycle(Limits())
            life.state = state
            if (state, event) in IGNORED:
                assert life._advance(event) is state
            elif (state, event) in TRANSITIONS:
                assert life._advance(event) is TRANSITIONS[state, event]
            else:
                with pytest.raises(StateError):
                    life._advance(event)
                assert life.state is state


def test_an_end_is_possible_from_everywhere_and_nothing_leads_out_of_it():
    for state in State:
        assert (state, Event.END) in TRANSITIONS or (state, Event.END) in IGNORED
    for (state, _), following in TRANSITIONS.items():
        assert state not in (State.TERMINATED, State.FAILED)
        if state in (State.LEAVING, State.CLOSING):
            assert following in (State.CLOSING, State.TERMINATED, State.FAILED)


def test_a_good_session_goes_the_whole_way():
    life = Lifecycle(Limits())
    seen = [life.status]
    life.execute(0.0)
    seen.append(life.status)
    life.connected(0.0, 0)
    life.started()
    seen.append(life.status)
    life.closed(Outcome(7, exit_code=7))
    seen.append(life.status)
    life.cleaned()
    seen.append(life.status)
    assert seen == [
        SessionStatus.CREATED,
        SessionStatus.CONNECTING,
        SessionStatus.CONNECTED,
        SessionStatus.TERMINATING,
        SessionStatus.TERMINATED,
    ]
    assert life.outcome == Outcome(7, exit_code=7)


# --- Ends


def test_the_first_reason_for_an_end_counts():
    life = running()
    life.end(Outcome(143))
    life.fail(LOSS)
    life.closed(Outcome(0, reason="bye"))
    life.cleaned()
    assert life.outcome == Outcome(143)
    assert life.state is State.TERMINATED


def test_an_end_of_ours_is_to_be_told_to_the_service_unless_it_has_told_us():
    life = running()
    assert life.goes_on_at_service
    life.end(GOOD)
    assert life.goes_on_at_service
    life.closed(GOOD)
    assert not life.goes_on_at_service


def test_what_goes_wrong_while_cleaning_up_makes_a_failure_of_a_good_end():
    life = running()
    life.end(GOOD)
    life.cleaned(LOSS)
    assert (life.state, life.outcome.status, life.outcome.error) == (State.FAILED, 255, LOSS)


def test_an_error_is_an_outcome_and_may_say_its_exit_status():
    life = running()
    life.fail(SessionInterrupted("enough", 124))
    life.cleaned()
    assert (life.state, life.outcome.status) == (State.FAILED, 124)


def test_a_session_that_was_never_executed_can_be_ended():
    life = Lifecycle(Limits())
    life.end(GOOD)
    life.cleaned()
    assert life.status is SessionStatus.TERMINATED


def test_a_session_is_executed_once():
    life = running()
    with pytest.raises(StateError, match="running cannot be executed"):
        life.execute(1.0)


# --- Silence


def test_connecting_has_a_limit():
    life = Lifecycle(Limits(connect=60.0))
    life.execute(100.0)
    assert life.next_timer() == 160.0
    assert not life.due(160.0)
    assert isinstance(life.outcome.error, DeadlineError)


def test_a_node_that_says_nothing_has_a_limit_where_nobody_waits_for_it():
    life = opening(first_output=60.0)
    run_until(life, 60.0)
    assert "sent nothing within 60 s" in str(life.outcome.error)
    assert opening(first_output=None).next_timer() is None


def test_where_silence_is_no_bad_sign_it_ends_the_wait_for_a_handshake():
    life = opening(quiet_start=10.0)
    assert run_until(life, 100.0) == [10.0]
    life.started()
    assert life.state is State.RUNNING and life.next_timer() is None


def test_a_quiet_session_that_lost_its_connection_waits_afresh_on_the_next_one():
    life = opening(quiet_start=10.0)
    life.lost(5.0, 0, LOSS)
    assert life.retry_at == 5.0
    life.connected(6.0, 0)
    assert run_until(life, 100.0) == [16.0]


def test_a_handshake_that_has_begun_has_a_limit():
    life = opening(first_output=60.0)
    life.negotiating(1.0)
    run_until(life, 1.0 + HANDSHAKE_LIMIT)
    assert isinstance(life.outcome.error, HandshakeError)


def test_a_handshake_that_is_cut_over_and_over_has_the_same_limit():
    life = opening(quiet_start=10.0)
    assert run_until(life, 10.0) == [10.0]
    life.negotiating(10.0)
    now = 20.0
    while not life.is_ending and now < 1000.0:
        life.lost(now, int(now), LOSS)
        life.connected(now + 1.0, int(now))
        for _ in run_until(life, now + 15.0):
            life.negotiating(now + 11.0)  # which has not started by its silence
        now += 15.0
    assert isinstance(life.outcome.error, HandshakeError)
    assert now < 10.0 + HANDSHAKE_LIMIT + 15.0


def test_a_session_that_has_started_waits_for_nothing():
    life = opening(first_output=60.0)
    life.negotiating(1.0)
    life.started()
    assert life.next_timer() is None


# --- A lost connection


def test_a_lost_connection_is_resumed_at_once():
    life = running()
    life.lost(100.0, 5, LOSS)
    assert life.status is SessionStatus.RESUMING
    assert life.retry_at == 100.0
    life.connected(101.0, 5)
    assert life.state is State.RUNNING
    assert life.next_timer() is None and life.retry_at is None


def test_attempts_come_after_growing_pauses_until_the_limit():
    life = running(reconnect=60.0, attempt=20.0)
    life.lost(0.0, 0, LOSS)
    moments = []
    while life.retry_at is not None:
        moments.append(life.retry_at)
        life.attempt_failed(life.retry_at, LOSS)
    pauses = [after - before for before, after in zip(moments, moments[1:])]
    assert moments[0] == 0.0 and moments[-1] == 60.0
    assert 0.25 <= pauses[0] <= 0.5 and max(pauses) <= 30.0
    assert not life.is_ending
    life.give_up(LOSS)
    assert "cannot be resumed: reset" in str(life.outcome.error)
    assert life.outcome.error.__cause__ is LOSS


def test_an_attempt_that_is_under_way_at_the_limit_may_still_succeed():
    life = running(reconnect=60.0, attempt=20.0)
    life.lost(0.0, 0, LOSS)
    assert life.retry_at == 0.0
    assert life.next_timer() == 80.0
    life.connected(79.0, 0)
    assert life.state is State.RUNNING


def test_an_attempt_that_never_ends_is_given_up():
    life = running(reconnect=60.0, attempt=20.0)
    life.lost(0.0, 0, LOSS)
    run_until(life, 80.0)
    assert isinstance(life.outcome.error, SessionLost)


def test_connections_that_are_of_no_use_do_not_start_the_time_afresh():
    life = running(reconnect=60.0)
    now = 0.0
    life.lost(now, 0, LOSS)
    while life.retry_at is not None and now < 1000.0:
        now = life.retry_at
        life.connected(now, 0)
        life.lost(now + 0.01, 0, LOSS)
    assert life.retry_at is None and 59.0 <= now <= 61.0


@pytest.mark.parametrize("progress, after", [(1, 0.01), (0, GOOD_AFTER)])
def test_a_connection_that_was_of_use_does(progress, after):
    life = running(reconnect=60.0)
    life.lost(0.0, 0, LOSS)
    life.connected(50.0, 0)
    life.lost(50.0 + after, progress, LOSS)
    assert life.retry_at == 50.0 + after
    life.attempt_failed(100.0, LOSS)
    assert life.retry_at is not None


def test_what_no_attempt_can_heal_is_a_failure_at_once():
    life = running()
    life.lost(0.0, 0, LOSS)
    life.give_up(PermissionError("denied"))
    assert "cannot be resumed: denied" in str(life.outcome.error)
    assert life.retry_at is None and life.next_timer() is None


def test_a_connection_that_comes_after_the_end_is_not_wanted():
    life = running()
    life.lost(0.0, 0, LOSS)
    life.end(GOOD)
    assert life.connected(1.0, 0) is False
    life.lost(2.0, 0, LOSS)
    life.attempt_failed(2.0, LOSS)
    assert life.next_timer() is None and life.retry_at is None


def test_a_session_may_be_found_to_be_over_while_it_is_being_resumed():
    life = running()
    life.lost(0.0, 0, LOSS)
    life.closed(Outcome(255))
    assert not life.goes_on_at_service


def test_a_node_may_have_started_the_session_just_before_its_connection_was_lost():
    life = opening()
    life.lost(1.0, 0, LOSS)
    life.started()
    assert life.state is State.RESUMING


def test_two_threads_may_end_it_at_the_same_moment():
    """Its own, and the owner's, which will not wait for it any longer."""
    lives, errors = [Lifecycle(Limits()) for _ in range(10000)], []
    for life in lives:
        life.execute(0.0)

    def end_all():
        try:
            for life in lives:
                life.end(Outcome(1))
        except StateError as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=end_all) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert {life.state for life in lives} == {State.LEAVING}
