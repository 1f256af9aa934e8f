"""Nodes for people: columns that fit the terminal. And for programs: plain values."""

import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence

from ..display import encoded, fitted, shown, width_of
from .node import Node

HEAD = ("ID", "NAME", "PLATFORM", "AGENT", "ADDRESS", "STATUS", "SEEN")
_GAP = "  "

# What is done where the terminal is narrow, in this order: a column is cut to so much, or left out.
_NAME, _PLATFORM, _AGENT, _ADDRESS, _STATUS, _SEEN = range(1, 7)
_NARROWER = (
    (_PLATFORM, 10),
    (_NAME, 16),
    (_PLATFORM, 0),
    (_AGENT, 0),
    (_ADDRESS, 0),
    (_NAME, 6),
    (_SEEN, 0),
    (_STATUS, 14),
)


def rows_of(nodes: Sequence[Node], now: float) -> List[List[str]]:
    """A line of cells for each node; ``now`` is seconds since the epoch."""
    return [
        [_written(cell) for cell in (
            node.node_id,
            node.name,
            node.platform,
            node.agent_version,
            node.address,
            node.status,
            age(node.last_seen, now),
        )]
        for node in nodes
    ]


def table(
    nodes: Sequence[Node], now: float, width: Optional[int] = None, numbered: bool = False
) -> str:
    """Lines with a head, at most ``width`` columns wide as far as the ids leave room; None: as wide
    as they come. ``numbered``: from 1 on, in front."""
    rows = [list(HEAD)] + rows_of(nodes, now)
    numbers = ["%*d%s" % (len(str(len(nodes))), at, _GAP) if at else "" for at in range(len(rows))]
    if numbered:
        numbers[0] = " " * len(numbers[-1])
    else:
        numbers = [""] * len(rows)
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(HEAD))]
    if width is not None:
        _narrow(widths, width - len(numbers[-1]))
    lines = [
        number + _GAP.join(fitted(cell, room) for cell, room in zip(row, widths) if room)
        for number, row in zip(numbers, rows)
    ]
    return "".join(line.rstrip() + "\n" for line in lines)


def as_object(node: Node) -> Dict[str, Any]:
    """What ``--json`` prints of a node. What is not known is null; times are UTC, in ISO 8601."""
    return {
        "id": node.node_id,
        "name": node.name or None,
        "platform": node.platform or None,
        "agent_version": node.agent_version or None,
        "address": node.address or None,
        "status": node.status or None,
        "last_seen": _iso(node.last_seen),
    }


def age(moment: Optional[float], now: float) -> str:
    """How long ago: ``12 s``, ``3 min``, ``5 h``, ``8 d``."""
    if moment is None:
        return ""
    seconds = max(0.0, now - moment)
    for unit, size, limit in (("s", 1, 100), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < limit:
            return "%d %s" % (seconds // size, unit)
    return "%d d" % min(seconds // 86400, 9999)


def _written(text: str) -> str:
    """The text as it is printed: a letter that the locale cannot write becomes an escape, which is
    longer."""
    return os.fsdecode(encoded(shown(text)))


def _narrow(widths: List[int], room: int) -> None:
    """Cut where it does the least harm. The ids stay whole: they are there to be copied. What a
    column leaves that goes is the name's."""
    wanted = widths[_NAME]
    for column, least in _NARROWER:
        excess = _excess(widths, room)
        if excess > 0 and widths[column] > least:
            widths[column] = max(least, widths[column] - excess) if least else 0
    widths[_NAME] = min(wanted, widths[_NAME] + max(0, -_excess(widths, room)))


def _excess(widths: Sequence[int], room: int) -> int:
    return sum(widths) + len(_GAP) * (sum(map(bool, widths)) - 1) - room


def _iso(seconds: Optional[float]) -> Optional[str]:
    if seconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
