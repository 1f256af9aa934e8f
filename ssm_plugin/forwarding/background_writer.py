"""Writes to standard output or error in a thread of its own: whoever does not read them holds up
nothing but what they would have read."""

import queue
from typing import Callable, NamedTuple, Optional, Union

from ..errors import LocalError
from ..terminal.output import OutputGone, write_all
from ..transport.worker import Worker, WorkerFailed

# Pieces that may wait. What comes beyond that is lost.
LIMIT = 10000


class OutputClosed(NamedTuple):
    """The event: nobody will read ``fd`` any more."""

    fd: int


class BackgroundWriter:
    def __init__(
        self, fd: int, tell: Callable[[Union[OutputClosed, WorkerFailed]], object]
    ) -> None:
        self._fd = fd
        self._tell = tell
        self._closing = False
        self._waiting: "queue.Queue[Optional[bytes]]" = queue.Queue(LIMIT)
        self._worker = Worker("output %d" % fd, self._run, tell)
        self._worker.start()

    def write(self, data: bytes) -> None:
        try:
            self._waiting.put_nowait(data)
        except queue.Full:
            pass  # as above

    def close(self, seconds: float) -> None:
        """Write the rest; leave after so many seconds even if it is not all out."""
        self._closing = True
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass  # there is more than enough to wake it
        self._worker.join(seconds)

    def _run(self) -> None:
        gone = False
        while not (self._closing and self._waiting.empty()):
            data = self._waiting.get()
            if data is None or gone:
                continue
            try:
                write_all(self._fd, data)
            except (OutputGone, LocalError):
                gone = True
                self._tell(OutputClosed(self._fd))
