"""One result for each node of an order, and never a second one."""

import time
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from ..jobs.request import CommandResult
from ..net.timing import Stopwatch
from ..nodes.targets import Found
from .output import Fetched
from .statuses import Verdict


class Results:
    """``tell`` gets each result once. A node that is not in the order, but that a tag names by now,
    is taken in when it is first asked for, under its id."""

    def __init__(
        self,
        nodes: Sequence[Found],
        tell: Callable[[CommandResult], object],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._nodes: List[Found] = list(nodes)
        self._numbers = {node.target: at for at, node in enumerate(self._nodes)}
        self._results: Dict[int, CommandResult] = {}
        self._command_of: Dict[str, str] = {}
        self._tell = tell
        self._watch = Stopwatch(wall_clock)
        self.failed = 0

    @property
    def total(self) -> int:
        return len(self._nodes)

    @property
    def over(self) -> int:
        return len(self._results)

    def node(self, node_id: str) -> Found:
        if node_id not in self._numbers:
            self._numbers[node_id] = len(self._nodes)
            self._nodes.append(Found(node_id, node_id))
        return self._nodes[self._numbers[node_id]]

    def sent(self, command_id: str, node_ids: Iterable[str]) -> None:
        self._command_of.update((one, command_id) for one in node_ids)

    def command_of(self, node: Found) -> Optional[str]:
        """The id of the command that was sent to it."""
        return self._command_of.get(node.target)

    def judged(self, node: Found, found: Verdict, fetched: Optional[Fetched] = None) -> None:
        """Keep what became of it, unless that is known."""
        number = self._numbers[node.target]
        if number in self._results:
            return
        result = CommandResult(
            node.name, found.status, found.reason, "", self._watch.began, self._watch.now, 0, 0,
            found.error, node.target, command_id=self._command_of.get(node.target, ""),
        )
        if fetched is not None:
            began = fetched.started_at or result.started_at
            result = result._replace(
                started_at=began,
                ended_at=max(began, fetched.ended_at or result.ended_at),
                stdout_bytes=fetched.stdout_bytes,
                stderr_bytes=fetched.stderr_bytes,
                truncated=fetched.cut,
            )
        self._results[number] = result
        self.failed += bool(result.status)
        self._tell(result)

    def unknown(self) -> List[Found]:
        """The nodes that have no result."""
        return [node for at, node in enumerate(self._nodes) if at not in self._results]

    def all(self) -> List[CommandResult]:
        """The results, in the order of the nodes. Each node has one."""
        return [self._results[at] for at in range(len(self._nodes))]
