"""A process that has loaded our programs and becomes one of them for each request.

A start of Python with the package takes a fifth of a second of a core, and the tests start
hundreds. A fork of a process that is ready takes a twentieth of that. What comes of it is a process
as any other: its own descriptors, session, terminal, signals, environment and status. Only its
start is not a program's: see ``program.must_be_started`` for what that rules out.

A request is one packet on a socket: a JSON object, and the descriptors of standard input, output
and error and of a pipe for the answers. These are two lines: the process id, and its wait status.
"""

import array
import atexit
import contextlib
import fcntl
import gc
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import socket
import sys
import termios
import threading
import time

REQUEST_SIZE = 100000
DESCRIPTORS = 4
_DESCRIPTOR_LIMIT = 256
_LIBRARIES = ("http.client", "json", "ssl", "websocket", "yaml")
# These lie in the package as texts for other machines, or do their work when they are read.
_NOT_LOADED = ("ssm_plugin.__main__",)
# What programs run of these packages the tests run in their own process, too: measured there.
_OF_TESTS = "aws channel loopback net plugins run_command session terminal transport wire".split()

_answers = {}  # the pipe of each process that runs


def serve(descriptor):
    """Answer requests on that socket until its other end is closed. Returns None then, and in each
    new process the request that it is to fulfil."""
    channel = socket.socket(fileno=descriptor)
    _load()
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    # Whatever the moment in which a process ends, it is waited for between two requests.
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready = select.select([channel, woken], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            _wait_for_ended()
        if channel in ready:
            data, received = _receive(channel)
            if not data:
                return None
            if _fork(received):
                request = json.loads(data.decode("ascii"), object_hook=_as_given)
                _become(request, received)
                for sock in (channel, woken, wakes):
                    sock.detach()
                return request


def _as_given(fields):
    """Python takes words for what they are in its locale, which need not be that of the tests."""

    def decoded(word):
        text = isinstance(word, str)
        return os.fsdecode(word.encode("utf-8", "surrogateescape")) if text else word

    return {
        name: list(map(decoded, value)) if isinstance(value, list) else decoded(value)
        for name, value in fields.items()
    }


def _receive(channel):
    data, ancillary, _, _ = channel.recvmsg(REQUEST_SIZE, socket.CMSG_SPACE(DESCRIPTORS * 4))
    received = array.array("i")
    for _, _, content in ancillary:
        received.frombytes(content)
    return data, received


def _fork(received):
    """Whether this is the new process."""
    pid = os.fork()
    if pid == 0:
        return True
    _answers[pid] = received[3]
    os.write(received[3], b"%d\n" % pid)
    for standard in received[:3]:
        os.close(standard)
    return False


def run(request):
    """Be the program, ``python -m ssm_plugin`` or a script, to its end. What was loaded is not
    taken down again: that would cost more than most programs."""
    status = 0
    try:
        if request["argv"][0] == "-m":
            sys.argv = request["argv"][1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = request["argv"]
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        status = _status(ended.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or 120  # as Python says that nobody took its output
    os._exit(status)


def _status(code):
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def _load():
    import ssm_plugin

    for name in _LIBRARIES:
        __import__(name)
    for module in pkgutil.walk_packages(ssm_plugin.__path__, "ssm_plugin."):
        if module.name not in _NOT_LOADED:
            __import__(module.name)
    _measure_programs()
    gc.collect()
    if hasattr(gc, "freeze"):  # not on 3.6
        gc.freeze()


def _wait_for_ended():
    for pid in list(_answers):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pipe = _answers.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody wants to know
                os.write(pipe, b"%d\n" % status)
            os.close(pipe)


def _become(request, received):
    if request["session"]:
        os.setsid()
    if request["terminal"]:
        terminal = os.open(request["terminal"], os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    if not request["measured"]:
        _stop_measuring()
    for standard in range(3):
        os.dup2(received[standard], standard)
    os.closerange(3, _DESCRIPTOR_LIMIT)
    _answers.clear()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(request["folder"])
    # Python itself sets this one, where the locale is C.
    coerced = os.environ.get("LC_CTYPE")
    os.environ.clear()
    if coerced:
        os.environ["LC_CTYPE"] = coerced
    os.environ.update(request["environ"])
    time.tzset()
    random.seed()
    _renew_standard_streams()


def _measure_programs():
    """Where tests are measured, each fork is, into a file of its own, as coverage sees that it is
    another process. What was loaded until then is none of its own, nor is what ``_OF_TESTS`` names:
    to measure that once more would take most of the time."""
    how = os.environ.get("SSM_TEST_COVERAGE")
    if how:
        _stop_measuring(saving=True)
        import coverage

        omitted = ["*/ssm_plugin/%s/*" % name for name in _OF_TESTS]
        of_programs = coverage.Coverage(config_file=how, omit=omitted, auto_data=True)
        of_programs.start()
        # For each file it decides whether to measure it, as soon as something of that runs. It
        # takes that long that each fork would spend half of its time with it.
        for module in list(sys.modules.values()):
            if getattr(module, "__file__", None):
                exec(compile("", module.__file__, "exec"), {})
        _save(of_programs)


def _stop_measuring(saving=False):
    measuring = _coverage()
    if measuring:
        measuring.stop()
        atexit.unregister(measuring._atexit)
        if saving:
            _save(measuring)


def _save(measuring):
    measuring.save()
    measuring.get_data().close()


def _coverage():
    coverage = sys.modules.get("coverage")
    return coverage and coverage.Coverage.current()


def _renew_standard_streams():
    """As Python makes them at its start: it asks what they are."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        old = getattr(sys, name)
        new = open(
            old.fileno(),
            mode,
            buffering=1 if _by_line(name) or os.isatty(old.fileno()) else -1,
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
        setattr(sys, name, new)
        setattr(sys, "__%s__" % name, new)


def _by_line(name):
    return name == "stderr" and sys.version_info >= (3, 9)
