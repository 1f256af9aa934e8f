"""What the reader of a data channel waits for, where another one takes its place."""

import threading

from ssm_plugin.transport.backpressure import Backpressure

TIME_LIMIT = 40.0


def waiting_reader(backpressure, given_up):
    """In its thread, once it waits."""
    at_work = threading.Event()

    def has_given_up():
        at_work.set()
        return given_up()

    thread = threading.Thread(target=backpressure.wait, args=(has_given_up,), daemon=True)
    thread.start()
    assert at_work.wait(TIME_LIMIT)
    return thread


def test_a_reader_goes_on_though_the_one_before_it_was_still_on_its_way_out():
    backpressure = Backpressure(lambda: 0, high=10)
    backpressure.output_came(10)
    dropped = threading.Event()
    lost = waiting_reader(backpressure, dropped.is_set)
    present = waiting_reader(backpressure, lambda: False)
    dropped.set()
    backpressure.wake()
    lost.join(TIME_LIMIT)
    assert backpressure.waits_for_consumer
    assert backpressure.output_left(10)
    present.join(TIME_LIMIT)
    assert not present.is_alive() and not backpressure.waits_for_consumer
