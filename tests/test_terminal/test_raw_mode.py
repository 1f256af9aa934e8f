import os
import signal
import sys
import termios

import pytest

from ssm_plugin.terminal.tty import RawMode, raw_attributes
from tests.support.pty import PtyProcess

LFLAG = 3


@pytest.fixture
def terminal():
    master, slave = os.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def start(script, **options):
    return PtyProcess([sys.executable, "-c", script], **options)


def test_the_terminal_is_raw_inside_and_as_before_outside(terminal):
    before = termios.tcgetattr(terminal)
    with RawMode(terminal) as mode:
        assert mode.active
        assert termios.tcgetattr(terminal) == raw_attributes(before) != before
    assert not mode.active
    assert termios.tcgetattr(terminal) == before


def test_it_is_restored_when_the_body_raises(terminal):
    before = termios.tcgetattr(terminal)
    with pytest.raises(KeyboardInterrupt):
        with RawMode(terminal):
            raise KeyboardInterrupt
    assert termios.tcgetattr(terminal) == before


def test_restoring_twice_does_not_undo_what_came_between(terminal):
    with RawMode(terminal) as mode:
        mode.restore()
        changed = termios.tcgetattr(terminal)
        changed[LFLAG] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSANOW, changed)
        mode.restore()
    assert termios.tcgetattr(terminal) == changed


def test_the_line_itself_is_left_alone(terminal):
    before = termios.tcgetattr(terminal)
    before[2] = before[2] & ~termios.CSIZE | termios.CS7 | termios.PARENB
    assert raw_attributes(before)[2] == before[2]
    assert raw_attributes(before)[4:6] == before[4:6]


@pytest.mark.parametrize("fd", [-1, 98765])
def test_a_descriptor_that_is_not_open_is_no_terminal(fd):
    with RawMode(fd) as mode:
        assert not mode.active


def test_without_a_terminal_nothing_happens():
    with open(os.devnull) as null, RawMode(null.fileno()) as mode:
        assert not mode.active
        mode.restore()


def test_a_terminal_that_goes_away_needs_no_restoring():
    master, slave = os.openpty()
    try:
        with RawMode(slave) as mode:
            assert mode.active
            os.close(master)
        assert not mode.active
    finally:
        os.close(slave)


def test_a_descriptor_closed_inside_is_no_error():
    master, slave = os.openpty()
    with RawMode(slave) as mode:
        os.close(slave)
    assert not mode.active
    os.close(master)


def test_control_keys_arrive_as_bytes_and_nothing_is_echoed():
    script = (
        "import os\n"
        "from ssm_plugin.terminal.tty import RawMode\n"
        "with RawMode(0):\n"
        "    os.write(1, b'raw\\n')\n"
        "    keys = b''\n"
        "    while len(keys) < 9:\n"
        "        keys += os.read(0, 100)\n"
        "print(keys.hex())\n"
    )
    with start(script) as program:
        program.expect(b"raw\n")
        assert program.attributes() == raw_attributes(program.first_attributes)
        program.send(b"\x03\x1a\x1c\x13\x11\x04\r\n\x7f")
        assert program.expect(b"\n") == b"031a1c1311040d0a7f\r\n"
        assert program.wait() == 0
        assert program.attributes() == program.first_attributes


def test_what_was_typed_ahead_is_kept():
    script = (
        "import os, signal\n"
        "from ssm_plugin.terminal.tty import RawMode\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        "os.write(1, b'ready')\n"
        "signal.sigwait({signal.SIGUSR1})\n"
        "with RawMode(0):\n"
        "    typed = os.read(0, 100)\n"
        "print('<' + typed.decode() + '>')\n"
    )
    with start(script) as program:
        program.expect(b"ready")
        program.send(b"ahead")
        program.expect(b"ahead")  # The echo: it has reached the terminal's queue.
        program.signal(signal.SIGUSR1)
        program.expect(b"<ahead>")
        assert program.wait() == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
def test_it_is_restored_when_a_signal_ends_the_program(name):
    script = (
        "import os, queue, sys\n"
        "from ssm_plugin.terminal.tty import RawMode\n"
        "from ssm_plugin.terminal.signals import SignalWatch\n"
        "from ssm_plugin.transport.worker import Worker\n"
        "events = queue.Queue()\n"
        "with SignalWatch(events.put) as watch, RawMode(0):\n"
        "    Worker('signals', watch.forward, events.put).start()\n"
        "    os.write(1, b'raw\\r\\n')\n"
        "    signum = events.get().signum\n"
        "sys.exit(128 + signum)\n"
    )
    with start(script) as program:
        program.expect(b"raw\r\n")
        program.signal(getattr(signal, name))
        assert program.wait() == 128 + getattr(signal, name)
        assert program.attributes() == program.first_attributes


# A little shell with job control: the job is raw in the foreground, loses the terminal, and then
# restores it from the background. WUNTRACED tells whether that stopped it.
BACKGROUND = """
import os, signal, termios
from ssm_plugin.terminal.tty import RawMode
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
before = termios.tcgetattr(0)
ready, raw = os.pipe()
wait, go = os.pipe()
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    with RawMode(0) as mode:
        os.write(raw, b"x" if mode.active else b"-")
        os.read(wait, 1)
    os._exit(7)
is_raw = os.read(ready, 1)
os.tcsetpgrp(0, os.getpgrp())
os.write(go, b"x")
pid, status = os.waitpid(job, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(job, signal.SIGKILL)
print(is_raw, os.WIFSTOPPED(status), os.WEXITSTATUS(status), termios.tcgetattr(0) == before)
"""


def test_restoring_from_the_background_does_not_stop_the_program():
    with start(BACKGROUND) as program:
        program.expect(b"b'x' False 7 True")
        assert program.wait() == 0


# A signal handler that raises at the worst moment: an exception out of the middle of the restoring.
UNLUCKY = """
import os, signal, sys, termios
from ssm_plugin.terminal.tty import RawMode

class Late(Exception):
    pass

def interrupt(signum, frame):
    raise Late

signal.signal(signal.SIGTERM, interrupt)
before = termios.tcgetattr(0)

def tripwire(frame, kind, argument):
    if frame.f_code.co_name == "_put_back" and kind == "call":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGTERM)

try:
    with RawMode(0):
        sys.setprofile(tripwire)
except Late:
    print("interrupted,", "restored" if termios.tcgetattr(0) == before else "still raw")
"""


def test_an_exception_out_of_the_middle_of_restoring_does_not_leave_it_raw():
    with start(UNLUCKY) as program:
        program.expect(b"interrupted, restored")
        assert program.wait() == 0
