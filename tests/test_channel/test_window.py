from ssm_plugin.channel.congestion import (
    CEILING,
    LEAST_FOR_QUEUE,
    QUEUEING_ALLOWANCE,
    QUICK_START,
    SMALLEST_WINDOW,
    Window,
)

LARGE = 512  # messages


def pass_rounds(window, count, quickest=0.1, shortest=0.1):
    """So many round trips while the window is full."""
    for _ in range(count):
        window.round_passed(int(window.size), quickest, quickest, shortest)


def test_a_window_that_is_full_doubles_each_round_trip():
    window = Window(initial=LARGE)
    pass_rounds(window, 1)
    assert window.size == 2 * LARGE
    pass_rounds(window, 1)
    assert window.size == 4 * LARGE


def test_it_stays_below_its_ceiling():
    window = Window(initial=LARGE)
    pass_rounds(window, 20)
    assert window.size == CEILING
    assert Window(8).size == 8


def test_a_window_that_is_not_used_does_not_grow():
    window = Window(initial=LARGE)
    for _ in range(10):
        window.round_passed(LARGE // 2 - 1, 0.1, 0.1, 0.1)
    assert window.size == LARGE


def test_a_queue_as_long_as_the_way_is_let_be():
    window = Window(initial=LARGE)
    pass_rounds(window, 1, quickest=0.19, shortest=0.1)
    assert window.size == LARGE


def test_a_longer_queue_shrinks_it_to_what_the_way_and_such_a_queue_hold():
    window = Window(initial=LARGE)
    pass_rounds(window, 1, quickest=0.25, shortest=0.1)
    assert window.size == LARGE * 0.2 / 0.25


def test_on_a_short_way_some_milliseconds_are_no_queue():
    window = Window(initial=LARGE)
    pass_rounds(window, 1, quickest=0.003, shortest=0.001)
    assert window.size == 2 * LARGE


def test_no_queue_shrinks_it_to_a_standstill():
    window = Window(initial=LARGE)
    pass_rounds(window, 100, quickest=0.2, shortest=0.001)
    assert window.size == LEAST_FOR_QUEUE
    window.halve(1.0, 2.0)
    pass_rounds(window, 1, quickest=0.2, shortest=0.001)
    assert window.size == LEAST_FOR_QUEUE / 2


def test_after_a_queue_it_grows_as_fast_as_before():
    window = Window(initial=LARGE)
    pass_rounds(window, 100, quickest=0.3)
    pass_rounds(window, 2)
    assert window.size == 4 * LEAST_FOR_QUEUE


def test_a_timeout_halves_it_and_it_grows_by_an_eighth_each_round_trip_then():
    window = Window(initial=LARGE)
    window.halve(1.0, 1.2)
    assert window.size == LARGE / 2
    pass_rounds(window, 1)
    assert window.size == LARGE / 2 * 1.125


def test_losses_of_one_round_trip_count_once():
    window = Window(initial=LARGE)
    window.halve(1.0, 1.2)
    window.halve(1.1, 1.3)
    assert window.size == LARGE / 2
    window.halve(1.25, 1.5)
    assert window.size == LARGE / 4


def test_it_is_never_halved_below_the_smallest():
    window = Window(initial=LARGE)
    for second in range(20):
        window.halve(second, second)
    assert window.size == SMALLEST_WINDOW


def test_a_ceiling_below_the_smallest_is_kept():
    window = Window(4)
    for second in range(5):
        window.halve(second, second)
    assert window.size == 4


def test_a_queue_of_a_quarter_of_a_second_shrinks_it_further():
    window = Window(initial=LARGE)
    pass_rounds(window, 100, quickest=1.0, shortest=0.001)
    assert window.size == SMALLEST_WINDOW


def test_a_window_does_not_grow_once_a_rounds_own_message_had_to_queue():
    """Messages of the round before may have come quickly still: they left an empty queue."""
    window = Window(initial=16)
    window.round_passed(16, 0.27, 0.03, 0.02)
    assert window.size == 16
    window.round_passed(16, 0.06, 0.03, 0.02)
    assert window.size == 32


def test_a_small_window_doubles_twice_where_most_of_a_round_is_acknowledged_at_once():
    window = Window(initial=16)
    window.round_passed(16, 0.1, 0.1, 0.1)
    for size in [32] * 11 + [64] * 5:
        window.acknowledged(0.1 + QUEUEING_ALLOWANCE)
        assert window.size == size


def test_acknowledgements_that_come_one_after_the_other_show_a_narrow_path():
    window = Window(initial=16)
    window.round_passed(16, 0.1, 0.1, 0.1)
    for place in range(16):
        window.acknowledged(0.1 + 0.2 * place * QUEUEING_ALLOWANCE)
    assert window.size == 32


def test_a_quick_start_ends_where_the_window_is_large():
    window = Window(initial=QUICK_START // 2)
    for size in (2 * QUICK_START, 4 * QUICK_START, 8 * QUICK_START):
        in_flight = int(window.size)
        window.round_passed(in_flight, 0.1, 0.1, 0.1)
        for _ in range(in_flight):
            window.acknowledged(0.1)
        assert window.size == size


def test_a_round_that_was_not_full_starts_nothing_quickly():
    """Keys, for example: each is acknowledged at once."""
    window = Window(initial=16)
    window.round_passed(1, 0.1, 0.1, 0.1)
    window.acknowledged(0.1)
    assert window.size == 16


def test_after_a_timeout_there_is_no_quick_start():
    window = Window(initial=128)
    window.halve(1.0, 1.2)
    window.round_passed(64, 0.1, 0.1, 0.1)
    window.acknowledged(0.1)
    assert window.size == 64 * 1.125
