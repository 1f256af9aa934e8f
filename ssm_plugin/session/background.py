"""Work that blocks on the network, done aside: the session's thread waits for events only."""

import queue
from typing import Any, Callable, NamedTuple, Optional

from ..errors import SsmPluginError
from ..transport.worker import Worker


class Completed(NamedTuple):
    """The event: the task of this name returned ``value``, or raised ``error``."""

    task: str
    value: Any
    error: Optional[SsmPluginError]

    def __repr__(self) -> str:
        return "Completed(%s)" % self.task


def in_background(
    task: str, function: Callable[[], Any], events: "queue.Queue[Any]"
) -> Worker:
    """Start ``function`` in a thread; :class:`Completed` comes into ``events``."""

    def work() -> None:
        try:
            events.put(Completed(task, function(), None))
        except SsmPluginError as error:
            events.put(Completed(task, None, error))

    worker = Worker(task, work, events)
    worker.start()
    return worker
