from ssm_plugin.session.quiet import Quiet


def test_who_moves_is_alive():
    quiet = Quiet(0.0)
    assert not any(quiet.asks(float(now), now, False) for now in range(1, 1000, 5))


def test_input_that_nobody_acknowledges_is_asked_about_after_ten_seconds_and_again():
    quiet = Quiet(0.0)
    asked = [now for now in range(0, 40, 5) if quiet.asks(float(now), 7, True)]
    assert asked == [10, 20, 30]


def test_an_idle_session_is_asked_about_less_and_less():
    quiet = Quiet(0.0)
    asked = [now for now in range(0, 4000, 5) if quiet.asks(float(now), 7, False)]
    assert asked == [60, 180, 420, 900, 1500, 2100, 2700, 3300, 3900]


def test_whoever_may_not_ask_does_not_ask_again():
    quiet = Quiet(0.0)
    assert quiet.asks(60.0, 7, False)
    quiet.denied()
    assert not quiet.asks(1000.0, 7, True)
