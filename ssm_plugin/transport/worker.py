"""One thread with a name, whose failure travels as data: the only ``threading.Thread`` there is.

Whoever owns the worker gives it the way to be woken (a closed socket, an ``Event``, a marker in
a queue) and joins it under a deadline. The thread is a daemon: one that is stuck in a system call
which nobody can wake holds up a join until its deadline, but never the end of the process.
"""

import queue
import threading
from typing import Callable, TypeVar, Union

from ..errors import LocalError, SsmPluginError
from ..named_tuple import NamedTuple
from ..shortage import explain, start_thread


class WorkerFailed(NamedTuple):
    """The event that a worker leaves when its target raised."""

    name: str
    error: BaseException

    def as_error(self) -> SsmPluginError:
        """The error to raise in its place: one line for the user, with the cause behind it."""
        if isinstance(self.error, SsmPluginError):
            return self.error
        text = "internal error in thread %s: %r" % (self.name, self.error)
        error = explain(self.error) or SsmPluginError(text)
        error.__cause__ = self.error
        return error


Result = TypeVar("Result")


class Worker:
    """Runs ``target`` in a daemon thread called ``ssm-<name>``.

    What ``target`` raises is given to ``failed`` as one :class:`WorkerFailed`, in that thread; a
    normal return gives nothing. The worker itself writes and logs nothing.
    """

    def __init__(
        self,
        name: str,
        target: Callable[[], object],
        failed: Callable[[WorkerFailed], object],
    ) -> None:
        self.name = name
        self._target = target
        self._failed = failed
        self._thread = self._new_thread()
        self._ended = threading.Event()
        self._ended.set()

    def start(self) -> None:
        """Start the thread. A worker starts once. LocalError if the system has no more threads:
        then it may start later."""
        self._ended.clear()
        try:
            start_thread(self._thread)
        except Exception as error:  # whatever it is, there is no thread to wait for
            if isinstance(error, LocalError):
                self._thread = self._new_thread()  # Python 3.13 starts none a second time
            self._ended.set()
            raise

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="ssm-" + self.name, daemon=True)

    def join(self, deadline_seconds: float) -> bool:
        """Wait for the end at most so long; whether it came. Not started yet counts as ended."""
        # Not by ``Thread.join``: up to Python 3.12 it fails an assertion of its own now and then,
        # when two threads join a third at once.
        return self._ended.wait(max(0.0, deadline_seconds))

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        try:
            self._target()
        # The only safety net for threads: the owner learns of every error and decides. Nothing
        # above this frame could catch it.
        except BaseException as error:
            self._failed(WorkerFailed(self.name, error))
        finally:
            # The target is mostly a method of the owner, which holds us. Without this the reference
            # cycle would keep all buffers of a lost connection until the garbage collector runs.
            del self._target
            self._ended.set()


def run_aside(
    name: str, work: Callable[[], Result], end: Callable[[], object], seconds: float
) -> Result:
    """What ``work`` returns. It runs in a thread of its own, and this one only waits: so a
    KeyboardInterrupt interrupts no work, but calls ``end``, which has so many seconds to stop it.

    :raises BaseException: whatever ``work`` raised
    """
    answers: "queue.Queue[Union[Result, WorkerFailed]]" = queue.Queue()
    worker = Worker(name, lambda: answers.put(work()), answers.put)
    worker.start()
    try:
        answer = answers.get()
    except BaseException:  # a safety net: KeyboardInterrupt above all
        end()
        worker.join(seconds)
        raise
    if isinstance(answer, WorkerFailed):
        raise answer.error
    return answer
