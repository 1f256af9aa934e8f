"""Threads that carry bytes between a descriptor and the channel.

A program's output ends when nobody can write it any more: a child that lives on is waited for, as
at a real agent.
"""

import os
import queue
import selectors
import time
from typing import Callable, Optional

from ..channel.protocol import MAXIMUM_PAYLOAD
from ..errors import SessionLost
from ..terminal.wake import Selector
from ..transport.data_channel import DataChannel
from ..transport.worker import Worker, WorkerFailed
from ..wire import payloads
from ..wire.message import Buffer

PIECE = 65536

# What a pipe or a terminal may still hold when nothing more is waited for, in bytes, at the most.
REMAINDER = 1024 * 1024


class AgentChannel(DataChannel):
    """With a ``pace``, it waits so many seconds after each message of data, as a real agent does.
    Control messages are not paced."""

    pace = 0.0

    def send_input_data(self, data: Buffer, payload_type: int = payloads.OUTPUT) -> None:
        if not self.pace:
            super().send_input_data(data, payload_type)
            return
        view = memoryview(data)
        for start in range(0, len(view), MAXIMUM_PAYLOAD):
            super().send_input_data(view[start : start + MAXIMUM_PAYLOAD], payload_type)
            time.sleep(self.pace)


class Signal:
    """A level-triggered flag that a thread can wait for beside a descriptor."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self.is_set = False

    def set(self) -> None:
        if not self.is_set:
            self.is_set = True
            os.write(self._writer, b"\0")

    def close(self) -> None:
        """To be called when nobody waits any more."""
        os.close(self.reader)
        os.close(self._writer)


class OutputPump:
    """Reads ``fd``, which becomes non-blocking, to its end, or to what is left once ``ended``. If
    ``is_paused``, what it has just read is the last."""

    def __init__(
        self,
        name: str,
        fd: int,
        ended: Signal,
        send: Callable[[bytes], None],
        failed: Callable[[WorkerFailed], object],
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._ended = ended
        self._send = send
        self._is_paused = is_paused
        self._over = False
        self._worker = Worker(name, self._run, failed)

    def start(self) -> None:
        self._worker.start()

    def join(self, seconds: Optional[float] = None) -> bool:
        return self._worker.join(1e6 if seconds is None else seconds)

    def _run(self) -> None:
        try:
            with Selector() as selector:
                selector.register(self._fd, selectors.EVENT_READ)
                selector.register(self._ended.reader, selectors.EVENT_READ)
                while not self._ended.is_set and not self._over:
                    selector.select()
                    paused = self._is_paused()
                    self._pass_on()
                    if paused or self._is_paused():
                        return
            left = REMAINDER
            while left > 0 and not self._over:
                size = self._pass_on()
                left = left - size if size else 0
        except SessionLost:
            pass  # nobody wants it any more

    def _pass_on(self) -> int:
        data = self._read()
        if data:
            self._send(data)
        return len(data)

    def _read(self) -> bytes:
        """All that is there, up to ``PIECE``: a terminal gives 4 KiB at a time."""
        pieces, size = [], 0
        while size < PIECE:
            try:
                data = os.read(self._fd, PIECE - size)
            except BlockingIOError:
                break
            except OSError:  # EIO: a terminal that nobody has open (Linux)
                data = b""
            if not data:
                self._over = True
                break
            pieces.append(data)
            size += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class TargetPump:
    """Writes what it is given to ``fd``, which is non-blocking; ``taken`` is told how much."""

    def __init__(
        self,
        name: str,
        fd: int,
        ended: Signal,
        taken: Callable[[int], None],
        failed: Callable[[WorkerFailed], object],
    ) -> None:
        self._fd = fd
        self._ended = ended
        self._taken = taken
        self._waiting: "queue.Queue[bytes]" = queue.Queue()
        self._worker = Worker(name, self._run, failed)

    def start(self) -> None:
        self._worker.start()

    def put(self, data: bytes) -> None:
        self._waiting.put(data)

    def stop(self) -> None:
        """``ended`` is set: leave even if the target takes nothing."""
        self._waiting.put(b"")

    def join(self, seconds: float) -> bool:
        return self._worker.join(seconds)

    def _run(self) -> None:
        with Selector() as selector:
            selector.register(self._fd, selectors.EVENT_WRITE)
            selector.register(self._ended.reader, selectors.EVENT_READ)
            while True:
                data = self._waiting.get()
                if not data:
                    return
                self._write(data, selector)
                self._taken(len(data))

    def _write(self, data: bytes, selector: selectors.BaseSelector) -> None:
        rest = memoryview(data)
        while rest and not self._ended.is_set:
            try:
                rest = rest[os.write(self._fd, rest):]
            except BlockingIOError:
                selector.select()
            except OSError:  # EIO: the terminal's programs are gone
                return
