import os
import queue

import pytest

from ssm_plugin.terminal.wake import WakePipe, readable
from ssm_plugin.transport.worker import Worker


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_nothing_is_readable_until_the_pipe_is_closed():
    pipe = WakePipe()
    assert pipe.hold()
    assert readable([pipe.reader], 0) == set()
    pipe.close()
    assert readable([pipe.reader], 5) == {pipe.reader}
    pipe.release()


def test_closing_wakes_a_thread_that_waits():
    pipe = WakePipe()
    woken = queue.Queue()
    assert pipe.hold()
    worker = Worker("waiter", lambda: woken.put(readable([pipe.reader])), woken.put)
    worker.start()
    pipe.close()
    assert woken.get(timeout=5) == {pipe.reader}
    assert worker.join(5)
    pipe.release()


def test_the_reader_stays_open_while_it_is_held():
    pipe = WakePipe()
    assert pipe.hold()
    pipe.close()
    assert is_open(pipe.reader)
    pipe.release()
    assert not is_open(pipe.reader)


def test_a_pipe_that_nobody_holds_is_closed_at_once():
    pipe = WakePipe()
    assert pipe.hold()
    pipe.release()
    pipe.close()
    assert not is_open(pipe.reader)
    assert not is_open(pipe.writer)
    assert pipe.hold() is False


def test_closing_twice_does_not_close_what_has_the_numbers_now():
    pipe = WakePipe()
    pipe.close()
    reader, writer = os.pipe()
    assert {reader, writer} == {pipe.reader, pipe.writer}
    pipe.close()
    assert is_open(reader) and is_open(writer)
    os.close(reader)
    os.close(writer)


def test_a_full_pipe_can_be_closed_too():
    pipe = WakePipe()
    assert pipe.hold()
    with pytest.raises(BlockingIOError):
        while True:
            os.write(pipe.writer, bytes(65536))
    pipe.close()
    assert not is_open(pipe.writer)
    pipe.release()


def test_descriptors_above_1023_can_be_watched():
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1100:
        pytest.skip("the limit of open files is too low here")
    pipe = WakePipe()
    os.dup2(pipe.reader, 1099)
    try:
        assert readable([1099], 0) == set()
        pipe.close()
        assert readable([1099], 5) == {1099}
    finally:
        os.close(1099)
