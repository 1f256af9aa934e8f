"""What is known of a node, and how the services say it."""

import re
from typing import Any, Mapping, Optional

from ..named_tuple import NamedTuple

ONLINE = "Online"


class Node(NamedTuple):
    """Empty texts: nobody said it. ``last_seen`` is seconds since the epoch.

    ``status`` is the service's: Online, ConnectionLost, Inactive; empty where nobody may ask.
    """

    node_id: str
    name: str = ""
    platform: str = ""
    agent_version: str = ""
    address: str = ""
    status: str = ""
    last_seen: Optional[float] = None
    computer_name: str = ""

    @property
    def is_online(self) -> bool:
        return self.status == ONLINE


def from_information(fields: Mapping[str, Any]) -> Optional[Node]:
    """The node of an entry of SSM's InstanceInformationList; None if the entry is damaged. The name
    is that of a hybrid activation: EC2's nodes have theirs at EC2."""

    def text(key: str) -> str:
        value = fields.get(key)
        return value[:1000] if isinstance(value, str) else ""

    if not isinstance(fields, Mapping) or not re.match(r"m?i-[!-~]{1,100}\Z", text("InstanceId")):
        return None
    platform = " ".join(filter(None, (text("PlatformName"), text("PlatformVersion"))))
    seen = fields.get("LastPingDateTime")
    return Node(
        text("InstanceId"),
        text("Name"),
        platform or text("PlatformType"),
        text("AgentVersion"),
        text("IPAddress"),
        text("PingStatus"),
        float(seen) if isinstance(seen, (int, float)) else None,
        text("ComputerName"),
    )
