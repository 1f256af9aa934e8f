import pytest

from ssm_plugin.errors import CredentialsError, NetworkError, ServiceError
from ssm_plugin.session.timers import LAST_WORD_LIMIT, QUIET_INTERVAL, LastWord, Quiet, Timers


def quiet(look=lambda: None):
    """Of a session that was opened at 0.0."""
    made = Quiet(Timers(), look)
    made.begin(0.0)
    return made


def asked(made, until, waiting):
    return [now for now in range(0, until, 5) if made.asks(float(now), 7, waiting)]


def test_who_moves_is_alive():
    made = quiet()
    assert not any(made.asks(float(now), now, False) for now in range(1, 1000, 5))


def test_input_that_nobody_acknowledges_is_asked_about_after_ten_seconds_and_again():
    assert asked(quiet(), 40, True) == [10, 20, 30]


def test_an_idle_session_is_asked_about_less_and_less():
    assert asked(quiet(), 4000, False) == [60, 180, 420, 900, 1500, 2100, 2700, 3300, 3900]


def test_a_session_that_moves_again_is_left_alone_as_long_as_at_first():
    made = quiet()
    assert made.asks(60.0, 7, False)
    assert not made.asks(100.0, 8, False)
    assert not made.asks(155.0, 8, False)
    assert made.asks(160.0, 8, False)


def test_whoever_may_not_ask_does_not_ask_again():
    for error in (ServiceError("no", "AccessDeniedException", 400), CredentialsError("none")):
        made = quiet()
        assert made.asks(60.0, 7, False)
        made.told(error)
        assert not made.asks(1000.0, 7, True)


def test_an_answer_that_did_not_come_and_one_that_did_are_no_reason_to_stop_asking():
    for error in (None, NetworkError("no route"), ServiceError("slower", "ThrottlingException")):
        made = quiet()
        assert made.asks(60.0, 7, False)
        made.told(error)
        assert made.asks(1000.0, 7, False)


def test_it_looks_at_each_interval_from_the_beginning_on():
    timers, looks = Timers(), []
    made = Quiet(timers, lambda: looks.append(1))
    assert timers.next() is None
    made.begin(0.0)
    for number in (1, 2, 3):
        before = timers.next()
        timers.run(before - 0.001)
        assert len(looks) == number - 1
        timers.run(before)
        assert len(looks) == number
        assert before < timers.next() <= before + QUIET_INTERVAL


@pytest.mark.parametrize("busy", ["it comes", "it waits"])
def test_a_session_that_is_over_ends_by_itself_once_all_that_it_has_said_had_its_turn(busy):
    timers, ends, waiting, progress = Timers(), [], [], [0]
    last = LastWord(timers, lambda: not waiting, lambda: progress[0])
    assert not last.is_expected and timers.next() is None
    last.expect(lambda: ends.append(1))
    for number in (1, 2, 3):
        if busy == "it comes":
            progress[0] = number
        else:
            waiting[:] = [number]
        timers.run(timers.next())
        assert not ends and last.is_expected
    waiting.clear()
    due = timers.next()
    timers.run(due - LAST_WORD_LIMIT / 2)
    assert not ends
    timers.run(due)
    assert ends == [1]
