import pytest

from ssm_plugin.copying.options import CopyProgress
from ssm_plugin.copying.progress import (
    INTERVAL,
    ProgressDisplay,
    progress_line,
    size_text,
    time_text,
)
from ssm_plugin.display import width_of
from tests.support.clock import Clock

MIB = 1 << 20


def progress(done, total=100 * MIB, resumed=0, source="/var/log/app.log"):
    return CopyProgress("db1", source, done, total, resumed)


def test_sizes_and_times_in_few_letters():
    assert [size_text(size) for size in (0, 999, 1000, 1536 * MIB, 1e15)] == [
        "0 B", "999 B", "1.0 KiB", "1.5 GiB", "909.5 TiB"]
    assert [time_text(seconds) for seconds in (0, 65, 3665)] == ["00:00", "01:05", "1:01:05"]


def test_a_line_has_name_part_bytes_rate_and_time_left():
    line = progress_line(progress(25 * MIB), 5.0, False)
    assert line.split() == ["app.log", "25%", "25.0", "MiB", "5.0", "MiB/s", "00:15"]
    assert progress_line(progress(100 * MIB), 20.0, True).split()[1:] == [
        "100%", "100.0", "MiB", "5.0", "MiB/s", "00:20"]
    assert len(line) < 80


def test_what_was_there_before_does_not_count_for_the_rate():
    line = progress_line(progress(60 * MIB, resumed=50 * MIB), 5.0, False)
    assert "60%" in line and "2.0 MiB/s" in line and line.endswith("00:20")


def test_an_unknown_size_has_neither_part_nor_time_left():
    line = progress_line(progress(3 * MIB, None), 1.0, False)
    assert line.split() == ["app.log", "3.0", "MiB", "3.0", "MiB/s"]


def test_a_name_cannot_write_over_the_line():
    line = progress_line(progress(1, source="/x/\x1b[2Ja\nb" + "c" * 100), 1.0, False)
    assert "\x1b" not in line and "\n" not in line and "\\x1b" in line and len(line) < 80


@pytest.mark.parametrize("columns", [0, 1, 10, 40])
def test_a_display_keeps_to_one_line_of_a_narrow_terminal(columns):
    clock, written = Clock(), []
    display = ProgressDisplay(written.append, lambda: columns, clock)
    for done in range(3):
        display.tell(progress(done * MIB))
        clock.now += INTERVAL
    assert max(len(one) for one in written) == 1 + max(0, columns - 1)
    assert b"\n" not in b"".join(written)


def test_a_name_gives_way_to_the_figures_on_a_narrow_terminal():
    clock, written = Clock(), []
    display = ProgressDisplay(written.append, lambda: 60, clock)
    for _ in range(2):
        display.tell(progress(25 * MIB, source="/x/" + "long" * 9))
        clock.now += 1
    display.finish(True)
    lines = [one.decode().strip() for one in written]
    assert all(len(line) < 60 and line.startswith("longlong") for line in lines)
    assert [line[-5:] for line in lines[1:]] == ["00:03", "00:02"]


def test_a_name_in_wide_letters_takes_the_columns_of_any_other():
    lines = [progress_line(progress(MIB, source=name), 1.0, False)
             for name in ("abc", "\u65e5\u672c", "\u65e5" * 30, "e\u0301")]
    assert {width_of(line) for line in lines} == {len(lines[0])}


@pytest.mark.parametrize("columns", [10, 40])
def test_a_name_in_wide_letters_keeps_to_one_line_of_a_narrow_terminal(columns):
    clock, written = Clock(), []
    display = ProgressDisplay(written.append, lambda: columns, clock)
    for source in ("\u65e5" * 30, "a" * 60, "\u65e5" * 30):
        display.tell(progress(MIB, source=source))
        clock.now += INTERVAL
    assert all(width_of(one.decode().strip("\r")) < columns for one in written)


def test_a_display_writes_five_times_a_second_and_once_at_the_end():
    clock, written = Clock(), []
    display = ProgressDisplay(written.append, lambda: 80, clock)
    for _ in range(100):
        display.tell(progress(MIB))
    assert len(written) == 1
    clock.now += INTERVAL
    display.tell(progress(50 * MIB))
    display.tell(progress(100 * MIB))
    display.finish(True)
    assert len(written) == 3
    assert written[-1].startswith(b"\r") and written[-1].endswith(b"\n") and b"100%" in written[-1]
    display.finish(True)  # of a file that nothing was told of
    assert len(written) == 3
