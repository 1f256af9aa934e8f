import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssm_plugin.terminal.signals import WATCHED, Interrupted, Signalled, SignalWatch, interruptible
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
        self.watch = SignalWatch(self.events, *arguments)
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
    with SignalWatch(events) as watch:
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
            with pytest.raises(Interrupted), interruptible():
                pytest.fail("entered although a signal is pending")
        with interruptible():
            assert outer.events.empty()
        send(signal.SIGWINCH)
        assert outer.next() == Signalled(signal.SIGWINCH)


def test_a_signal_that_cannot_be_watched_leaves_nothing_behind(handlers):
    with pytest.raises((OSError, ValueError)):
        with SignalWatch(queue.Queue(), [signal.SIGUSR1, signal.SIGKILL]):
            pytest.fail("SIGKILL cannot be watched")


def test_off_the_main_thread_nothing_is_touched(handlers):
    seen = queue.Queue()

    def elsewhere():
        events = queue.Queue()
        with SignalWatch(events) as watch:
            watch.forward()
            with interruptible():
                seen.put({signum: signal.getsignal(signum) for signum in handlers})

    worker = Worker("elsewhere", elsewhere, seen)
    worker.start()
    assert seen.get(timeout=10) == handlers
    assert worker.join(5)


def test_without_a_watch_interruptible_does_nothing():
    with interruptible():
        assert threading.current_thread() is threading.main_thread()


def test_an_ending_signal_before_the_block_raises_on_entering(handlers):
    with Watched() as watched:
        send(signal.SIGTERM)
        watched.next()
        for _ in range(2):
            with pytest.raises(Interrupted) as caught, interruptible():
                pytest.fail("entered although a signal is pending")
            assert caught.value.signum == signal.SIGTERM
            assert str(caught.value) == "interrupted by signal 15"


def test_a_signal_that_was_consumed_does_not_raise(handlers):
    with Watched() as watched:
        send(signal.SIGINT)
        watched.watch.consumed(watched.next().signum)
        with interruptible():
            assert watched.events.empty()


def test_a_signal_inside_raises_there_and_is_an_event_too(handlers):
    with Watched() as watched:
        with pytest.raises(Interrupted) as caught, interruptible():
            send(signal.SIGHUP)
            threading.Event().wait(10)
            pytest.fail("not interrupted")
        assert caught.value.signum == signal.SIGHUP
        assert watched.next() == Signalled(signal.SIGHUP)


def test_a_signal_that_ends_nothing_does_not_raise_inside(handlers):
    with Watched() as watched:
        with interruptible():
            send(signal.SIGWINCH)
            assert watched.next() == Signalled(signal.SIGWINCH)


def test_a_signal_that_was_left_out_does_not_raise(handlers):
    with Watched() as watched:
        with interruptible(frozenset({signal.SIGTERM})):
            send(signal.SIGINT)
            assert watched.next() == Signalled(signal.SIGINT)


def test_outside_the_block_a_handler_never_raises(handlers):
    with Watched() as watched:
        with interruptible():
            assert watched.events.empty()
        for signum in NUMBERS:
            send(signum)
            assert watched.next() == Signalled(signum)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def wait_until_full(writer):
    """No event tells it. Once it is full the next write blocks."""
    deadline = time.monotonic() + 10
    while select.select([], [writer], [], 0)[1]:
        assert time.monotonic() < deadline


def fill(writer):
    while True:
        os.write(writer, bytes(4096))


def test_a_blocked_write_is_abandoned(handlers, pipe):
    def end_it():
        wait_until_full(pipe[1])
        send(signal.SIGTERM)

    with Watched() as watched:
        ender = Worker("ender", end_it, watched.events)
        ender.start()
        with pytest.raises(Interrupted), interruptible():
            fill(pipe[1])
        assert watched.next() == Signalled(signal.SIGTERM)
        assert ender.join(5)


def test_a_write_is_broken_off_although_the_signal_did_not_do_it(handlers, pipe):
    """It came just before the system call; here, in its place, another thread was given it."""

    def take_it():
        wait_until_full(pipe[1])
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    with Watched() as watched:
        taker = Worker("taker", take_it, watched.events)
        taker.start()
        with pytest.raises(Interrupted), interruptible():
            fill(pipe[1])
        assert watched.next() == Signalled(signal.SIGTERM)
        assert taker.join(5)
    assert watched.events.empty()


WATCHER = """
import os, queue, signal, sys
from ssm_plugin.terminal.signals import SignalWatch
from ssm_plugin.transport.worker import Worker
events = queue.Queue()
with SignalWatch(events) as watch:
    worker = Worker("signals", watch.forward, events.put)
    worker.start()
    print("watching, SIGHUP", signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, flush=True)
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


STUCK = """
import os, queue, sys
from ssm_plugin.terminal.raw_mode import raw_mode
from ssm_plugin.terminal.signals import Interrupted, SignalWatch, interruptible
from ssm_plugin.transport.worker import Worker
events = queue.Queue()
with SignalWatch(events) as watch, raw_mode(0):
    Worker("signals", watch.forward, events.put).start()
    os.write(2, b"writing\\r\\n")
    try:
        while True:
            with interruptible():
                os.write(1, bytes(65536))
    except Interrupted as interrupted:
        signum = interrupted.signum
os.write(2, b"given up\\n")
sys.exit(128 + signum)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_program_that_writes_into_a_stuck_pipe_ends_and_restores_its_terminal(name, pipe):
    with PtyProcess([sys.executable, "-c", STUCK], stdout=pipe[1]) as program:
        before = program.attributes()
        program.expect(b"writing")
        program.signal(getattr(signal, name))
        program.expect(b"given up")
        assert program.wait() == 128 + getattr(signal, name)
        assert program.attributes() == before


def test_a_program_that_writes_to_a_stuck_terminal_ends_and_restores_it(pipe):
    with PtyProcess([sys.executable, "-c", STUCK], stderr=pipe[1]) as program:
        before = program.attributes()
        assert os.read(pipe[0], 100) == b"writing\r\n"
        program.signal(signal.SIGTERM)
        assert os.read(pipe[0], 100) == b"given up\n"
        assert program.wait() == 128 + signal.SIGTERM
        assert program.attributes() == before


def test_importing_costs_no_handler():
    script = (
        "import signal\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "import ssm_plugin.terminal.signals\n"
        "assert signal.getsignal(signal.SIGTERM) == before\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    environment = dict(os.environ, PYTHONPATH=ROOT)
    assert subprocess.call([sys.executable, "-c", script], env=environment, timeout=10) == 0
