"""The nodes of the local service, and the file that names them::

    nodes:
      - {name: db1, tags: {Role: db}, address: 10.0.1.1, platform: Debian GNU/Linux 12}
      - {name: "web-{n}", count: 3, tags: {Role: web}}     # web-1, web-2, web-3
      - {id: mi-0123456789abcdef0, name: till, status: ConnectionLost, last_seen: 3d}
      - {name: new, connects_after: 90s}                   # refused for so long

What is not said is made up, the same each time. ``i-demo`` is always one of them.
"""

import hashlib
import time
from typing import Any, Dict, List, Mapping, Tuple

from ..errors import UsageError
from ..files import MIB, read_regular
from ..named_tuple import NamedTuple
from ..strict_yaml import SCALARS, list_of, mapping_of, read, scalar_of, section_of
from ..units import parse_duration

DEMO_TARGET = "i-demo"
ONLINE = "Online"
STATUSES = (ONLINE, "ConnectionLost", "Inactive")
MOST = 100000


class LocalNode(NamedTuple):
    """``last_seen`` and ``connects_after`` are seconds; the first one ago, the second one since
    somebody first tried to reach it. Without ``is_registered`` EC2 alone knows it. Without
    ``allows_commands`` nobody may run a command there."""

    node_id: str
    name: str = ""
    tags: Mapping[str, str] = {}
    platform: str = "Amazon Linux 2023"
    agent_version: str = "3.3.2299.0"
    address: str = "10.0.0.1"
    public_address: str = ""
    status: str = ONLINE
    last_seen: float = 60.0
    state: str = "running"
    connects_after: float = 0.0
    is_registered: bool = True
    allows_commands: bool = True

    @property
    def all_tags(self) -> Dict[str, str]:
        return dict(self.tags, Name=self.name) if self.name else dict(self.tags)

    @property
    def is_hybrid(self) -> bool:
        """Activated by hand: EC2 does not know it."""
        return self.node_id.startswith("mi-")


DEMO_NODE = LocalNode(DEMO_TARGET, "demo", address="127.0.0.1", last_seen=5.0)


class LocalNodes:
    """Those of one service."""

    def __init__(self, nodes: List[LocalNode]) -> None:
        known = [] if any(node.node_id == DEMO_TARGET for node in nodes) else [DEMO_NODE]
        self.nodes = known + nodes
        self.by_id = {node.node_id: node for node in self.nodes}
        self._first_tried: Dict[str, float] = {}

    def __contains__(self, target: object) -> bool:
        """Whether a session can be started with it now: a try to reach it. Clusters of ECS are no
        nodes."""
        node = self.by_id.get(str(target))
        if node is None:
            return str(target).startswith("ecs:")
        now = time.monotonic()
        waited = now - self._first_tried.setdefault(node.node_id, now)
        return node.is_registered and node.status == ONLINE and waited >= node.connects_after


def read_nodes(path: str) -> LocalNodes:
    """:raises UsageError: naming the file, the line and what is wrong there"""
    try:
        data = read_regular(path, MIB)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError("cannot read the nodes in %s: %s" % (path, why)) from error
    nodes: List[LocalNode] = read(data, path, _SCHEMA)
    return LocalNodes(nodes)


# --- The file


def _nodes(nodes: Tuple[List[LocalNode], ...] = ()) -> List[LocalNode]:
    made = [node for several in nodes for node in several]
    if len(made) > MOST:
        raise ValueError("more than %d nodes" % MOST)
    if len({node.node_id for node in made}) < len(made):
        text = "two nodes have the same id; where there is a count, {n} in a name or an id counts"
        raise ValueError(text)
    # Addresses that were not given are counted through all of them.
    return [
        node if node.address else node._replace(address=_address(number))
        for number, node in enumerate(made, 1)
    ]


def _address(number: int) -> str:
    return "10.%d.%d.%d" % (number >> 16 & 255, number >> 8 & 255, number & 255)


def _several(count: int = 1, **fields: Any) -> List[LocalNode]:
    fields.setdefault("address", "")
    if "id" not in fields and "name" not in fields:
        raise ValueError("a node needs an id or a name")
    if count > MOST:
        raise ValueError("more than %d nodes" % MOST)
    return [_one(number, dict(fields)) for number in range(1, count + 1)]


def _one(number: int, fields: Dict[str, Any]) -> LocalNode:
    for name in ("id", "name", "address"):
        if name in fields:
            fields[name] = fields[name].replace("{n}", str(number))
    made_up = hashlib.sha256(fields.get("name", "").encode("utf-8")).hexdigest()
    return LocalNode(fields.pop("id", "i-" + made_up[:17]), **fields)


def _status(text: str) -> str:
    if text not in STATUSES:
        raise ValueError("it is not one of %s" % ", ".join(STATUSES))
    return text


def _id(text: str) -> str:
    if not text.startswith(("i-", "mi-")):
        raise ValueError("an id begins with i- or mi-")
    return text


def _switch(text: str) -> bool:
    return text.lower() in ("true", "yes", "on")


_TEXT = scalar_of("text", str, "str")
# A node may be called ``off`` or ``007``.
_WORD = scalar_of("text", str, *SCALARS)
_AGE = scalar_of("a duration", parse_duration, "str", "int", "float")
_SCHEMA = section_of(
    _nodes,
    nodes=list_of(
        section_of(
            _several,
            id=scalar_of("an id", _id, "str"),
            name=_WORD,
            count=scalar_of("a number", int, "int"),
            tags=mapping_of(str, _WORD),
            platform=_TEXT,
            agent_version=_TEXT,
            address=_TEXT,
            public_address=_TEXT,
            status=scalar_of("a status", _status, "str"),
            last_seen=_AGE,
            state=_TEXT,
            connects_after=_AGE,
            is_registered=scalar_of("true or false", _switch, "bool"),
            allows_commands=scalar_of("true or false", _switch, "bool"),
        )
    ),
)
