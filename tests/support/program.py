"""Starts our programs, quickly: ``start`` is ``subprocess.Popen``, of a fork server where one will
do. Each kind of environment that a Python looks at when it starts has a server of its own.

Where tests are measured, so is what a server starts, and what the first one has loaded. To measure
a program that is started by itself, or by another program, makes its start five times as long.
"""

import array
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading

from tests.support import fork_server

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_OPTIONS = {"stdin", "stdout", "stderr", "env", "cwd", "start_new_session"}
_SERVER = "from tests.support.fork_server import run, serve; r = serve({}); r and run(r)"
_servers = {}
_may_fork = True
how_to_measure = ""  # coverage's configuration, where tests are measured
measures = True  # whether the programs of this test are, then
_starting = threading.Lock()


def start(argv, terminal="", ignored=(), **options):
    """``terminal``: the path of what becomes its controlling terminal. ``ignored``: the signals
    that it inherits as ignored. Both are for a fork alone: see ``must_be_started``."""
    if must_be_started(argv, options):
        assert not terminal and not ignored
        return subprocess.Popen(argv, **options)
    return _Forked(argv, terminal, ignored, options)


def run(argv, timeout, input=None, **options):
    """To its end, with ``input`` or none; as ``subprocess.run`` does."""
    options.setdefault("stdin", subprocess.DEVNULL if input is None else subprocess.PIPE)
    options.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with start(argv, **options) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        finally:
            process.poll() is None and process.kill()
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


@contextlib.contextmanager
def no_forks():
    """For tests of what a start shows to others: its line in the process table, its files."""
    global _may_fork
    _may_fork = False
    try:
        yield
    finally:
        _may_fork = True


def must_be_started(argv, options):
    """Whether only a start will do: of another program, on another path, or with a descriptor
    more."""
    ours = argv[0] == sys.executable and (
        list(argv[1:3]) == ["-m", "ssm_plugin"]
        or os.path.basename(argv[1]) == "session-manager-plugin"
    )
    environ = options.get("env") or os.environ
    return not (
        _may_fork
        and ours
        and sys.platform.startswith("linux")
        and set(options) <= _OPTIONS
        and environ.get("PYTHONPATH") == ROOT
        and len(json.dumps([list(argv), dict(environ)])) < fork_server.REQUEST_SIZE // 2
    )


def close_servers():
    """They end, and write down what was measured."""
    while _servers:
        _, server = _servers.popitem()
        server.close()


class _Server:
    def __init__(self, environ):
        if how_to_measure:
            environ = dict(environ, SSM_TEST_COVERAGE=how_to_measure)
            if not _servers:  # what runs as modules are imported is the same in all
                environ["COVERAGE_PROCESS_START"] = how_to_measure
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER.format(theirs.fileno())],
                env=environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def ask(self, request, descriptors):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._channel.sendmsg([json.dumps(request).encode("ascii")], rights)

    def close(self):
        self._channel.close()
        self._process.wait()


def _server_for(environ):
    """The server whose Python started as one with ``environ`` would."""
    kept = {
        name: value
        for name, value in environ.items()
        if name.startswith(("PYTHON", "LC_", "LANG"))
    }
    kept["PATH"] = os.environ["PATH"]
    kept["HOME"] = os.environ["HOME"]
    if "COVERAGE_FILE" in os.environ:
        kept["COVERAGE_FILE"] = os.environ["COVERAGE_FILE"]
    key = tuple(sorted(kept.items()))
    with _starting:  # tests start programs from several threads
        if key not in _servers:
            _servers[key] = _Server(kept)
        return _servers[key]


class _Forked(subprocess.Popen):
    """A child of the server. Whoever waits for it reads a pipe."""

    def __init__(self, argv, terminal, ignored, options):
        self._request = {
            "argv": list(argv)[1:],
            "terminal": terminal,
            "ignored": [int(number) for number in ignored],
            "session": bool(options.get("start_new_session")),
            "measured": measures,
            "folder": os.path.abspath(options.get("cwd") or os.curdir),
            "environ": dict(options.get("env") or os.environ),
        }
        self._answers = None
        super().__init__(argv, **options)

    def _execute_child(self, *arguments):
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = arguments[10:16]
        answers, theirs = os.pipe()
        self._answers = open(answers, "rb", buffering=0)
        standard = [p2cread, c2pwrite, errwrite]
        standard = [number if given == -1 else given for number, given in enumerate(standard)]
        try:
            server = _server_for(self._request["environ"])
            server.ask(self._request, standard + [theirs])
        finally:
            os.close(theirs)
            devnull = getattr(self, "_devnull", None)
            for child, parent in ((p2cread, p2cwrite), (c2pwrite, c2pread), (errwrite, errread)):
                if child != -1 and parent != -1 and child != devnull:
                    os.close(child)
            if devnull is not None:
                os.close(devnull)
            self._closed_child_pipe_fds = True
        self.pid = int(self._answers.readline())
        self._child_created = True

    def send_signal(self, sig):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the server waits for it at once
                os.kill(self.pid, sig)

    def _internal_poll(self, _deadstate=None, **_):
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode

    def _try_wait(self, wait_flags):
        if wait_flags & os.WNOHANG and not select.select([self._answers], [], [], 0)[0]:
            return 0, 0
        status = int(self._answers.readline())
        self._answers.close()
        return self.pid, status
