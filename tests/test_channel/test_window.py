from ssm_plugin.channel.window import CEILING, INITIAL, SMALLEST, Window


def fill(window, count, round_trip=0.1, shortest=0.1):
    """So many acknowledgements while the window is full."""
    for _ in range(count):
        window.acknowledged(int(window.size), round_trip, shortest)


def test_a_window_that_is_full_doubles_each_round_trip():
    window = Window()
    fill(window, INITIAL)
    assert window.size == 2 * INITIAL
    fill(window, 2 * INITIAL)
    assert window.size == 4 * INITIAL


def test_it_stays_below_its_ceiling():
    window = Window()
    fill(window, 2 * CEILING)
    assert window.size == CEILING
    assert Window(8).size == 8


def test_a_window_that_is_not_used_does_not_grow():
    window = Window()
    for _ in range(1000):
        window.acknowledged(INITIAL // 2 - 1, 0.1, 0.1)
    assert window.size == INITIAL


def test_a_round_trip_much_longer_than_the_shortest_stops_the_growth():
    window = Window()
    fill(window, 1000, round_trip=0.5, shortest=0.1)
    assert window.size == INITIAL


def test_on_a_short_path_a_busy_processor_is_not_taken_for_a_queue():
    window = Window()
    fill(window, 10, round_trip=0.09, shortest=0.001)
    assert window.size == INITIAL + 10


def test_a_timeout_halves_it_and_it_grows_by_about_one_each_round_trip_then():
    window = Window()
    window.halve(1.0, 1.2)
    assert window.size == INITIAL / 2
    fill(window, INITIAL // 2)
    assert INITIAL / 2 + 0.9 < window.size < INITIAL / 2 + 1.1


def test_losses_of_one_round_trip_count_once():
    window = Window()
    window.halve(1.0, 1.2)
    window.halve(1.1, 1.3)
    assert window.size == INITIAL / 2
    window.halve(1.25, 1.5)
    assert window.size == INITIAL / 4


def test_it_is_never_halved_below_the_smallest():
    window = Window()
    for second in range(20):
        window.halve(second, second)
    assert window.size == SMALLEST


def test_a_ceiling_below_the_smallest_is_kept():
    window = Window(4)
    for second in range(5):
        window.halve(second, second)
    assert window.size == 4
