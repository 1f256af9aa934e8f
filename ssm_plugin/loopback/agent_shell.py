"""Shells and interactive commands at the node: a program on a pty of its own."""

import fcntl
import os
import signal
import struct
import subprocess
import termios
from typing import Sequence

from .. import logs
from ..errors import LocalError, MessageError
from ..transport.worker import Worker
from ..wire import payloads
from .agent_pump import OutputPump, Signal, TargetPump
from .agent_work import (
    KILL_AFTER,
    Work,
    WorkDone,
    WorkingAgent,
    encoded,
    environment,
    signal_group,
)

log = logs.logger(__name__)

COLUMNS, ROWS = 80, 24  # until the client tells its own
LANG = "C.UTF-8"  # where the agent itself has none

# The first terminal that a session's leader opens becomes the one that controls the session.
_TAKE_TERMINAL = ': <"$0"; exec "$@"'


class PtyWork(Work):
    """``argv`` on a pty, as the leader of a session of its own. A child that keeps the pty when
    the leader has ended is waited for."""

    def __init__(self, agent: WorkingAgent, argv: Sequence[str]) -> None:
        super().__init__(agent)
        self._argv = argv
        self._ended = Signal()
        try:
            self._master, slave = os.openpty()
        except OSError:
            self._ended.close()
            raise
        self.resize(COLUMNS, ROWS)
        try:
            self._process = self._spawn(slave)
        except (OSError, ValueError) as error:
            os.close(self._master)
            self._ended.close()
            raise LocalError("cannot run %s on a terminal: %s" % (argv[0], error)) from error
        finally:
            os.close(slave)
        failures = agent.events
        self._output = OutputPump(
            "pty output", self._master, self._ended, agent.channel.send_input_data, failures.put
        )
        self._input = TargetPump("pty input", self._master, self._ended, agent.taken, failures.put)
        self._waiter = Worker("pty program", self._wait, failures.put)

    def start(self) -> None:
        self._output.start()
        self._input.start()
        self._waiter.start()

    def output(self, payload_type: int, data: bytes) -> None:
        if payload_type == payloads.OUTPUT and data:
            self._input.put(data)
            return
        if payload_type == payloads.SIZE:
            try:
                self.resize(*payloads.parse_size(data))
            except MessageError as error:
                log.warning("a terminal size cannot be read: %s", error)
        self.agent.taken(len(data))

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def stop(self) -> None:
        self._signal(signal.SIGHUP)
        self._signal(signal.SIGCONT)
        self._ended.set()
        self._input.stop()

    def join(self, seconds: float) -> None:
        if not self._waiter.join(min(KILL_AFTER, seconds)):
            self._signal(signal.SIGKILL)
        workers = (self._waiter, self._input, self._output)
        if all([worker.join(seconds) for worker in workers]):
            os.close(self._master)
            self._ended.close()

    def _spawn(self, slave: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            encoded(("/bin/sh", "-c", _TAKE_TERMINAL, os.ttyname(slave)) + tuple(self._argv)),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM=self.agent.options.term, LANG=os.environ.get("LANG") or LANG),
            start_new_session=True,
        )

    def _wait(self) -> None:
        self._process.wait()
        self._output.join()
        self._ended.set()
        self.agent.events.put(WorkDone())

    def _signal(self, number: int) -> None:
        """Signal the program's group, and the one in the foreground of its terminal."""
        if self._process.returncode is not None:
            return
        signal_group(self._process.pid, number)
        try:
            foreground = os.tcgetpgrp(self._master)
        except OSError:
            return  # nobody is
        if foreground not in (0, self._process.pid):
            signal_group(foreground, number)
