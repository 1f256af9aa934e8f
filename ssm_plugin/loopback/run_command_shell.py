"""One script of Run Command at a node, as the agent there runs it: ``sh -c SCRIPT``.

Its outputs are pipes, so what it leaves running in the background with them is waited for. Owned by
one thread, which reads when there is something to read.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from typing import Callable, Dict, Mapping, Optional, Tuple

from .agent_work import encoded, kill_sessions, signal_group
from .nodes import LocalNode
from .run_command_state import EXECUTION_TIMED_OUT, FAILED, SUCCESS, Invocation, Output

STDOUT_LIMIT, STDERR_LIMIT, BOTH_LIMIT = 24000, 8000, 2500  # bytes
_LIMITS = {"stdout": STDOUT_LIMIT, "stderr": STDERR_LIMIT}
KILLED = 137

PIECE = 65536
_SH = shutil.which("sh") or "/bin/sh"
_SUFFIX = b"--output truncated--"
_OUT_CUT = b"\n---Output truncated---"
_ERR_CUT = b"\n---Error truncated----"
_ERR_TITLE = b"\n----------ERROR-------\n"

Keep = Callable[[str, bytes], None]


class Shell:
    """``keep(name, data)`` gets the whole ``stdout`` and ``stderr`` piece by piece, if given.
    ``variables`` are the environment of whoever runs it. What the constructor raises is OSError or
    ValueError: see ``not_started``."""

    def __init__(
        self,
        invocation: Invocation,
        script: str,
        keep: Optional[Keep],
        variables: Mapping[str, str],
    ) -> None:
        request = invocation.command.request
        self.invocation = invocation
        self.deadline = time.monotonic() + request.execution_timeout
        self._keep = keep
        self._ending = ""
        self._open = 2
        self._kept = {name: bytearray() for name in _LIMITS}
        folder = request.working_directory
        self._process = subprocess.Popen(
            [_SH, "-c", shlex.quote(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=encoded([folder])[0] if os.path.isabs(folder) else None,
            env=dict(variables, **_facts(invocation.node)),
            start_new_session=True,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self.streams = [self._process.stdout, self._process.stderr]
        self._names = dict(zip((stream.fileno() for stream in self.streams), _LIMITS))

    def read(self, fd: int) -> bool:
        """Take what there is; False at the end of the stream."""
        data = os.read(fd, PIECE)
        if not data:
            self._open -= 1
            return False
        name = self._names[fd]
        kept = self._kept[name]
        kept += data[: max(0, _LIMITS[name] - len(kept))]
        if self._keep is not None:
            self._keep(name, data)
        return True

    @property
    def is_silent(self) -> bool:
        """Whether all its outputs are closed."""
        return self._open == 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self, details: str) -> None:
        """Kill all of its process group. ``details`` say why; the first reason counts."""
        self._ending = self._ending or details
        signal_group(self._process.pid, signal.SIGKILL)

    @property
    def is_killed(self) -> bool:
        return bool(self._ending)

    def finish(self) -> Tuple[str, Output]:
        """The details and the output. It has ended, or was killed."""
        status = self._process.wait()
        if self._ending:
            kill_sessions([self._process.pid])
        stdout, stderr = map(bytes, self._kept.values())
        for stream in self.streams:
            stream.close()
        if self._ending:
            return self._ending, told(KILLED, stdout, stderr)
        code = max(status, -1)
        if code == 0:
            return SUCCESS, told(0, stdout, stderr)
        if code == KILLED:  # an agent takes it for its own doing
            return EXECUTION_TIMED_OUT, told(KILLED, stdout, stderr)
        complaint = b"failed to run commands: " + _go_error(status)
        if self._keep is not None:
            self._keep("stderr", complaint)
        return FAILED, told(code, stdout, stderr + complaint)


def not_started(error: Exception, folder: str) -> Output:
    """The output for a script that did not start, in the words of a program in Go."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number).lower() if number else str(error)
    where = "chdir %s: " % folder if os.path.isabs(folder) else "fork/exec sh: "
    text = "failed to run commands: " + where + reason
    return told(1, b"", text.encode("utf-8", "replace"))


def told(code: int, stdout: bytes, stderr: bytes) -> Output:
    """Cut as an agent and the service do it. The limits are of bytes, so a character may be cut."""
    return Output(
        code,
        _text(_prefix(stdout, STDOUT_LIMIT)),
        _text(_prefix(stderr, STDERR_LIMIT)),
        _text(_both(stdout, stderr)),
    )


def _prefix(data: bytes, limit: int) -> bytes:
    return data if len(data) < limit else data[: limit - len(_SUFFIX)] + _SUFFIX


def _both(stdout: bytes, stderr: bytes) -> bytes:
    title = _ERR_TITLE if stderr else b""
    space = BOTH_LIMIT - len(title)
    if len(stdout) + len(stderr) < space:
        return stdout + title + stderr
    if len(stdout) > space // 2 and len(stderr) > space // 2:
        half = (space - len(_OUT_CUT) - len(_ERR_CUT)) // 2
        return stdout[:half] + _OUT_CUT + title + stderr[:half] + _ERR_CUT
    if len(stdout) < space // 2:
        return stdout + title + stderr[: space - len(_ERR_CUT) - len(stdout)] + _ERR_CUT
    return stdout[: space - len(_OUT_CUT) - len(stderr)] + _OUT_CUT + title + stderr


def _text(data: bytes) -> str:
    """Each byte that is no text becomes U+FFFD, as in a program in Go."""
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))


def _go_error(status: int) -> bytes:
    if status >= 0:
        return b"exit status %d" % status
    return b"signal: " + _SIGNALS.get(-status, "signal %d" % -status).encode("ascii")


_SIGNALS: Dict[int, str] = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGABRT: "aborted",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}


def _facts(node: LocalNode) -> Dict[str, str]:
    """What an agent tells a script in its environment."""
    name, _, version = node.platform.rpartition(" ")
    return {
        "AWS_SSM_INSTANCE_ID": node.node_id,
        "AWS_SSM_REGION_NAME": "us-east-1",
        "AWS_SSM_PLATFORM_NAME": name or version,
        "AWS_SSM_PLATFORM_VERSION": version if name else "",
    }

