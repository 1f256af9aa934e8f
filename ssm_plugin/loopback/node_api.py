"""SSM's DescribeInstanceInformation, with the rules that AWS has for its filters and pages."""

import json
import time
from typing import Any, Callable, Dict, List

from .json_api import ApiError, Fields, field, page_of
from .nodes import LocalNode, LocalNodes

LEAST, MOST, DEFAULT = 5, 50, 10
VALUES = 100

# What is asked for by each key. Tags stand on their own.
_KEYS: Dict[str, Callable[[LocalNode], str]] = {
    "InstanceIds": lambda node: node.node_id,
    "AgentVersion": lambda node: node.agent_version,
    "PingStatus": lambda node: node.status,
    "PlatformTypes": lambda node: platform_type(node),
    "ResourceType": lambda node: _resource_type(node),
}


def describe_instance_information(nodes: LocalNodes, fields: Fields) -> Fields:
    size = field(fields, "MaxResults", int, DEFAULT)
    if not LEAST <= size <= MOST:
        raise ApiError(
            "ValidationException",
            "Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value "
            "between %d and %d" % (size, LEAST, MOST),
        )
    filters = _filters(field(fields, "Filters", list, []))
    found = [
        node
        for node in nodes.nodes
        if node.is_registered and all(matches(node) for matches in filters)
    ]
    question = json.dumps(fields.get("Filters", []), sort_keys=True)
    page, following = page_of(found, size, fields.get("NextToken"), question)
    now = time.time()
    return dict(following, InstanceInformationList=[_information(node, now) for node in page])


def _filters(given: List[Any]) -> List[Callable[[LocalNode], bool]]:
    pairs = []
    for one in given:
        if not isinstance(one, dict):
            raise ApiError("ValidationException", "a filter is not an object")
        pairs.append((field(one, "Key"), _values(field(one, "Values", list))))
    tags = [key for key, _ in pairs if _is_tag(key)]
    if tags and len(tags) < len(pairs):
        raise ApiError(
            "ValidationException", "Tag filters can't be combined with other filter types."
        )
    return [_filter(key, values) for key, values in pairs]


def _values(values: List[Any]) -> List[str]:
    if not 1 <= len(values) <= VALUES or not all(isinstance(v, str) and v for v in values):
        raise ApiError(
            "InvalidInstanceInformationFilterValue", "a filter takes 1 to %d values" % VALUES
        )
    return values


def _filter(key: str, values: List[str]) -> Callable[[LocalNode], bool]:
    if key == "tag-key":
        return lambda node: any(value in node.all_tags for value in values)
    if _is_tag(key):
        return lambda node: node.all_tags.get(key[4:]) in values
    if key not in _KEYS:
        raise ApiError("InvalidFilterKey", "The specified filter key isn't valid.")
    return lambda node: _KEYS[key](node) in values


def _is_tag(key: str) -> bool:
    return key == "tag-key" or (key.startswith("tag:") and len(key) > 4)


def _information(node: LocalNode, now: float) -> Fields:
    name, _, version = node.platform.rpartition(" ")
    information: Fields = {
        "InstanceId": node.node_id,
        "PingStatus": node.status,
        "LastPingDateTime": round(now - node.last_seen, 3),
        "AgentVersion": node.agent_version,
        "IsLatestVersion": True,
        "PlatformType": platform_type(node),
        "PlatformName": name or node.platform,
        "PlatformVersion": version if name else "",
        "ResourceType": _resource_type(node),
        "IPAddress": node.address,
        "ComputerName": (node.name or node.node_id) + ".example.internal",
        "SourceType": "AWS::EC2::Instance",
        "SourceId": node.node_id,
    }
    if node.is_hybrid:
        information.update(Name=node.name, SourceType="AWS::SSM::ManagedInstance")
    return information


def platform_type(node: LocalNode) -> str:
    for kind, word in (("Windows", "Windows"), ("MacOS", "macOS")):
        if word in node.platform:
            return kind
    return "Linux"


def _resource_type(node: LocalNode) -> str:
    return "ManagedInstance" if node.is_hybrid else "EC2Instance"
