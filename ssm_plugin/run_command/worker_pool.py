"""Threads that do errands, one after the other, for one owner."""

import queue
from typing import Callable, List, Optional

from ..transport.worker import Worker, WorkerFailed

Errand = Callable[[], object]


class WorkerPool:
    """At most ``count`` threads, which are started when there is something to do. What an errand
    raises ends its thread and is told to ``failed``: errands keep what may go wrong to themselves.
    """

    def __init__(self, name: str, count: int, failed: Callable[[WorkerFailed], object]) -> None:
        self._name = name
        self._count = count
        self._failed = failed
        self._errands: "queue.Queue[Optional[Errand]]" = queue.Queue()
        self._workers: List[Worker] = []
        self._given = 0
        self._closed = False

    def submit(self, errand: Errand) -> None:
        """From one thread."""
        self._errands.put(errand)
        self._given += 1
        if len(self._workers) < min(self._count, self._given):
            worker = Worker("%s %d" % (self._name, len(self._workers)), self._work, self._failed)
            self._workers.append(worker)
            worker.start()

    def close(self) -> None:
        """No more errands: those that are waiting are dropped. Waits for nobody."""
        self._closed = True
        for _ in self._workers:
            self._errands.put(None)

    def _work(self) -> None:
        while True:
            errand = self._errands.get()
            if errand is None or self._closed:
                return
            errand()
