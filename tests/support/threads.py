"""What other threads and processes do, of which nobody tells."""

import contextlib
import threading
import time

TIME_LIMIT = 40.0  # seconds


def wait_until(condition):
    deadline, tick = time.monotonic() + TIME_LIMIT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        tick.wait(0.005)


def threads_left(before, *parts, seconds=TIME_LIMIT):
    """The names of the threads that are there since ``before`` and do not end within so long; with
    ``parts``, only those whose name has one of these in it.

    Some may still be on their way out. They are looked for and not joined: two threads that join a
    third at once may both fail."""
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while True:
        left = [
            thread.name
            for thread in threading.enumerate()
            if thread not in before
            and (not parts or any(part in thread.name for part in parts))
        ]
        if not left or time.monotonic() > deadline:
            return left
        tick.wait(0.002)


@contextlib.contextmanager
def no_threads_left():
    """No stack of a new thread finds room: not even addresses."""
    size = threading.stack_size(1 << 48)
    try:
        yield
    finally:
        threading.stack_size(size)
