"""Credentials that another program prints: ``credential_process`` and what behaves like it.

The program prints one JSON object: ``Version`` 1, ``AccessKeyId``, ``SecretAccessKey`` and perhaps
``SessionToken`` and ``Expiration``. It gets no stdin and no terminal, since ours may be carrying a
session's data, and ends with its whole process group when the time is over. Its stdout is never
shown; of its stderr the last line is, with everything masked that might be a key.
"""

import atexit
import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from typing import Dict, Mapping, Sequence, Tuple

from .. import masking
from ..errors import CredentialsError
from ..files import MIB
from ..net.timing import Deadline
from .keys import Credentials, from_document

_running: "Dict[subprocess.Popen[bytes], int]" = {}  # each with the process that started it

_KILLED_WITHIN = 1.0  # s
_LONGEST = MIB
_SHOWN = 300  # characters of stderr
_SECRET = re.compile(r"(?=[A-Za-z+/=_-]*[0-9])[A-Za-z0-9+/=_-]{16,}|[A-Za-z0-9+/=_-]{32,}")


def credential_process(
    command: str, profile: str, environ: Mapping[str, str], deadline: Deadline
) -> Credentials:
    """What the ``credential_process`` of a profile prints. CredentialsError says why it did not."""
    source = "credential_process of the AWS profile %r" % profile
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise CredentialsError(
            "%s cannot be split into words (%s): check its quotes in the AWS files"
            % (source, error)
        ) from error
    if not arguments:
        raise CredentialsError("%s is empty: correct the AWS files" % source)
    return run(arguments, source, environ, deadline)


def run(
    arguments: Sequence[str], source: str, environ: Mapping[str, str], deadline: Deadline
) -> Credentials:
    """Runs a program and reads its answer; ``source`` is what errors call it."""
    return _read(_output(arguments, source, environ, deadline), source)


def masked(text: str) -> str:
    """``text`` with each word that could be a key or a token replaced."""
    return _SECRET.sub(masking.MASK, masking.mask(text))


def _read(output: bytes, source: str) -> Credentials:
    try:
        document = json.loads(output.decode("utf-8"))
    except (ValueError, RecursionError):
        # Without the cause: it carries the whole output, keys included.
        raise CredentialsError("%s did not print one JSON object" % source) from None
    version = document.get("Version") if isinstance(document, dict) else 1
    if version != 1:
        raise CredentialsError("%s printed no 'Version': 1, the only one that is known" % source)
    return from_document(source, document, "SessionToken")


def _output(
    arguments: Sequence[str], source: str, environ: Mapping[str, str], deadline: Deadline
) -> bytes:
    left = deadline.remaining(source)
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        number = getattr(error, "errno", None)  # the text has the file in it, up to Python 3.7
        why = os.strerror(number) if number else "its command line is not valid"
        raise CredentialsError(
            "%s cannot be started: %s: %r; check that this is there and may be run"
            % (source, why, arguments[0])
        ) from error
    ended = False
    _running[process] = os.getpid()
    try:
        output, complaint = _communicate(process, left)
        if len(output) > _LONGEST:
            raise CredentialsError("%s printed more than 1 MiB instead of one JSON object" % source)
        ended = True
    except subprocess.TimeoutExpired:
        # Without the cause: it carries the command line and the output.
        raise deadline.error(source, "does it wait for somebody? run it by hand") from None
    finally:
        if not ended:
            _kill(process)
        _running.pop(process, None)
    if process.returncode != 0:
        raise _failure(source, process.returncode, complaint)
    return output


def _communicate(process: "subprocess.Popen[bytes]", seconds: float) -> Tuple[bytes, bytes]:
    """Like ``Popen.communicate``, but bounded: it stops when stdout is too long, and keeps only the
    end of stderr."""
    end = time.monotonic() + seconds
    output, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)  # type: ignore
        selector.register(process.stderr, selectors.EVENT_READ, complaint)  # type: ignore
        while selector.get_map() and len(output) <= _LONGEST:
            ready = selector.select(max(end - time.monotonic(), 0))
            if not ready:
                raise subprocess.TimeoutExpired("", seconds)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore
            del complaint[:-_LONGEST]
    if len(output) <= _LONGEST:
        process.wait(max(end - time.monotonic(), 0))
    return bytes(output), bytes(complaint)


@atexit.register
def _kill_running() -> None:
    """At exit: a thread may still wait for a program, which nobody else would stop. A child that
    was forked meanwhile leaves it to us."""
    for process, starter in list(_running.items()):
        if starter == os.getpid():
            _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    # Before anything waits for it: until then the number of the group cannot be another's.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:  # it has just ended
        pass
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    try:
        process.wait(_KILLED_WITHIN)
    except subprocess.TimeoutExpired:  # stuck in the kernel: nothing more can be done
        pass


def _failure(source: str, status: int, complaint: bytes) -> CredentialsError:
    how = "exit status %d" % status if status > 0 else "signal %d" % -status
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines()]
    # After the error of argparse, the AWS CLI lists all the commands that it does know.
    usage = [line for line in lines if re.match(r"\S+: error: ", line)]
    said = masked(next(filter(None, usage or reversed(lines)), "it said nothing on stderr"))
    printable = "".join(character if character.isprintable() else "?" for character in said)
    return CredentialsError("%s failed with %s: %s" % (source, how, printable[:_SHOWN]))
