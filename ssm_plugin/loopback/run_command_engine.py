"""Delivers commands to their nodes, and runs the scripts there. One thread does all of it.

It owns the processes, and sleeps until an output, a deadline or another thread wakes it. So a
command for 5,000 nodes costs no more threads than one for a single node. A node that does not
answer does not count towards a command's concurrency.
"""

import errno
import os
import resource
import selectors
import shutil
import tempfile
import threading
import time
from collections import OrderedDict, deque
from typing import Callable, Deque, Dict, List, Optional, Set

from ..transport.worker import Worker, WorkerFailed
from .agent_work import environment, kill_sessions
from .buckets import LocalBuckets, Uploads
from .run_command_shell import Shell, not_started
from .run_command_state import (
    CANCELLED,
    DELAYED,
    DELIVERY_TIMED_OUT,
    EXECUTION_TIMED_OUT,
    FAILED,
    IN_PROGRESS,
    PENDING,
    Command,
    Invocation,
)

SHELLS = 128  # at once, where so many descriptors can be had; each has two pipes
HISTORY = 200  # commands that are remembered, so long as they are over
SCRIPT = "_script.sh"

_BATCH = 16  # scripts that are started before outputs are read again
_RETRY = 0.25  # seconds until a node that does not answer is tried again
# Seconds between looks whether a script whose outputs are closed has ended: at first, and later.
_SOON, _LATER, _NEW = 0.001, 0.02, 0.05
_LEADERS = 100000
# What the machine may lack for one more process.
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


