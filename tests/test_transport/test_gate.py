import threading

from ssm_plugin.transport.gate import Gate


def test_it_closes_at_the_high_mark_and_opens_at_the_low_one():
    gate = Gate(10, 4)
    gate.add(9)
    assert not gate.is_closed
    gate.add(1)
    assert gate.is_closed
    gate.remove(5)
    assert gate.is_closed
    gate.remove(1)
    assert not gate.is_closed


def test_an_open_gate_holds_nobody_up():
    assert Gate(10, 4).wait() is False


def waiting(gate):
    """A thread that waits, and the list that the result of ``wait`` will be in."""
    results = []
    thread = threading.Thread(target=lambda: results.append(gate.wait()))
    thread.start()
    return thread, results


def test_a_closed_gate_holds_up_until_it_opens():
    gate = Gate(10, 4)
    gate.add(10)
    thread, results = waiting(gate)
    gate.remove(1)
    assert gate.is_closed and not results
    gate.remove(9)
    thread.join(5)
    assert results == [True]


def test_a_forced_gate_stays_open():
    gate = Gate(10, 4)
    gate.add(10)
    thread, results = waiting(gate)
    gate.force_open()
    thread.join(5)
    assert results == [True]
    gate.add(1000)
    assert not gate.is_closed
