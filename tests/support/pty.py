"""A program on a real terminal of its own: a pty, with the program as the session's leader::

    with PtyProcess([sys.executable, "-m", "ssm_plugin", "demo", "shell"]) as program:
        program.expect(b"$ ")
        program.send(b"exit\\r")
        assert program.wait() == 0

Nothing here sleeps: output is waited for, and every wait has a time limit.
"""

import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from . import program
from .program import ROOT  # noqa: F401

TIME_LIMIT = 40.0

# Runs before the program, in its process: takes the terminal, sets what the program is to inherit.
# A preexec_fn would do, but Python 3.12 warns of it where the tests have threads.
_LAUNCHER = """
import fcntl, os, signal, sys, termios
terminal, ignored, program = sys.argv[1], sys.argv[2], sys.argv[3:]
fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
os.close(fd)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for number in ignored.split():
    signal.signal(int(number), signal.SIG_IGN)
os.execvp(program[0], program)
"""


class PtyProcess:
    """``argv`` on a pty of ``cols`` x ``rows``, which is its controlling terminal.

    ``stdin``, ``stdout``, ``stderr``: a file or descriptor in place of the terminal. ``ignored``:
    signals that the program inherits as ignored. ``env`` replaces the environment; the checkout
    is on the program's PYTHONPATH in any case. All time limits are seconds, and passing one is an
    AssertionError that shows what the program wrote. ``output`` is all that was read so far.
    """

    def __init__(
        self,
        argv,
        cols=80,
        rows=24,
        env=None,
        cwd=None,
        stdin=None,
        stdout=None,
        stderr=None,
        ignored=(),
    ):
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)  # this end's own flag: the program does not see it
        self.output = b""
        self._seen = 0  # how much of the output earlier calls of expect() have used up
        self._ended = False
        self.resize(cols, rows)
        self.first_attributes = self.attributes()  # once it runs, they may be others already
        environment = dict(os.environ if env is None else env)
        environment["PYTHONPATH"] = ROOT
        environment.setdefault("TERM", "xterm")
        options = dict(
            stdin=slave if stdin is None else stdin,
            stdout=slave if stdout is None else stdout,
            stderr=slave if stderr is None else stderr,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        try:
            if program.must_be_started(argv, options):
                numbers = " ".join(str(int(number)) for number in ignored)
                launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, os.ttyname(slave), numbers]
                self.process = subprocess.Popen(launcher + list(argv), **options)
            else:
                self.process = program.start(argv, os.ttyname(slave), ignored, **options)
        finally:
            os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def pid(self):
        return self.process.pid

    def send(self, data, timeout=TIME_LIMIT):
        """Type ``data``; what the program writes meanwhile is read."""
        deadline = time.monotonic() + timeout
        while data:
            writable = [self.master] if not self._ended else []
            readers, writers, _ = select.select(writable, writable, [], self._left(deadline))
            assert readers or writers, self._failure("did not take {!r}".format(data[:80]))
            if readers:
                self._read()
            else:
                data = data[os.write(self.master, data) :]

    def expect(self, wanted, timeout=TIME_LIMIT):
        """Wait until the program has written ``wanted``; all new output up to and with it."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.output.find(wanted, self._seen)
            if found >= 0:
                start, self._seen = self._seen, found + len(wanted)
                return self.output[start : self._seen]
            assert not self._ended, self._failure("ended without {!r}".format(wanted))
            ready, _, _ = select.select([self.master], [], [], self._left(deadline))
            assert ready, self._failure("did not write {!r}".format(wanted))
            self._read()

    def wait(self, timeout=TIME_LIMIT):
        """The exit status, negative for a signal; reads what the program still writes."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self._failure("did not end")
            self._read_for(0.02)
        while not self._ended and self._read_for(0):
            pass
        return self.process.returncode

    def signal(self, signum):
        self.process.send_signal(signum)

    def resize(self, cols, rows):
        """Change the window; the program's foreground job gets SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def attributes(self):
        """The terminal's settings, as ``termios.tcgetattr`` returns them."""
        return termios.tcgetattr(self.master)

    def hang_up(self):
        """Close the terminal's other end, as a closed window does: SIGHUP, and EIO from then on."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
            self._ended = True

    def close(self):
        """End the program and what is left of its job, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(TIME_LIMIT)
        self.hang_up()

    def _read_for(self, seconds):
        """Whether there was output, or the end of it, within so long."""
        masters = [] if self._ended else [self.master]
        ready, _, _ = select.select(masters, [], [], seconds)
        if ready:
            self._read()
        return bool(ready)

    def _read(self):
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux: nobody has the terminal open any more
                raise
            data = b""
        self._ended = not data
        self.output += data

    def _left(self, deadline):
        return max(0.0, deadline - time.monotonic())

    def _failure(self, what):
        return "the program {}; it wrote {!r}".format(what, self.output[-2000:])
