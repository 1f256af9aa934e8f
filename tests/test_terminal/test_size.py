import fcntl
import os
import struct
import sys
import termios

import pytest

from ssm_plugin.terminal.tty import WindowSize, window_size
from tests.support.pty import PtyProcess


@pytest.fixture
def terminal():
    master, slave = os.openpty()
    yield slave
    os.close(master)
    os.close(slave)


@pytest.fixture
def no_terminal():
    fd = os.open(os.devnull, os.O_RDWR)
    yield fd
    os.close(fd)


def resize(fd, cols, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def test_a_terminal_is_asked_for_its_size(terminal):
    resize(terminal, 132, 43)
    size = window_size([terminal], {"COLUMNS": "5", "LINES": "5"})
    assert size == WindowSize(cols=132, rows=43)


def test_the_first_terminal_that_knows_its_size_counts(terminal, no_terminal):
    resize(terminal, 90, 30)
    master, unknown = os.openpty()
    try:
        assert window_size([no_terminal, unknown, terminal], {}) == (90, 30)
    finally:
        os.close(master)
        os.close(unknown)


@pytest.mark.parametrize("cols, rows", [(0, 0), (0, 50), (50, 0)])
def test_a_terminal_of_size_zero_does_not_know_its_size(terminal, cols, rows):
    resize(terminal, cols, rows)
    assert window_size([terminal], {}) == (80, 24)


def test_without_a_terminal_lines_are_long(no_terminal):
    assert window_size([no_terminal], {}) == (300, 100)


def test_the_environment_decides_each_dimension_without_a_terminal(no_terminal):
    assert window_size([no_terminal], {"COLUMNS": "120"}) == (120, 100)
    assert window_size([no_terminal], {"LINES": "50"}) == (300, 50)
    assert window_size([no_terminal], {"COLUMNS": "120", "LINES": "50"}) == (120, 50)


@pytest.mark.parametrize("text", ["", "0", "-1", "wide", "65536", "9" * 5000, "1.5"])
def test_nonsense_in_the_environment_is_ignored(no_terminal, text):
    assert window_size([no_terminal], {"COLUMNS": text, "LINES": text}) == (300, 100)


def test_closed_descriptors_are_no_terminal():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    assert window_size([reader, writer], {}) == (300, 100)


def test_a_program_sees_its_own_terminal_and_the_change_of_its_size():
    script = (
        "from ssm_plugin.terminal.tty import window_size\n"
        "for line in iter(input, 'end'):\n"
        "    print('<{}x{}>'.format(*window_size()), flush=True)\n"
    )
    with PtyProcess([sys.executable, "-c", script], cols=91, rows=19) as program:
        program.send(b"size\n")
        program.expect(b"<91x19>")
        program.resize(200, 60)
        program.send(b"size\n")
        program.expect(b"<200x60>")
        program.send(b"end\n")
        assert program.wait() == 0
