"""What is known of each node of the commands, and when to look again. Pure: told what was seen, and
what time it is (s of a monotonic clock)."""

from typing import Container, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ..named_tuple import NamedTuple
from .statuses import OVER, RUNNING

# Seconds between looks: at first, while something changes, and at most while nothing does.
FIRST = 0.2
SOON = 0.5
LONGEST = 10.0
_GROWTH = 1.5

# So many looks in a row a node may be missing in what the service lists after the command is over:
# a list may be older than the status.
_MISSING = 5


class Interval:
    """Looks soon while something changes, and later while nothing does. A look at thousands of
    nodes takes long: the pause after it is no shorter."""

    def __init__(self) -> None:
        self.first = FIRST
        self._pause = FIRST

    def after(self, now: float, took: float, changed: bool) -> float:
        """When to look again."""
        self._pause = SOON if changed else min(self._pause * _GROWTH, LONGEST)
        return now + max(self._pause, took)


class Rounds:
    """When the commands are looked at: all of them in one round, one round after the other."""

    def __init__(self, now: float) -> None:
        self._interval = Interval()
        self._at = now
        self._is_on = False
        self._changed = False

    @property
    def due_at(self) -> Optional[float]:
        """When the next round is due; None while one is going on."""
        return None if self._is_on else self._at

    def begin(self, now: float) -> bool:
        """Whether one is due. Then it has begun."""
        if self._is_on or now < self._at:
            return False
        self._is_on = True
        return True

    def saw(self, changed: bool) -> None:
        self._changed = self._changed or changed

    def over(self, now: float, took: float) -> None:
        self._is_on = False
        self._at = self._interval.after(now, took, self._changed)
        self._changed = False

    def sent(self, now: float) -> None:
        """A further command was sent."""
        if not self._is_on:
            self._at = now + self._interval.first

    def soon(self, now: float) -> None:
        """Something is about to change."""
        self._interval = Interval()
        self._at = min(self._at, now + self._interval.first)


class Seen(NamedTuple):
    """One entry of ListCommandInvocations."""

    node_id: str
    status: str
    details: str


class NodeState:
    """``running_since`` and ``delayed_since`` are when that was first seen."""

    __slots__ = ("status", "details", "running_since", "delayed_since", "is_over")

    def __init__(self) -> None:
        self.status = ""
        self.details = ""
        self.running_since: Optional[float] = None
        self.delayed_since: Optional[float] = None
        self.is_over = False


class SentCommand:
    """The nodes of one command, by their ids. ``takes_more``: nodes that it turns out to have
    besides are taken in. ``concurrency`` is how many may run at once, if that is known."""

    def __init__(
        self,
        command_id: str,
        node_ids: Iterable[str],
        takes_more: bool = False,
        concurrency: Optional[int] = None,
    ) -> None:
        self.command_id = command_id
        self.nodes: Dict[str, NodeState] = {node_id: NodeState() for node_id in node_ids}
        self.open: Set[str] = set(self.nodes)
        self.unseen: Set[str] = set(self.nodes)
        self.running: Set[str] = set()
        self._takes_more = takes_more
        self._concurrency = concurrency
        self._idle_since: Optional[float] = None
        self._looks_missing = 0

    @property
    def is_over(self) -> bool:
        return not self.open

    @property
    def asks_for_whole(self) -> bool:
        """Whether to ask for the command as a whole: all listed nodes are over, so nothing else
        tells whether more will come."""
        return bool(self.unseen) and self.open == self.unseen

    def take(self, seen: Iterable[Seen], now: float) -> Tuple[List[Seen], bool]:
        """Those that have ended since, and whether anything has changed."""
        ended, changed = [], False
        for entry in seen:
            state = self._state(entry.node_id)
            if state is None or state.is_over:
                continue
            changed = changed or state.details != entry.details
            state.status, state.details = entry.status, entry.details
            self.unseen.discard(entry.node_id)
            _note_times(state, now)
            if entry.status in OVER:
                self._end(entry.node_id)
                ended.append(entry)
            elif state.running_since is not None:
                self.running.add(entry.node_id)
        has_room = self._concurrency is not None and len(self.running) < self._concurrency
        if not has_room:
            self._idle_since = None
        elif changed or self._idle_since is None:
            self._idle_since = now
        return ended, changed

    def missing(self, is_over: bool) -> List[str]:
        """``is_over`` is what the service says of the whole command, after a look. The nodes that
        will never be listed; they are over from now on."""
        self._looks_missing = self._looks_missing + 1 if is_over and self.unseen else 0
        if self._looks_missing < _MISSING:
            return []
        unseen = sorted(self.unseen)
        for one in unseen:
            self._end(one)
        return unseen

    def late(self, now: float, time_limit: Optional[float]) -> List[str]:
        """Those that have been running for longer than so many seconds."""
        since = self._since("running_since")
        return [one for one, moment in since if _passed(moment, time_limit, now)]

    def unanswered(self, now: float, limit: Optional[float]) -> List[str]:
        """Those that the service could not reach for so many seconds: it says so, or it has not
        begun them although nothing holds it up."""
        since = self._since("delayed_since")
        found = [one for one, moment in since if _passed(moment, limit, now)]
        if self._idle_since is not None and _passed(self._idle_since, limit, now):
            found += self._pending()
        return found

    def next_limit(
        self, time_limit: Optional[float], delivery: Optional[float], known: Container[str]
    ) -> Optional[float]:
        """When one of these two limits passes next, of nodes that are not ``known`` to be late."""
        moments = [
            since + limit
            for name, limit in (("running_since", time_limit), ("delayed_since", delivery))
            if limit is not None
            for one, since in self._since(name)
            if one not in known
        ]
        if delivery is not None and self._idle_since is not None:
            if any(one not in known for one in self._pending()):
                moments.append(self._idle_since + delivery)
        return min(moments) if moments else None

    def _pending(self) -> List[str]:
        return [one for one in self.open if self.nodes[one].status == "Pending"]

    def not_sent(self) -> List[str]:
        """Those that have not begun, as far as was seen."""
        return sorted(self.open - self.running)

    def _state(self, node_id: str) -> Optional[NodeState]:
        state = self.nodes.get(node_id)
        if state is None and self._takes_more:
            state = self.nodes[node_id] = NodeState()
            self.open.add(node_id)
        return state

    def _since(self, name: str) -> Iterator[Tuple[str, float]]:
        for one in self.open:
            since = getattr(self.nodes[one], name)
            if since is not None:
                yield one, since

    def _end(self, node_id: str) -> None:
        self.nodes[node_id].is_over = True
        for names in (self.open, self.unseen, self.running):
            names.discard(node_id)


def _passed(since: float, limit: Optional[float], now: float) -> bool:
    return limit is not None and since + limit <= now


def _note_times(state: NodeState, now: float) -> None:
    if state.status == RUNNING and state.running_since is None:
        state.running_since = now
    if state.status != "Delayed":
        state.delayed_since = None
    elif state.delayed_since is None:
        state.delayed_since = now
