"""One of several containers: the person at the terminal says which, else it is the newest one."""

from typing import Dict, List

from .. import logs
from ..aws.client import ServiceClient
from ..aws.ecs import ContainerTarget
from ..display import encoded, shown
from ..session.streams import write_all
from .chooser import choose, somebody_is_there
from .containers import find_containers
from .grammar import Target
from .node import Node

log = logs.logger(__name__)


def one_container(service: ServiceClient, target: Target, ask: bool = False) -> ContainerTarget:
    """Without ``ask`` nobody is asked, and nothing is written: there may be a program around us.

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
        write_all(2, encoded("ssm-plugin: %s\n" % shown(text)))
    return found[0]


def one_of_each_task(service: ServiceClient, target: Target) -> List[ContainerTarget]:
    """:raises UsageError: if there is none"""
    found: Dict[str, ContainerTarget] = {}
    for one in find_containers(service, target):
        found.setdefault(one.task, one)
    return list(found.values())
