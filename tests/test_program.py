"""What the tests start by a fork is what a start of Python would be."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import program
from tests.support.pty import PtyProcess

OURS = [sys.executable, "-m", "ssm_plugin"]
LIMIT = 40.0


@pytest.fixture
def script(tmp_path):
    """A drop-in's name, for lines of Python of a test's own."""

    def write(text):
        path = tmp_path / "session-manager-plugin"
        path.write_text(text)
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def environ(tmp_path):
    return {"PYTHONPATH": program.ROOT, "PATH": os.defpath, "HOME": str(tmp_path), "TZ": "UTC-5"}


def both(argv, **options):
    """A fork's end, and a start's."""
    assert not program.must_be_started(argv, options)
    forked = program.run(argv, LIMIT, b"given", **options)
    started = subprocess.run(
        argv, input=b"given", stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    return forked, started


@pytest.mark.parametrize(
    "text",
    [
        "import os; print(sorted(os.environ.items()), os.getcwd())",
        "import sys; print(sys.argv, sys.stdin.read())",
        "import sys; print(sys.stdin.encoding, sys.stdin.errors, sys.stderr.errors)",
        "import sys; print([s.line_buffering for s in (sys.stdin, sys.stdout, sys.stderr)])",
        "import os; print(os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd'))[:3])",
        "import time; print(time.localtime(0))",
        "import signal; print([str(signal.getsignal(n)) for n in range(1, 32) if n != 2])",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a reason')",
        "import os; os.kill(os.getpid(), 9)",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading; threading.Timer(0.01, print, ['later']).start()",
    ],
)
def test_a_fork_is_as_a_start(script, environ, tmp_path, text):
    forked, started = both(script(text), env=environ, cwd=str(tmp_path), start_new_session=True)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr == started.stderr


def test_what_is_raised_is_a_traceback_and_status_1(script, environ):
    forked, started = both(script("1 / 0"), env=environ)
    assert forked.returncode == started.returncode == 1
    assert forked.stderr.splitlines()[-1] == started.stderr.splitlines()[-1]


def test_programs_run_beside_each_other_and_each_gets_its_signal(script, environ):
    argv = script("import signal; print('up', flush=True); signal.pause()")
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ)
    with program.start(argv, **pipes) as first, program.start(argv, **pipes) as second:
        assert (first.stdout.readline(), second.stdout.readline()) == (b"up\n", b"up\n")
        second.terminate()
        assert second.wait(LIMIT) == -signal.SIGTERM
        assert first.poll() is None
        first.kill()
        assert first.wait(LIMIT) == -signal.SIGKILL
        first.kill()  # as one may who has not looked


def test_forty_short_ones_from_several_threads_are_all_waited_for(script, environ):
    argv = script("import sys; sys.exit(int(sys.argv[1]))")

    def status(number):
        return program.run(argv + [str(number)], LIMIT, env=environ).returncode

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(status, range(40))) == list(range(40))


def test_a_terminal_is_its_own(script, environ):
    argv = script("import os; print(os.open('/dev/tty', os.O_RDWR) > 2, os.isatty(0))")
    with PtyProcess(argv, env=environ) as shown:
        shown.expect(b"True True\r\n")
        assert shown.wait() == 0


@pytest.mark.parametrize(
    "argv, options",
    [
        (["sh", "-c", "exit"], {}),
        ([sys.executable, "-c", "pass"], {}),
        (OURS, {"pass_fds": [3]}),
        (OURS, {"env": {"PYTHONPATH": "/elsewhere"}}),
        (OURS + ["x" * 60000], {"env": {"PYTHONPATH": program.ROOT}}),
    ],
)
def test_what_a_fork_cannot_be_is_started(argv, options):
    assert program.must_be_started(argv, options)
