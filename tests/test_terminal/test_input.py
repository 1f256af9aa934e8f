import fcntl
import os
import queue
import signal
import socket
import struct
import sys
import threading

import pytest

from ssm_plugin.errors import LocalError
from ssm_plugin.terminal.input import READ_SIZE, InputReader
from ssm_plugin.transport.worker import Worker
from tests.support.pty import PtyProcess


class Pump:
    """Reads in a thread until the end or the closing, and puts each result into ``results``."""

    def __init__(self, reader):
        self.reader = reader
        self.results = queue.Queue()
        self.worker = Worker("input", self._run, self.results.put)
        self.worker.start()

    def _run(self):
        data = b"start"
        while data:
            data = self.reader.read()
            self.results.put(data)

    def next(self):
        return self.results.get(timeout=10)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_a_read_returns_what_is_there_then_the_end(pipe):
    reader = InputReader(pipe[0])
    os.write(pipe[1], b"hello")
    assert reader.read() == b"hello"
    os.close(pipe[1])
    assert reader.read() == b""
    assert reader.read() == b""
    reader.close()
    assert reader.read() is None


def test_a_read_returns_at_most_64_kib(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(READ_SIZE + 1))
    with path.open("rb") as file:
        reader = InputReader(file.fileno())
        assert [len(reader.read()) for _ in range(3)] == [65536, 1, 0]
        reader.close()


def test_dev_null_has_ended():
    with open(os.devnull) as null:
        reader = InputReader(null.fileno())
        assert reader.read() == b""
        reader.close()


@pytest.mark.parametrize("fd", [-1, 98765])
def test_a_descriptor_that_is_not_open_has_ended(fd):
    reader = InputReader(fd)
    assert reader.read() == b""
    reader.close()


def test_what_cannot_be_read_is_no_end_where_all_of_it_counts(tmp_path):
    folder = os.open(str(tmp_path), os.O_RDONLY)
    reader = InputReader(folder, "the input")
    with pytest.raises(LocalError, match="^cannot read the input: Is a directory$"):
        reader.read()
    reader.close()
    os.close(folder)


def test_nor_is_what_breaks_in_the_middle():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ours = socket.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
    with ours:
        reader = InputReader(ours.fileno(), "standard input")
        theirs.sendall(b"the first part")
        assert reader.read() == b"the first part"
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()  # by a reset
        with pytest.raises(LocalError, match="cannot read standard input: Connection reset"):
            reader.read()
        reader.close()


def test_a_closed_stdin_has_ended_although_its_number_is_free():
    script = (
        "import os, sys\n"
        "from ssm_plugin.terminal.input import InputReader\n"
        "os.close(0)\n"
        "reader = InputReader(0)\n"
        "print('<{!r}>'.format(reader.read()))\n"
    )
    with PtyProcess([sys.executable, "-c", script]) as program:
        program.expect(b"<b''>")
        assert program.wait() == 0


def test_a_descriptor_closed_later_has_ended(pipe):
    reader = InputReader(pipe[0])
    os.close(pipe[0])
    assert reader.read() == b""
    reader.close()


def test_a_directory_has_ended(tmp_path):
    fd = os.open(str(tmp_path), os.O_RDONLY)
    reader = InputReader(fd)
    assert reader.read() == b""
    reader.close()
    os.close(fd)


def test_closing_wakes_a_blocked_read(pipe):
    reader = InputReader(pipe[0])
    pump = Pump(reader)
    os.write(pipe[1], b"first")
    assert pump.next() == b"first"
    reader.close()
    assert pump.next() is None
    assert pump.worker.join(5)
    reader.close()


def test_what_comes_after_the_closing_is_left_for_others(pipe):
    reader = InputReader(pipe[0])
    reader.close()
    os.write(pipe[1], b"for the shell")
    assert reader.read() is None
    assert os.read(pipe[0], 100) == b"for the shell"


def test_the_descriptor_keeps_its_flags(pipe):
    before = fcntl.fcntl(pipe[0], fcntl.F_GETFL)
    reader = InputReader(pipe[0])
    pump = Pump(reader)
    os.write(pipe[1], b"x")
    assert pump.next() == b"x"
    assert fcntl.fcntl(pipe[0], fcntl.F_GETFL) == before
    reader.close()
    assert pump.worker.join(5)
    assert fcntl.fcntl(pipe[0], fcntl.F_GETFL) == before


def test_a_non_blocking_descriptor_is_waited_for_and_stays_so(pipe):
    os.set_blocking(pipe[0], False)
    reader = InputReader(pipe[0])
    pump = Pump(reader)
    os.write(pipe[1], b"later")
    assert pump.next() == b"later"
    os.close(pipe[1])
    assert pump.next() == b""
    assert not os.get_blocking(pipe[0])
    reader.close()


