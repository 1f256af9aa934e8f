from ssm_plugin.loopback.fault_plan import GatewayPlan
from ssm_plugin.loopback.throttle import Throttle
from ssm_plugin.wire import message

KIB = b"m" * (message.PREFIX.size + 1024)


def throttle(rate=102400, buffer=64 * 1024, patience=60.0):
    return Throttle(GatewayPlan(rate, buffer, patience))


def types(messages):
    return [message.parse(one).message_type for one in messages]


def passed(gateway, seconds):
    """Messages that pass from 0 to then, taken as often as the gateway asks for it."""
    now, count = 0.0, 0
    while now is not None and now <= seconds:
        count += len(gateway.take(now))
        now = gateway.next_timer(now)
    return count


def test_what_passes_follows_the_rate():
    gateway = throttle()
    gateway.put([KIB] * 60, 0.0)
    assert 25 <= passed(gateway, 0.25) <= 31


def test_what_waits_passes_in_the_end_and_then_no_timer_runs():
    gateway = throttle()
    gateway.put([KIB] * 60, 0.0)
    assert passed(gateway, 10.0) == 60
    assert gateway.next_timer(10.0) is None


def test_a_buffer_half_full_pauses_the_client_once():
    gateway = throttle()
    assert gateway.put([KIB] * 31, 0.0) == []
    assert types(gateway.put([KIB], 0.0)) == [message.PAUSE_PUBLICATION]
    assert gateway.put([KIB], 0.0) == []


def test_a_drained_buffer_starts_the_client_again():
    gateway = throttle()
    gateway.put([KIB] * 32, 0.0)
    gateway.take(0.0)
    assert gateway.answers() == []
    passed(gateway, 1.0)
    assert types(gateway.answers()) == [message.START_PUBLICATION]
    assert gateway.answers() == []


def test_what_comes_beyond_the_buffer_is_lost():
    gateway = throttle()
    gateway.put([KIB] * 70, 0.0)
    assert gateway.lost == 6
    assert passed(gateway, 10.0) == 64


def test_a_buffer_that_stays_full_ends_the_session():
    gateway = throttle(rate=1024, patience=5.0)
    for second in range(5):
        gateway.take(float(second))
        gateway.put([KIB] * 65, float(second))
        assert not gateway.gives_up(float(second))
    assert gateway.gives_up(5.0)


def test_a_buffer_that_has_room_again_does_not_end_it():
    gateway = throttle(patience=0.4)
    gateway.put([KIB] * 65, 0.0)
    passed(gateway, 0.3)
    assert not gateway.gives_up(0.5)
