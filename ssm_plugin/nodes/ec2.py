"""EC2's DescribeInstances: the names of nodes, and nodes of a name, a tag or an address."""

from typing import TYPE_CHECKING, Iterator, List, Sequence

from ..aws.client import ServiceClient
from ..errors import NetworkError
from ..named_tuple import NamedTuple

if TYPE_CHECKING:
    from ..aws.xml_answer import Element

ACTION = "ec2:DescribeInstances"

# EC2 takes so many values in one filter, and gives up to a thousand instances a page. Fewer keep
# an answer within a few megabytes.
VALUES = 200
PAGE = 500
PAGES = 200

# All that are not gone.
STATES = ("pending", "running", "stopping", "stopped", "shutting-down")


class Instance(NamedTuple):
    instance_id: str
    name: str
    address: str


def with_ids(service: ServiceClient, ids: Sequence[str]) -> Iterator[Instance]:
    """Those of these ids that EC2 knows."""
    for start in range(0, len(ids), VALUES):
        yield from _describe(service, "instance-id", ids[start : start + VALUES])


def with_tag(service: ServiceClient, key: str, value: str) -> Iterator[Instance]:
    # In a filter's value ``*`` and ``?`` match others, unless a backslash is in front.
    escaped = "".join("\\" + one if one in "*?\\" else one for one in value)
    return _describe(service, "tag:" + key, [escaped])


def with_address(service: ServiceClient, address: str) -> List[Instance]:
    """The instances with this private address; if none has it, with this public one; then with any
    other of theirs."""
    names = [
        "private-ip-address", "ip-address", "network-interface.addresses.private-ip-address"
    ]
    if ":" in address:
        names = ["network-interface.ipv6-addresses.ipv6-address"]
    for name in names:
        found = list(_describe(service, name, [address]))
        if found:
            return found
    return []


def all_names(service: ServiceClient) -> List[str]:
    return [one.name for one in _describe(service, "tag-key", ["Name"]) if one.name]


def _describe(service: ServiceClient, name: str, values: Sequence[str]) -> Iterator[Instance]:
    filters = [
        {"Name": name, "Value": list(values)},
        {"Name": "instance-state-name", "Value": list(STATES)},
    ]
    request = {"Filter": filters, "MaxResults": PAGE}
    for _ in range(PAGES):
        root = service.query(ACTION, request)
        yield from _instances(root)
        token = root.value("nextToken")
        if not token:
            return
        request = dict(request, NextToken=token)
    raise NetworkError("%s has no end: more than %d pages" % (ACTION, PAGES))


def _instances(root: "Element") -> Iterator[Instance]:
    for reservation in root.items("reservationSet"):
        for item in reservation.items("instancesSet"):
            tags = {tag.value("key"): tag.value("value") for tag in item.items("tagSet")}
            if item.value("instanceId"):
                yield Instance(
                    item.value("instanceId"), tags.get("Name", ""), item.value("privateIpAddress")
                )
