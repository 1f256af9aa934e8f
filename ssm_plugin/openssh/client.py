"""OpenSSH's own programs: those that are asked something, and ``ssh`` in the foreground, with its
terminal, its signals and its exit status."""

import os
import queue
import signal
import subprocess
from typing import Mapping, Optional, Sequence, Tuple, Union

from ..errors import LocalError
from ..shortage import prepare_for_ends_of_threads
from ..terminal.signals import ENDING_SIGNALS, Signalled, SignalWatch
from ..transport.worker import Worker, WorkerFailed

_FAILED = 255
_ANSWER_LIMIT = 10.0  # s

_Event = Union[Signalled, WorkerFailed]


def ask(environ: Mapping[str, str], *argv: str) -> Tuple[int, str]:
    """Its exit status and what it wrote to stdout. It gets no input.

    :raises LocalError: if it is not there, or does not end
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=_ANSWER_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            "%s does not answer within %d s: run it by hand to see why" % (argv[0], _ANSWER_LIMIT)
        ) from error
    except OSError as error:
        raise not_there(argv[0], error) from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


def not_there(program: str, error: OSError) -> LocalError:
    why: Optional[str] = error.strerror
    if isinstance(error, FileNotFoundError):
        why = "there is none on PATH: install OpenSSH's client"
    return LocalError("cannot start %s: %s" % (program, why))


def run_client(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program until it ends. Returns its exit status, or 128 and the number of the signal
    that ended it. Signals that would end us are passed on, so that it can restore the terminal.

    :raises LocalError: if it cannot be started"""
    prepare_for_ends_of_threads()
    events: "queue.Queue[_Event]" = queue.Queue()
    with SignalWatch(events.put, ENDING_SIGNALS + (signal.SIGCHLD,)) as watch:
        signals = Worker("signals", watch.forward, events.put)
        signals.start()
        try:
            process = subprocess.Popen(argv, env=dict(environ))
        except OSError as error:
            raise not_there(argv[0], error) from error
        status = _wait(process, events)
    signals.join(1.0)
    return status if status >= 0 else 128 - status


def _wait(process: "subprocess.Popen[bytes]", events: "queue.Queue[_Event]") -> int:
    passed_on = 0
    while True:
        event = events.get()
        if isinstance(event, WorkerFailed):
            process.kill()
            process.wait()
            raise event.as_error()
        if event.signum != signal.SIGCHLD:
            # Only we wait for it: until we have, its number cannot belong to another process.
            os.kill(process.pid, event.signum)
            passed_on = event.signum
        status = _status_of(process)
        if status is not None:
            # After a signal that ssh handles itself, its status only says that it failed.
            return -passed_on if passed_on and status == _FAILED else status


def _status_of(process: "subprocess.Popen[bytes]") -> Optional[int]:
    """The exit status; None while it runs. When it stops itself (``~^Z``), so do we: the shell
    watches us, not it."""
    pid, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
    if not pid:
        return None
    if os.WIFSTOPPED(status):
        os.kill(os.getpid(), signal.SIGSTOP)
        return None
    if os.WIFSIGNALED(status):
        process.returncode = -os.WTERMSIG(status)
    else:
        process.returncode = os.WEXITSTATUS(status)
    return process.returncode
