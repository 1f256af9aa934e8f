"""Lets a person choose one of several nodes, on the terminal: a number, or a part of a name.

All of it goes to stderr, and the answer is read a line at a time from the terminal that stdin is.
Of several containers it is the newest one where nobody can be asked.
"""

import os
import time
from typing import Dict, List, Sequence

from .. import logs
from ..aws.client import ServiceClient
from ..aws.ecs import ContainerTarget
from ..display import encoded, shown
from ..errors import UsageError
from ..session.streams import say, write_all
from ..terminal.tty import window_size
from .containers import find_containers
from .grammar import Target
from .node import Node
from .table import table

log = logs.logger(__name__)

# A line that is longer is no answer.
_LINE_LIMIT = 4096


def somebody_is_there() -> bool:
    """Whether there is a terminal to ask at."""
    return os.isatty(0) and os.isatty(2)


def choose(target: Target, nodes: List[Node], what: str = "nodes") -> Node:
    """``what`` they are, for the question.

    :raises UsageError: if the input ends without a choice"""
    size = window_size((2, 0))
    left: Sequence[Node] = nodes
    while True:
        _say(menu(left, time.time(), size.cols, size.rows - 2))
        question = "%d %s are %s: number, or part of a name? "
        line = _ask(question % (len(left), what, target.written))
        if not line:
            raise UsageError("no node was chosen of those that are %r" % target.written[:200])
        answer = line.decode("utf-8", "replace").strip()
        chosen = picked(nodes, left, answer)
        if len(chosen) == 1:
            return chosen[0]
        left = chosen
        if not left:
            said = "%r is neither one of these numbers nor part of a name"
            _say(shown(said % answer[:50]) + "\n")
            left = nodes


def one_container(service: ServiceClient, target: Target, ask: bool = False) -> ContainerTarget:
    """The container that the target means. Without ``ask`` nobody is asked and nothing is written:
    we may be part of another program.

    :raises UsageError: if there is none, or none was chosen"""
    found = find_containers(service, target)
    if len(found) == 1:
        return found[0]
    if ask and somebody_is_there():
        nodes = [Node(one.shown, one.container) for one in found]
        chosen = choose(target, nodes, "containers")
        return next(one for one in found if one.shown == chosen.node_id)
    text = "%s means %d containers: taking %s, of the newest task"
    text %= target.written, len(found), found[0].shown
    log.info("%s", text)
    if ask:
        say(text)
    return found[0]


def one_of_each_task(service: ServiceClient, target: Target) -> List[ContainerTarget]:
    """:raises UsageError: if there is none"""
    found: Dict[str, ContainerTarget] = {}
    for one in find_containers(service, target):
        found.setdefault(one.task, one)
    return list(found.values())


def menu(nodes: Sequence[Node], now: float, cols: int, rows: int) -> str:
    """The table, as far as it fits in so many rows."""
    most = max(3, rows - 2)
    if len(nodes) <= most:
        return table(nodes, now, cols, numbered=True)
    more = len(nodes) - most
    return table(nodes[:most], now, cols, numbered=True) + "... and %d more\n" % more


def picked(nodes: Sequence[Node], left: Sequence[Node], answer: str) -> Sequence[Node]:
    """What an answer leaves of them. A number counts in what was ``left`` last; another word is
    looked for in all; no answer leaves all."""
    if answer.isdecimal() and 1 <= int(answer[:9]) <= len(left):
        return [left[int(answer[:9]) - 1]]
    word = answer.casefold()
    if not word:
        return nodes  # some have no name, and none of them is meant by that
    exact = [node for node in nodes if word in (node.name.casefold(), node.node_id)]
    return exact or [
        node
        for node in nodes
        if word in node.name.casefold() or word in node.node_id or word in node.address
    ]


def _ask(question: str) -> bytes:
    """The answer to a question; empty at the end of the input. Whatever is printed next begins on a
    new line."""
    line = b""
    try:
        _say(shown(question))
        line = os.read(0, _LINE_LIMIT)
    finally:  # Ctrl-C is no answer, either, and may come before anything is read
        if not line:
            _say("\n")
    return line


def _say(text: str) -> None:
    write_all(2, encoded(text))
