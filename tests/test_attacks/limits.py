"""Programs under a limit of descriptors, threads or memory, at a local service.

A limit is what the shell's ``ulimit`` takes: ``("-n", 12)``. For ``-u``, from which root is exempt,
root's programs run as a user that has no other processes.
"""

import os
import select
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from tests.support.drop_in import REGION, TARGET

SECONDS = 30.0
ANOTHER_USER = 65533
READ_ALL = "+dac_override,+dac_read_search"


class Result(NamedTuple):
    status: int
    stdout: bytes
    stderr: bytes
    over: bool  # no session is left at the service


def limited(argv, limit):
    kind, value = limit
    words = ["bash", "-c", 'ulimit %s %d || exit 99; exec "$@"' % (kind, value), "sh"] + list(argv)
    if kind == "-u" and os.getuid() == 0:
        words = [
            "setpriv", "--reuid", str(ANOTHER_USER), "--regid", str(ANOTHER_USER),
            "--clear-groups", "--inh-caps", READ_ALL, "--ambient-caps", READ_ALL,
        ] + words
    return words


def shell(drop_in, limit):
    """A shell that is told to greet and to leave."""
    started = drop_in.start()
    argv = limited(drop_in.argv(started), limit)
    return run(drop_in, argv, drop_in.variables(started), b"echo it' 'runs\nexit\n")


def port(drop_in, limit):
    """A port session that is told to end once it listens."""
    started = drop_in.start(
        "AWS-StartPortForwardingSession", {"portNumber": ["9"], "localPortNumber": ["0"]}
    )
    argv = limited(drop_in.argv(started), limit)
    return run(drop_in, argv, drop_in.variables(started), b"", b"Waiting for connections")


def command(drop_in, limit):
    """``ssm-plugin exec`` of a command that greets."""
    ours = [sys.executable, "-m", "ssm_plugin", "exec", TARGET]
    options = ["--region", REGION, "--endpoint-url", drop_in.service.endpoint_url]
    argv = limited(ours + options + ["--", "echo", "it runs"], limit)
    return run(drop_in, argv, drop_in.environ, b"")


KINDS = {"shell": shell, "port": port, "exec": command}


def run(drop_in, argv, environ, stdin, ready=None):
    """To its end, or to a SIGTERM once ``ready`` was said."""
    process = drop_in.spawn(argv, environ=environ)
    with process:
        try:
            said = wait_for(process, ready) if ready else b""
            if ready and ready in said:
                process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(stdin, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    sessions = drop_in.service.open_sessions()
    for session in sessions:
        session.terminate()
    return Result(process.returncode, said + stdout, stderr, not sessions)


def wait_for(process, wanted):
    """What came on stdout, up to ``wanted`` or the end."""
    said, deadline = b"", time.monotonic() + SECONDS
    while wanted not in said:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([process.stdout], [], [], left)[0]:
            break
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            break
        said += data
    return said
