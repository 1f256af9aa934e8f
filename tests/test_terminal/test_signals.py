import os
import queue
import select
import signal
import subprocess
import sys
import time

import pytest

from ssm_plugin.session.streams import write_all
from ssm_plugin.terminal.signals import WATCHED, Signalled, SignalWatch
from ssm_plugin.transport.worker import Worker
from tests.support.pty import ROOT, PtyProcess

NUMBERS = [int(signum) for signum in WATCHED]


@pytest.fixture
def handlers():
    """What was there before comes back, and a watch that is left has put it back itself."""
    before = {signum: signal.getsignal(signum) for signum in NUMBERS + [signal.SIGURG]}
    yield before
    after = {signum: signal.getsignal(signum) for signum in before}
    for signum, handler in before.items():
        signal.signal(signum, handler)
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1


class Watched:
    """A watch with its worker, in this process."""

    def __init__(self, *arguments):
        self.events = queue.Queue()
        self.watch = SignalWatch(self.events.put, *arguments)
        self.worker = Worker("signals", self.watch.forward, self.events.put)

    def __enter__(self):
        self.watch.__enter__()
        self.worker.start()
        return self

    def __exit__(self, *exception):
        self.watch.__exit__(*exception)
        assert self.worker.join(5)

    def next(self):
        return self.events.get(timeout=10)


def send(signum):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", NUMBERS)
def test_a_signal_becomes_an_event(handlers, signum):
    with Watched() as watched:
        send(signum)
        assert watched.next() == Signalled(signum)


def test_signals_keep_their_order(handlers):
    with Watched() as watched:
        for signum in (signal.SIGWINCH, signal.SIGINT, signal.SIGWINCH, signal.SIGTERM):
            send(signum)
            assert watched.next() == Signalled(signum)


def test_only_the_chosen_signals_are_watched(handlers):
    with Watched([signal.SIGWINCH]) as watched:
        assert signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]
        send(signal.SIGWINCH)
        assert watched.next() == Signalled(signal.SIGWINCH)


def test_what_came_just_before_the_end_still_arrives(handlers):
    with Watched() as watched:
        send(signal.SIGUSR1)
    assert watched.events.get_nowait() == Signalled(signal.SIGUSR1)


def test_the_worker_ends_with_the_watch_even_if_it_starts_late(handlers):
    events = queue.Queue()
    with SignalWatch(events.put) as watch:
        pass
    worker = Worker("signals", watch.forward, events.put)
    worker.start()
    assert worker.join(5)
    assert events.empty()


def test_signals_of_others_are_not_ours(handlers):
    before = signal.signal(signal.SIGUSR2, lambda signum, frame: None)
    try:
        with Watched() as watched:
            send(signal.SIGUSR2)
            send(signal.SIGUSR1)
            assert watched.next() == Signalled(signal.SIGUSR1)
            assert watched.events.empty()
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_watch_within_a_watch_gives_back_what_it_took(handlers):
    with Watched() as outer:
        with Watched() as inner:
            send(signal.SIGTERM)
            assert inner.next() == Signalled(signal.SIGTERM)
        assert outer.events.empty()
        send(signal.SIGWINCH)
        assert outer.next() == Signalled(signal.SIGWINCH)


def test_a_signal_that_cannot_be_watched_leaves_nothing_behind(handlers):
    with pytest.raises((OSError, ValueError)):
        with SignalWatch(queue.Queue().put, [signal.SIGUSR1, signal.SIGKILL]):
            pytest.fail("SIGKILL cannot be watched")


def test_off_the_main_thread_nothing_is_touched(handlers):
    seen = queue.Queue()

    def elsewhere():
        events = queue.Queue()
        with SignalWatch(events.put) as watch:
            watch.forward()
            seen.put({signum: signal.getsignal(signum) for signum in handlers})

    worker = Worker("elsewhere", elsewhere, seen.put)
    worker.start()
    assert seen.get(timeout=10) == handlers
    assert worker.join(5)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_write_that_blocks_on_the_main_thread_is_not_broken_off(handlers, pipe):
    """All of it arrives, and the signal is told meanwhile, by the watch's own thread."""
    reader, writer = pipe
    data, read = os.urandom(1 << 20), []

    def send_then_read(watched):
        # No event tells that the pipe is full; once it is, the next write blocks.
        deadline = time.monotonic() + 10
        while select.select([], [writer], [], 0)[1] and time.monotonic() < deadline:
            pass
        send(signal.SIGTERM)
        read.append(watched.next())
        while sum(map(len, read[1:])) < len(data):
            read.append(os.read(reader, 65536))

    with Watched() as watched:
        other = Worker("other", lambda: send_then_read(watched), watched.events.put)
        other.start()
        write_all(writer, data)
        assert other.join(10)
    assert read[0] == Signalled(signal.SIGTERM)
    assert b"".join(read[1:]) == data


WATCHER = """
import os, queue, signal, sys
from ssm_plugin.terminal.signals import SignalWatch
from ssm_plugin.transport.worker import Worker
events = queue.Queue()
with SignalWatch(events.put) as watch:
    worker = Worker("signals", watch.forward, events.put)
    worker.start()
    print("watching, SIGHUP", signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, flush=True)
    signum = signal.SIGCONT  # the kernel adds it to a hang-up
    while signum == signal.SIGCONT:
        signum = events.get().signum
    print("got", signum, flush=True)
print("joined", worker.join(5), flush=True)
"""


@pytest.mark.parametrize("key, name", [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_signals_inherited_as_ignored_are_watched(key, name):
    ignored = [signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP]
    with PtyProcess([sys.executable, "-c", WATCHER], ignored=ignored) as program:
        program.expect(b"watching")
        program.send(key)
        program.expect(b"got %d" % getattr(signal, name))
        program.expect(b"joined True")
        assert program.wait() == 0


def test_a_hangup_inherited_as_ignored_stays_ignored():
    with PtyProcess([sys.executable, "-c", WATCHER], ignored=[signal.SIGHUP]) as program:
        program.expect(b"watching, SIGHUP True")
        program.signal(signal.SIGHUP)
        program.signal(signal.SIGTERM)
        program.expect(b"got 15")
        assert program.wait() == 0


def test_a_new_window_size_is_an_event():
    with PtyProcess([sys.executable, "-c", WATCHER]) as program:
        program.expect(b"watching, SIGHUP False")
        program.resize(100, 40)
        program.expect(b"got %d" % signal.SIGWINCH)
        assert program.wait() == 0


def test_a_terminal_that_hangs_up_is_an_event(pipe):
    with PtyProcess([sys.executable, "-c", WATCHER], stdout=pipe[1]) as program:
        with open(os.dup(pipe[0]), "rb") as lines:
            assert lines.readline() == b"watching, SIGHUP False\n"
            program.hang_up()
            assert program.wait() == 0
            assert lines.readline() == b"got 1\n"


def test_importing_costs_no_handler():
    script = (
        "import signal\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "import ssm_plugin.terminal.signals\n"
        "assert signal.getsignal(signal.SIGTERM) == before\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    environment = dict(os.environ, PYTHONPATH=ROOT)
    assert subprocess.call([sys.executable, "-c", script], env=environment, timeout=40) == 0
