from ssm_plugin.errors import CredentialsError
from ssm_plugin.session.quiet import INTERVAL, Quiet
from ssm_plugin.session.timers import Timers


def new_quiet():
    quiet = Quiet(Timers(), lambda: None)
    quiet.begin(0.0)
    return quiet


def test_who_moves_is_alive():
    quiet = new_quiet()
    assert not any(quiet.asks(float(now), now, False) for now in range(1, 1000, 5))


def test_input_that_nobody_acknowledges_is_asked_about_after_ten_seconds_and_again():
    quiet = new_quiet()
    asked = [now for now in range(0, 40, 5) if quiet.asks(float(now), 7, True)]
    assert asked == [10, 20, 30]


def test_an_idle_session_is_asked_about_less_and_less():
    quiet = new_quiet()
    asked = [now for now in range(0, 4000, 5) if quiet.asks(float(now), 7, False)]
    assert asked == [60, 180, 420, 900, 1500, 2100, 2700, 3300, 3900]


def test_whoever_may_not_ask_does_not_ask_again():
    quiet = new_quiet()
    assert quiet.asks(60.0, 7, False)
    quiet.told(CredentialsError("there are none"))
    assert not quiet.asks(1000.0, 7, True)


def test_it_looks_at_each_interval_from_the_beginning_on():
    timers, looks = Timers(), []
    quiet = Quiet(timers, lambda: looks.append(len(looks)))
    timers.run(float("inf"))
    assert looks == []
    quiet.begin(0.0)
    for expected in ([0], [0, 1]):
        due = timers.next()
        timers.run(due - INTERVAL / 2)
        assert looks == expected[:-1]
        timers.run(due)
        assert looks == expected
