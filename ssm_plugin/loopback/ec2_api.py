"""EC2's DescribeInstances, as far as nodes are looked up by it."""

import json
import re
from typing import Any, Callable, Dict, List, Mapping, Optional

from .diagnosis_api import ACCOUNT
from .json_api import ApiError, Fault, Fields, page_of
from .nodes import LocalNode, LocalNodes
from .query_api import QueryApi
from .signatures import SignatureCheck

LEAST, MOST = 5, 1000
VALUES = 200

_KEYS: Dict[str, Callable[[LocalNode], str]] = {
    "instance-id": lambda node: node.node_id,
    "instance-state-name": lambda node: node.state,
    "private-ip-address": lambda node: node.address,
    "network-interface.addresses.private-ip-address": lambda node: node.address,
    "network-interface.ipv6-addresses.ipv6-address": lambda node: node.address,
    "ip-address": lambda node: node.public_address,
}


class Ec2Api(QueryApi):
    codes = {
        "AccessDeniedException": ("UnauthorizedOperation", 403),
        "ThrottlingException": ("RequestLimitExceeded", 503),
    }

    def __init__(self, nodes: LocalNodes, signatures: SignatureCheck, fault: Fault) -> None:
        super().__init__("ec2", signatures, {"DescribeInstances": self._describe}, fault)
        self._nodes = [node for node in nodes.nodes if not node.is_hybrid]

    def _describe(self, form: Fields) -> Fields:
        filters = _filters(form)
        ids = _numbered(form, "InstanceId")
        if ids and "MaxResults" in form:
            raise ApiError(
                "InvalidParameterCombination",
                "The parameter instancesSet cannot be used with the parameter maxResults",
            )
        found = [
            node
            for node in self._nodes
            if (not ids or node.node_id in ids) and all(matches(node) for matches in filters)
        ]
        question = json.dumps({k: v for k, v in form.items() if k != "NextToken"}, sort_keys=True)
        size = _size(form.get("MaxResults"))
        page, following = page_of(found, size, form.get("NextToken"), question, "nextToken")
        return dict(following, reservationSet=[_reservation(node) for node in page])


def _size(given: object) -> int:
    if given is None:
        return MOST
    text = str(given)
    if not re.match(r"[0-9]{1,4}\Z", text) or not LEAST <= int(text) <= MOST:
        raise ApiError(
            "InvalidParameterValue",
            "Value (%s) for parameter maxResults is invalid. Expecting a value between %d and %d."
            % (text[:20], LEAST, MOST),
        )
    return int(text)


def _numbered(form: Mapping[str, Any], name: str) -> List[str]:
    """``NAME.1``, ``NAME.2`` and so on."""
    values: List[str] = []
    while "%s.%d" % (name, len(values) + 1) in form:
        values.append(form["%s.%d" % (name, len(values) + 1)])
    return values


def _filters(form: Mapping[str, Any]) -> List[Callable[[LocalNode], bool]]:
    filters: List[Callable[[LocalNode], bool]] = []
    while "Filter.%d.Name" % (len(filters) + 1) in form:
        at = "Filter.%d" % (len(filters) + 1)
        filters.append(_filter(form[at + ".Name"], _numbered(form, at + ".Value")))
    return filters


def _filter(name: str, values: List[str]) -> Callable[[LocalNode], bool]:
    if len(values) > VALUES:
        raise ApiError("FilterLimitExceeded", "The maximum number of filter values is %d" % VALUES)
    plain = {value for value in values if not re.search(r"[\\*?]", value)}
    patterns = [re.compile(_pattern(value)) for value in values if value not in plain]

    def fits(text: Optional[str]) -> bool:
        if text is None or text in plain:
            return text is not None
        return any(pattern.match(text) for pattern in patterns)

    if name == "tag-key":
        return lambda node: any(fits(key) for key in node.all_tags)
    if name.startswith("tag:"):
        return lambda node: fits(node.all_tags.get(name[4:]))
    if name not in _KEYS:
        raise ApiError("InvalidParameterValue", "The filter '%s' is invalid" % name)
    return lambda node: fits(_KEYS[name](node))


def _pattern(value: str) -> str:
    """``*`` and ``?`` match others, unless a backslash is in front."""
    parts = re.findall(r"\\.|[*?]|[^\\*?]+|\\", value, re.DOTALL)
    return "".join(map(_part, parts)) + r"\Z"


def _part(part: str) -> str:
    if part in _WILD:
        return _WILD[part]
    return re.escape(part[1:] if len(part) == 2 and part[0] == "\\" else part)


_WILD = {"*": "(?s:.*)", "?": "(?s:.)"}


def _reservation(node: LocalNode) -> Fields:
    instance: Fields = {
        "instanceId": node.node_id,
        "imageId": "ami-0123456789abcdef0",
        "instanceState": {"code": 16 if node.state == "running" else 80, "name": node.state},
        "instanceType": "t3.micro",
        "privateIpAddress": node.address,
    }
    if node.public_address:
        instance["ipAddress"] = node.public_address
    instance["tagSet"] = [{"key": key, "value": text} for key, text in node.all_tags.items()]
    return {
        "reservationId": "r-" + node.node_id.partition("-")[2],
        "ownerId": ACCOUNT,
        "instancesSet": [instance],
    }
