"""Writing all of something, to descriptors that are slow, non-blocking, full or gone."""

import os
import pty
import signal
import threading

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.session.streams import EXIT_OUTPUT_GONE, OutputGone, write_all

LONG = os.urandom(1 << 20)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    ends = {reader, writer}

    def close(fd):
        ends.remove(fd)
        os.close(fd)

    yield reader, writer, close
    for fd in ends:
        os.close(fd)


@pytest.mark.parametrize("blocking", [True, False])
def test_all_is_written_however_slow_the_reader(pipe, blocking):
    reader, writer, close = pipe
    os.set_blocking(writer, blocking)
    read = []

    def read_all():
        piece = os.read(reader, 1000)
        while piece:
            read.append(piece)
            piece = os.read(reader, 1000)

    thread = threading.Thread(target=read_all)
    thread.start()
    write_all(writer, LONG)
    close(writer)
    thread.join(10)
    assert b"".join(read) == LONG


def test_a_descriptor_keeps_its_mode(pipe):
    reader, writer, _ = pipe
    os.set_blocking(writer, False)
    write_all(writer, b"x")
    assert not os.get_blocking(writer)
    assert os.read(reader, 10) == b"x"


def test_nothing_is_written_at_once(pipe):
    _, writer, _ = pipe
    assert write_all(writer, b"") is None


def test_whoever_lost_their_reader_ends_as_if_by_sigpipe():
    assert EXIT_OUTPUT_GONE == 128 + signal.SIGPIPE == 141


def test_a_pipe_without_a_reader_is_gone(pipe):
    reader, writer, close = pipe
    close(reader)
    with pytest.raises(OutputGone):
        write_all(writer, b"x")


def test_a_descriptor_that_is_closed_is_gone(pipe):
    _, writer, close = pipe
    close(writer)
    with pytest.raises(OutputGone):
        write_all(writer, b"x")


def test_a_terminal_that_hung_up_is_gone():
    master, slave = pty.openpty()
    os.close(master)
    try:
        with pytest.raises(OutputGone):
            write_all(slave, b"x")
    finally:
        os.close(slave)


@pytest.mark.may_skip
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_device_is_a_local_error_that_says_so():
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(LocalError) as caught:
            write_all(fd, b"x")
    finally:
        os.close(fd)
    assert str(caught.value) == "cannot write the output: No space left on device"