class Beaten(InputReader):
    """One whose first input is taken by another process, between its wait and its read."""

    def __init__(self, fd):
        super().__init__(fd)
        self.fd = fd
        self.beaten = threading.Event()

    def _take(self):
        if self.beaten.is_set():
            return super()._take()
        assert os.read(self.fd, 100) == b"theirs"
        try:
            return super()._take()
        finally:
            self.beaten.set()


def test_input_that_another_process_took_is_waited_for_again(pipe):
    os.set_blocking(pipe[0], False)
    reader = Beaten(pipe[0])
    pump = Pump(reader)
    os.write(pipe[1], b"theirs")
    assert reader.beaten.wait(10)
    os.write(pipe[1], b"ours")
    assert pump.next() == b"ours"
    reader.close()
    assert pump.next() is None


def test_a_terminal_is_read_and_woken():
    master, slave = os.openpty()
    reader = InputReader(slave)
    pump = Pump(reader)
    os.write(master, b"line\n")
    assert pump.next() == b"line\n"
    reader.close()
    assert pump.next() is None
    assert pump.worker.join(5)
    os.close(master)
    os.close(slave)


def test_a_terminal_that_hangs_up_has_ended():
    master, slave = os.openpty()
    reader = InputReader(slave)
    pump = Pump(reader)
    os.close(master)
    assert pump.next() == b""
    assert pump.worker.join(5)
    reader.close()
    os.close(slave)


# A little shell with job control. The job reads the terminal in the background, where SIGTTIN
# would stop it; then either the reader is closed, or the job is brought to the foreground.
BACKGROUND = """
import os, queue, signal, sys
from ssm_plugin.terminal.input import InputReader
from ssm_plugin.transport.worker import Worker

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
wait, go = os.pipe()
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    reader = InputReader(0)
    results = queue.Queue()
    worker = Worker("input", lambda: results.put(reader.read()), results.put)
    worker.start()
    os.write(1, b"reading\\n")
    foreground = os.read(wait, 1) == b"f"
    if not foreground:
        reader.close()
    result = results.get(timeout=10)
    os._exit(7 if result == (b"typed\\n" if foreground else None) else 8)
signal.sigwait({signal.SIGUSR1})
if sys.argv[1] == "f":
    os.tcsetpgrp(0, job)
os.write(go, sys.argv[1].encode())
pid, status = os.waitpid(job, os.WUNTRACED)
os.tcsetpgrp(0, os.getpgrp())
if os.WIFSTOPPED(status):
    os.kill(job, signal.SIGKILL)
print("stopped" if os.WIFSTOPPED(status) else "status", os.WEXITSTATUS(status))
"""


@pytest.mark.parametrize("how", ["f", "c"], ids=["to the foreground", "closed"])
def test_a_background_job_that_reads_is_not_stopped(how):
    with PtyProcess([sys.executable, "-c", BACKGROUND, how]) as program:
        program.expect(b"reading")
        program.send(b"typed\n")
        program.expect(b"typed")
        program.signal(signal.SIGUSR1)
        program.expect(b"status 7")
        assert program.wait() == 0


# The job begins in the foreground and loses the terminal between its look and its read.
PUSHED = """
import os, signal
from ssm_plugin.terminal.input import InputReader

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
told, tell = os.pipe()
pushed, push = os.pipe()

class Pushed(InputReader):
    looks = []
    def _take(self):
        if len(self.looks) == 1:
            os.write(tell, b"about to read")
            os.read(pushed, 1)
        return super()._take()
    def _in_background(self):
        self.looks.append(super()._in_background())
        if len(self.looks) == 2:
            os.write(tell, b"could not read")
        return self.looks[-1]

job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    os.write(1, b"reading\\n")
    reader = Pushed(0)
    typed = reader.read()
    os._exit(7 if (typed, reader.looks) == (b"typed\\n", [False, True, False]) else 8)
os.read(told, 100)
os.tcsetpgrp(0, os.getpgrp())
os.write(push, b"x")
os.read(told, 100)
os.tcsetpgrp(0, job)
pid, status = os.waitpid(job, 0)
os.tcsetpgrp(0, os.getpgrp())
print("status", os.WEXITSTATUS(status))
"""


def test_a_job_pushed_to_the_background_just_before_its_read_is_not_stopped():
    with PtyProcess([sys.executable, "-c", PUSHED]) as program:
        program.expect(b"reading")
        program.send(b"typed\n")
        program.expect(b"status 7")
        assert program.wait() == 0


def test_sigttin_reaches_others_as_before():
    master, slave = os.openpty()
    reader = InputReader(slave)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.write(master, b"line\n")
    assert reader.read() == b"line\n"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    reader.close()
    os.close(master)
    os.close(slave)
