"""Output in a thread of its own."""

import os
import queue

from ssm_plugin.forwarding.supervisor import WRITER_LIMIT, BackgroundWriter, OutputClosed


def test_what_is_written_comes_out_in_order():
    reader, writer = os.pipe()
    output = BackgroundWriter(writer, queue.Queue().put)
    for number in range(100):
        output.write(b"%d\n" % number)
    output.close(5)
    os.close(writer)
    with open(reader, "rb") as file:
        assert file.read() == b"".join(b"%d\n" % number for number in range(100))


def test_a_reader_that_is_gone_is_told_once():
    reader, writer = os.pipe()
    os.close(reader)
    events = queue.Queue()
    output = BackgroundWriter(writer, events.put)
    for _ in range(3):
        output.write(b"x")
    output.close(5)
    os.close(writer)
    assert list(events.queue) == [OutputClosed(writer)]


def test_a_reader_that_does_not_read_holds_up_nobody():
    reader, writer = os.pipe()
    output = BackgroundWriter(writer, queue.Queue().put)
    for _ in range(WRITER_LIMIT + 100):
        output.write(b"x" * 1000)
    output.close(0.01)
    os.close(reader)
    assert output._worker.join(5)
    os.close(writer)