class Engine:
    """``obstacle`` tells why a node does not get a command now: the details, or None. ``patience``
    is the time (s) for delivery, where commands give more. ``changed`` is the lock of all state,
    and is notified when what can be looked up changes."""

    def __init__(
        self,
        obstacle: Callable[[Invocation], Optional[str]],
        buckets: LocalBuckets,
        failed: Callable[[WorkerFailed], object],
        patience: Optional[float] = None,
    ) -> None:
        self.changed = threading.Condition()
        self.commands: "OrderedDict[str, Command]" = OrderedDict()
        self._obstacle = obstacle
        self._buckets = buckets
        self._patience = patience
        self._active: Deque[Command] = deque()
        self._cancelled: Set[Invocation] = set()
        self._worker = Worker("run command", self._run, failed)
        self._closing = False
        self._wake = -1  # until there is a thread to be woken
        # The thread's own
        self._limit = self._most = _most_shells()
        self._retry_at = 0.0
        self._shells: Dict[Invocation, Shell] = {}
        self._uploads: Dict[Invocation, Uploads] = {}
        self._silent: Dict[Shell, float] = {}  # since when their outputs are closed
        self._leaders: Deque[int] = deque(maxlen=_LEADERS)
        self._folder = ""
        self._environment: Dict[str, str] = {}

    # Called from other threads

    def submit(self, command: Command) -> None:
        with self.changed:
            if self._wake < 0 and not self._closing:
                self._start_thread()
            self.commands[command.command_id] = command
            self._active.append(command)
            self._forget_old()
            self._wake_up()

    def cancel(self, command: Command, ids: List[str]) -> None:
        """Cancel the command on the nodes with these ids; without ``ids``, on all."""
        with self.changed:
            for invocation in command.cancel(ids):
                self._cancelled.add(invocation)
            self.changed.notify_all()
            self._wake_up()

    def close(self, seconds: float) -> None:
        """End all scripts, and join the thread within ``seconds``."""
        with self.changed:
            self._closing = True
            self._wake_up()
        self._worker.join(seconds)

    def _start_thread(self) -> None:
        self._woken, wake = os.pipe()
        try:
            os.set_blocking(wake, False)
            self._worker.start()
        except BaseException:
            os.close(self._woken)
            os.close(wake)
            raise
        self._wake = wake

    def _wake_up(self) -> None:
        try:
            if self._wake >= 0:
                os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # it is full of reasons already

    def _forget_old(self) -> None:
        over = [one for one in self.commands.values() if one.is_over]
        for command in over[: max(0, len(over) - HISTORY)]:
            del self.commands[command.command_id]

    # The engine's thread

    def _run(self) -> None:
        self._environment = environment()
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._woken, selectors.EVENT_READ)
            try:
                while not self._closing:
                    started = self._start_some()
                    self._wait(0.0 if started == _BATCH else self._until_next())
                    self._kill_what_must_end()
                    self._finish_what_has_ended()
            finally:
                self._leave()

    def _start_some(self) -> int:
        now = time.monotonic()
        with self.changed:
            self._deliver_late(now)
            chosen: List[Invocation] = []
            while len(chosen) < min(_BATCH, self._most - len(self._shells)):
                invocation = self._next(now)
                if invocation is None:
                    break
                chosen.append(invocation)
            self._retire()
        for invocation in chosen:
            self._start(invocation)
        return len(chosen)

    def _next(self, now: float) -> Optional[Invocation]:
        """The next invocation that may start; commands take turns."""
        for _ in range(len(self._active)):
            self._active.rotate(-1)
            command = self._active[-1]
            while command.waiting and command.running < command.concurrency:
                invocation = command.waiting.popleft()
                if self._deliver(invocation, now):
                    return invocation
        return None

    def _deliver(self, invocation: Invocation, now: float) -> bool:
        """Whether the node gets it now."""
        command = invocation.command
        details = self._obstacle(invocation)
        self.changed.notify_all()
        if details is None:
            invocation.details = IN_PROGRESS
            invocation.started = time.time()
            command.running += 1
            return True
        if details == DELAYED:
            invocation.details = DELAYED
            invocation.deadline = now + self._time_for(command)
            command.delayed.append(invocation)
        else:
            command.end(invocation, details)
        return False

    def _time_for(self, command: Command) -> float:
        seconds = float(command.request.timeout)
        return seconds if self._patience is None else min(seconds, self._patience)

    def _deliver_late(self, now: float) -> None:
        for command in self._active:
            if command.waiting and command.expires_at <= now:
                command.end_waiting(DELIVERY_TIMED_OUT)
                self.changed.notify_all()
        if now < self._retry_at:
            return
        self._retry_at = now + _RETRY
        for command in self._active:
            delayed, command.delayed = command.delayed, []
            for invocation in delayed:
                if invocation.deadline <= now:
                    command.end(invocation, DELIVERY_TIMED_OUT)
                    self.changed.notify_all()
                elif self._obstacle(invocation) is None:
                    command.waiting.append(invocation)
                else:
                    command.delayed.append(invocation)

    def _retire(self) -> None:
        over = [command for command in self._active if command.is_over]
        for command in over:
            self._active.remove(command)
            if command.script:
                shutil.rmtree(os.path.dirname(command.script), ignore_errors=True)
        if over:
            self.changed.notify_all()

    def _start(self, invocation: Invocation) -> None:
        request = invocation.command.request
        uploads = None
        if request.bucket:
            uploads = Uploads(self._buckets, request.bucket, invocation.s3_folder)
        try:
            script = self._script(invocation.command)
            keep = uploads.write if uploads else None
            shell = Shell(invocation, script, keep, self._environment)
        except (OSError, ValueError) as error:
            self._not_started(invocation, error)
            return
        self._shells[invocation] = shell
        if uploads:
            self._uploads[invocation] = uploads
        for stream in shell.streams:
            self._selector.register(stream, selectors.EVENT_READ, shell)

    def _not_started(self, invocation: Invocation, error: Exception) -> None:
        command = invocation.command
        with self.changed:
            command.running -= 1
            if getattr(error, "errno", None) in _SHORT_OF and self._shells:
                # It gets its turn when another one has ended.
                self._most = len(self._shells)
                invocation.details = PENDING
                command.waiting.appendleft(invocation)
            else:
                output = not_started(error, command.request.working_directory)
                command.end(invocation, FAILED, output)
            self.changed.notify_all()

    def _script(self, command: Command) -> str:
        if not command.script:
            if not self._folder:
                self._folder = tempfile.mkdtemp(prefix="ssm-plugin-commands-")
            folder = os.path.join(self._folder, command.command_id)
            os.makedirs(folder, 0o700, exist_ok=True)  # the file may have failed before
            script = os.path.join(folder, SCRIPT)
            with open(os.open(script, os.O_WRONLY | os.O_CREAT, 0o700), "wb") as file:
                file.write(command.request.script.encode("utf-8", "replace"))
            command.script = script
        return command.script

    def _wait(self, seconds: Optional[float]) -> None:
        for key, _ in self._selector.select(seconds):
            shell = key.data
            if shell is None:
                os.read(self._woken, 65536)
            elif not shell.read(key.fd):
                self._selector.unregister(key.fileobj)
                if shell.is_silent:
                    self._silent[shell] = time.monotonic()

    def _until_next(self) -> Optional[float]:
        """Seconds until there is something to do anyway; None: for ever."""
        now = time.monotonic()
        times = [shell.deadline - now for shell in self._shells.values()]
        with self.changed:
            for command in self._active:
                times.append(command.expires_at - now)
                if command.delayed:
                    times.append(self._retry_at - now)
        if self._silent:
            newest = max(self._silent.values())
            times.append(_SOON if now - newest < _NEW else _LATER)
        return max(0.0, min(times)) if times else None

    def _kill_what_must_end(self) -> None:
        now = time.monotonic()
        with self.changed:
            cancelled, self._cancelled = self._cancelled, set()
        for invocation in cancelled:
            if invocation in self._shells:
                self._shells[invocation].kill(CANCELLED)
        for shell in self._shells.values():
            if shell.deadline <= now:
                shell.kill(EXECUTION_TIMED_OUT)

    def _finish_what_has_ended(self) -> None:
        over = [
            invocation
            for invocation, shell in self._shells.items()
            if shell.is_killed or (shell in self._silent and shell.has_ended())
        ]
        for invocation in over:
            self._finish(invocation)

    def _finish(self, invocation: Invocation) -> None:
        shell = self._shells.pop(invocation)
        self._most = min(self._limit, self._most + 1)
        if self._silent.pop(shell, None) is None:
            for stream in shell.streams:
                if stream.fileno() in self._selector.get_map():
                    self._selector.unregister(stream)
        self._leaders.append(shell.pid)
        details, output = shell.finish()
        uploads = self._uploads.pop(invocation, None)
        if uploads:
            uploads.finish()
        with self.changed:
            invocation.command.running -= 1
            invocation.command.end(invocation, details, output)
            self.changed.notify_all()

    def _leave(self) -> None:
        for shell in self._shells.values():
            shell.kill(CANCELLED)
            self._leaders.append(shell.pid)
            shell.finish()
        if self._leaders:
            kill_sessions(self._leaders)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        with self.changed:
            self._closing = True
            os.close(self._wake)
            os.close(self._woken)
            self._wake = -1


def _most_shells() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return SHELLS
    return max(4, min(SHELLS, (limit - 128) // 4))


