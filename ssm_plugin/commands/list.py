"""Show the nodes that can be reached, sorted by name; or those that the TARGETs mean.

Asks SSM for the nodes, and EC2 for the names of those that are its instances. Without permission
for the latter (ec2:DescribeInstances) the rest is shown, and a line says so.
"""

import argparse
import os
import time
from typing import List, Mapping, Optional

from ..config import Settings
from ..display import encoded, json_line
from ..errors import UsageError
from ..nodes import cache
from ..nodes.directory import NodeDirectory, by_name
from ..nodes.grammar import CONTAINER, Target
from ..nodes.node import Node
from ..nodes.table import as_object, table
from ..nodes.targets import check_target, nodes_of
from ..session.environment import make_environment
from ..session.streams import say, write_all
from ..terminal.tty import window_size

EXAMPLE = """\
examples:
  ssm-plugin list
  ssm-plugin list --offline
  ssm-plugin list tag:Role=web
  ssm-plugin list --json | jq -r '.[].id'

exit status: 255 if there is no node of a TARGET
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="id, configured name, tag:KEY=VALUE, ip:ADDRESS, name:NAME, or a name",
    )
    parser.add_argument(
        "--offline", action="store_true", help="those that are not online, too"
    )
    parser.add_argument("--json", action="store_true", help="print one array on stdout")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    targets = [_node(check_target(word, settings)) for word in options.targets]
    service = make_environment(settings, environ=environ).service
    assert service is not None, "nodes are looked up at the service"
    directory = NodeDirectory(service)
    found: List[Node] = [] if targets else directory.all(online_only=not options.offline)
    for target in targets:
        found += nodes_of(directory, target, settings)
    if not targets:
        cache.store(found, settings, environ)
    nodes = by_name({node.node_id: node for node in found}.values())
    if options.json:
        write_all(1, json_line([as_object(node) for node in nodes]).encode("ascii"))
    elif nodes:
        write_all(1, encoded(table(nodes, time.time(), _width())))
    if not settings.quiet:
        for error in directory.without:
            say("some of it is not shown: %s" % error)
        if not nodes:
            say("no node is %s" % ("there" if options.offline else "online; see --offline"))
    return 0


def _node(target: Target) -> Target:
    if target.kind == CONTAINER or target.value.startswith("ecs:"):
        raise UsageError(
            "%r is a container of ECS, and only nodes are listed: 'ssm-plugin doctor %s' checks it"
            % (target.written[:200], target.written[:200])
        )
    return target


def _width() -> Optional[int]:
    """The terminal's width; None if a program reads the output, which is then not cut."""
    return window_size((1,)).cols if os.isatty(1) else None
