"""Looks nodes up: at SSM, which knows what can be reached, and at EC2, which knows the names.

Either may be forbidden, and EC2 out of reach. What the other one says is used then, and ``without``
tells what is missing and why.
"""

import re
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from .. import logs
from ..aws.call import PAGES, entries_of, pages
from ..aws.client import ServiceClient
from ..aws.service_errors import is_denied
from ..errors import NetworkError, ServiceError, SsmPluginError
from . import ec2
from .grammar import ADDRESS, ID, TAG, Target
from .node import ONLINE, Node, from_information

ACTION = "ssm:DescribeInstanceInformation"

# The most that SSM gives, and takes in one filter's values.
PAGE = 50

log = logs.logger(__name__)


class NodeDirectory:
    """The nodes of one account in one region. Nothing is kept: each call asks the services. A list
    of more than ``pages`` is an error.

    ServiceError, NetworkError, CredentialsError as of :class:`ServiceClient`.
    """

    def __init__(self, service: ServiceClient, pages: int = PAGES) -> None:
        self._denied: Dict[str, ServiceError] = {}
        self._unreachable: Optional[NetworkError] = None  # EC2
        self._service = service
        self._pages = pages

    @property
    def without(self) -> List[SsmPluginError]:
        """Why something is missing in what was told."""
        unreachable = [self._unreachable] if self._unreachable else []
        return [*self._denied.values(), *unreachable]

    def all(self, online_only: bool = False) -> List[Node]:
        filters = {"PingStatus": [ONLINE]} if online_only else {}
        nodes = list(self._information(filters))
        return self.named(nodes)

    def of(self, target: Target, names: bool = True) -> List[Node]:
        """Those that a target means, in the order of their names; none is no error here. Without
        ``names`` no call is made just for these."""
        if target.kind == ID:
            found = self.with_ids([target.value])
        elif target.kind == TAG:
            found = self._with_tag(target.key, target.value)
        elif target.kind == ADDRESS:
            found = self._with_address(target.value)
        else:
            found = [
                node._replace(name=node.name or target.value)
                for node in self._with_name(target.value)
            ]
        return by_name(self.named(found) if names else found)

    def with_ids(self, ids: Sequence[str]) -> List[Node]:
        found: List[Node] = []
        for start in range(0, len(ids), PAGE):
            found += self._information({"InstanceIds": list(ids[start : start + PAGE])})
        return found

    def named(self, nodes: Sequence[Node]) -> List[Node]:
        """The nodes, with EC2's names for those that have none yet."""
        ids = [node.node_id for node in nodes if node.node_id.startswith("i-") and not node.name]
        names: Dict[str, str] = {}
        try:
            names = {one.instance_id: one.name for one in ec2.with_ids(self._service, ids)}
        except ServiceError as error:
            self._note_if_denied(ec2.ACTION, error)
        except NetworkError as error:
            self._unreachable = error  # a private network may have a way to SSM alone
        return [node._replace(name=names.get(node.node_id, "") or node.name) for node in nodes]

    def names(self) -> List[str]:
        """The names of all nodes, without those that we are not allowed to look up."""
        found: List[str] = []
        for ask in (lambda: ec2.all_names(self._service), self._names_at_ssm):
            try:
                found += ask()
            except (ServiceError, NetworkError) as error:
                log.info("names of nodes are unknown: %s", error)
        return found

    # Each of the ways that a node can be found

    def _with_tag(self, key: str, value: str) -> List[Node]:
        try:
            return list(self._information({"tag:" + key: [value]}))
        except ServiceError as error:
            self._note_if_denied(ACTION, error)
        return self._known_to_ec2_alone(lambda: list(ec2.with_tag(self._service, key, value)))

    def _with_name(self, name: str) -> List[Node]:
        found = self._with_tag("Name", name)
        if found or self._denied:
            return found
        # Nodes that are not EC2's got a name when they were activated, and have one of their own.
        return [
            node
            for node in self._information({"ResourceType": ["ManagedInstance"]})
            if name in (node.name, node.computer_name)
        ]

    def _with_address(self, address: str) -> List[Node]:
        instances: List[ec2.Instance] = []
        try:
            instances = ec2.with_address(self._service, address)
        except ServiceError as error:
            self._note_if_denied(ec2.ACTION, error)
        except NetworkError as error:
            self._unreachable = error
        try:
            if instances:
                return self.with_ids([one.instance_id for one in instances])
            return [node for node in self._information({}) if node.address == address]
        except ServiceError as error:
            self._note_if_denied(ACTION, error)
        return self._known_to_ec2_alone(lambda: instances)

    def _known_to_ec2_alone(self, ask: Callable[[], List[ec2.Instance]]) -> List[Node]:
        try:
            return [Node(one.instance_id, one.name, address=one.address) for one in ask()]
        except ServiceError as error:
            self._note_if_denied(ec2.ACTION, error)
            raise

    def _note_if_denied(self, action: str, error: ServiceError) -> None:
        """Note that this lookup is denied. Any other error is raised, and this one too if nothing
        else can be looked up."""
        if not is_denied(error):
            raise error
        self._denied[action] = error
        if len(self._denied) > 1:
            raise ServiceError(
                "neither %s nor %s is permitted: give the id of a node, or let the credentials "
                "have the permission for one of them" % (ACTION, ec2.ACTION),
                error.code,
                error.status,
            ) from error

    # At the services

    def _names_at_ssm(self) -> List[str]:
        found = self._information({"ResourceType": ["ManagedInstance"]})
        return [name for node in found for name in (node.name, node.computer_name) if name]

    def _information(self, filters: Mapping[str, Sequence[str]]) -> Iterator[Node]:
        request: Dict[str, Any] = {
            "MaxResults": PAGE,
            "Filters": [{"Key": key, "Values": values} for key, values in filters.items()],
        }
        ask = partial(self._service.call, ACTION)
        for answer in pages(ask, request, ACTION, most=self._pages):
            found = map(from_information, entries_of(answer, "InstanceInformationList"))
            yield from (node for node in found if node is not None)


def by_name(nodes: Iterable[Node]) -> List[Node]:
    """Sorted as people count: ``web-9`` before ``web-10``. Nodes without a name come last."""
    return sorted(nodes, key=_order)


def _order(node: Node) -> Any:
    parts = re.split(r"([0-9]{1,18})", node.name.casefold())
    numbered = [int(part) if at % 2 else part for at, part in enumerate(parts)]
    return (not node.name, numbered, node.name, node.node_id)
