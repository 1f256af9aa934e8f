import fcntl
import os
import select
import struct
import termios

import pytest

from ssm_plugin.jobs.fleet_progress import RATE_WINDOW, FleetProgress, Rate
from ssm_plugin.terminal.status_line import INTERVAL
from tests.support.clock import Clock

ERASE = b"\r\x1b[K"


@pytest.fixture
def terminal():
    """The program's end, and ours."""
    ours, programs = os.openpty()
    yield programs, ours
    os.close(programs)
    os.close(ours)


def seen(terminal):
    text = b""
    while select.select([terminal[1]], [], [], 0)[0]:
        text += os.read(terminal[1], 65536)
    return text


def test_one_line_says_what_waits_runs_and_has_ended(terminal):
    clock = Clock()
    progress = FleetProgress(1000, terminal[0], clock=clock)
    progress.show(1000, 0, 0, 0)
    clock.advance(2.0)
    progress.show(590, 200, 202, 8)
    progress.close()
    first, second, last = seen(terminal).split(ERASE)[1:]
    assert first.startswith(b"ssm-plugin: 1000 waiting, 0 running, 0 done, 0 failed of 1000")
    assert b"590 waiting, 200 running, 202 done, 8 failed of 1000, 105/s" in second
    assert last == b""


def test_it_is_redrawn_some_times_a_second_however_often_it_is_told(terminal):
    clock = Clock()
    progress = FleetProgress(1000, terminal[0], clock=clock)
    for number in range(100):
        progress.show(1000 - number, number, 0, 0)
    assert seen(terminal).count(b"waiting") == 1
    clock.advance(INTERVAL)
    progress.show(900, 100, 0, 0)
    assert b"900 waiting" in seen(terminal)


def test_it_is_wiped_before_other_lines_and_comes_back_at_the_next_look(terminal):
    clock = Clock()
    progress = FleetProgress(2, terminal[0], clock=clock)
    progress.show(1, 1, 0, 0)
    with progress:
        os.write(terminal[0], b"web1: hello\n")
    assert seen(terminal).endswith(ERASE + b"web1: hello\r\n")
    with progress:
        os.write(terminal[0], b"web1: again\n")
    assert seen(terminal) == b"web1: again\r\n"
    clock.advance(INTERVAL)
    progress.show(0, 1, 1, 0)
    assert b"1 done" in seen(terminal)


def test_it_waits_for_no_writer_and_for_no_stopped_terminal(terminal):
    clock = Clock()
    progress = FleetProgress(2, terminal[0], clock=clock)
    with progress:
        progress.show(1, 1, 0, 0)
    assert seen(terminal) == b""
    termios.tcflow(terminal[0], termios.TCOOFF)
    clock.advance(INTERVAL)
    progress.show(1, 1, 0, 0)
    termios.tcflow(terminal[0], termios.TCOON)
    assert seen(terminal) == b""


def test_a_narrow_terminal_is_not_filled_to_its_edge(terminal):
    fcntl.ioctl(terminal[0], termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    FleetProgress(1000, terminal[0]).show(1000, 0, 0, 0)
    assert len(seen(terminal).replace(ERASE, b"")) == 37


def test_nodes_that_are_not_connected_yet_are_counted_in_the_same_line(terminal):
    clock = Clock()
    fcntl.ioctl(terminal[0], termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    progress = FleetProgress(3, terminal[0], clock=clock)
    for target in ("i-1", "i-2", "i-1"):
        progress.waits_for(target, 1.0, 60.0)
    progress.show(0, 3, 0, 0)
    assert b"of 3, 2 not connected yet" in seen(terminal)
    for target in ("i-1", "i-2"):
        progress.over(target)
    clock.advance(INTERVAL)
    progress.show(0, 3, 0, 0)
    assert b"not connected" not in seen(terminal)


def test_without_a_terminal_and_quiet_nothing_is_written(terminal, tmp_path):
    with open(str(tmp_path / "out"), "wb") as file:
        for progress in (FleetProgress(2, file.fileno()), FleetProgress(2, terminal[0], True)):
            assert not progress.is_drawn
            progress.show(2, 0, 0, 0)
            with progress:
                pass
            progress.close()
    assert (tmp_path / "out").read_bytes() == seen(terminal) == b""


def test_the_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.over(0.0, 0) is None
    assert rate.over(2.0, 10) == 5.0
    for second in range(3, 60):
        last = rate.over(float(second), 10)
    assert last == 0.0
    assert rate.over(60.0, 30) == 20 / RATE_WINDOW
