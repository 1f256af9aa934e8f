"""From an order to SendCommand: to which nodes at once, and what is asked. Pure but for ``send``.

A command goes to 50 nodes that are named, or to any number that a tag names. With names there may
be several commands: they share what may run at once. With a tag it is one, and AWS does the
sharing. Either way the nodes are those that were looked up before: names come from there.
"""

import math
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..errors import NetworkError, ServiceError, SsmPluginError, UsageError
from ..fleet_plan import FleetPlan
from ..jobs.engine import FleetOrder
from ..named_tuple import NamedTuple
from ..nodes.grammar import TAG, Target
from ..nodes.targets import Found
from .patience import PatientCalls
from .script import script_of

DOCUMENT = "AWS-RunShellScript"
SEND = "ssm:SendCommand"

MOST_IDS = 50
MOST_VALUES = 50
MOST_COMMENT = 100

# Seconds. The service takes no less for the delivery, and the agent no less for the execution.
LEAST_DELIVERY, MOST_DELIVERY = 30, 2592000
LEAST_EXECUTION, MOST_EXECUTION = 5, 172800

# Seconds that a node that does not answer is tried for, unless the user says more.
DELIVERY = 60.0

# Seconds that a command without a limit is taken to run, when many wait for their turn.
_USUAL = 3600.0

_NODE = re.compile(r"m?i-")
# What the service says of a whole call when one of its nodes is wrong.
_ONE_IS_WRONG = ("InvalidInstanceId", "UnsupportedPlatformType")


class Shipment(NamedTuple):
    """One SendCommand. ``targets`` name the nodes if there are any, else their ids do.
    ``most_failed`` is how many failures stop it."""

    nodes: Sequence[Found]
    concurrency: int
    most_failed: Optional[int] = None
    targets: Sequence[Dict[str, Any]] = ()


class Bucket(NamedTuple):
    """Where the agents put the whole output."""

    name: str
    prefix: str = ""


def parse_bucket(url: str) -> Bucket:
    """``s3://BUCKET/PREFIX``.

    :raises UsageError: for anything else"""
    found = re.match(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^\0-\x1f\x7f]{0,500}))?\Z", url)
    if found is None:
        raise UsageError("%r is not written s3://BUCKET/PREFIX" % url[:100])
    return Bucket(found.group(1), (found.group(2) or "").strip("/"))


def check_order(order: FleetOrder) -> str:
    """The script. :raises UsageError: for what Run Command cannot do"""
    check_nodes(order.nodes)
    if order.read_input is not None:
        raise UsageError("Run Command has no standard input: use sessions for that")
    if order.plan.rolling is not None:
        raise UsageError("Run Command has no batches (rolling): use sessions for them")
    if order.timeout is not None and order.timeout > MOST_EXECUTION:
        raise UsageError("Run Command ends every command after 48h: the time limit is longer")
    return script_of(order.argv, all(node.name == node.target for node in order.nodes))


def check_nodes(nodes: Sequence[Found]) -> None:
    """:raises UsageError: for a container"""
    for node in nodes:
        if not _NODE.match(node.target):
            raise UsageError(
                "%s cannot be reached by Run Command, which knows nodes alone (i-..., mi-...): use "
                "sessions for it" % node.name[:100]
            )


def filters_of(targets: Sequence[Target]) -> List[Dict[str, Any]]:
    """The targets of SendCommand, if the user's are all values of one tag; else none: what either
    of two tags names cannot be said there."""
    keys = {(one.kind, one.key) for one in targets}
    if len(keys) != 1 or len(targets) > MOST_VALUES or targets[0].kind != TAG:
        return []
    values = list(dict.fromkeys(one.value for one in targets))
    return [{"Key": "tag:" + targets[0].key, "Values": values}]


def shipments(
    nodes: Sequence[Found], plan: FleetPlan, targets: Sequence[Dict[str, Any]] = ()
) -> List[Shipment]:
    """The shipments, in the order in which they are sent. With as many of them under way as
    :func:`at_once` says, no more nodes run than the plan allows."""
    most_failed = plan.max_errors.of(len(nodes)) if plan.max_errors else None
    if targets and len(nodes) > 1:
        return [Shipment(nodes, plan.parallel, most_failed, targets)]
    chunks = [nodes[at : at + MOST_IDS] for at in range(0, len(nodes), MOST_IDS)]
    slots = at_once(len(chunks), plan)
    each, more = divmod(plan.parallel, slots)
    return [
        Shipment(chunk, min(MOST_IDS, each + (number % slots < more)), most_failed)
        for number, chunk in enumerate(chunks)
    ]


def at_once(count: int, plan: FleetPlan) -> int:
    """How many shipments may be under way together."""
    return max(1, min(count, plan.parallel))


def request_of(
    shipment: Shipment,
    script: str,
    order: FleetOrder,
    delivery: float,
    bucket: Optional[Bucket] = None,
) -> Dict[str, Any]:
    """The fields of SendCommand. ``delivery`` is in seconds, for one node."""
    execution = order.timeout if order.timeout is not None else float(MOST_EXECUTION)
    request: Dict[str, Any] = {
        "DocumentName": DOCUMENT,
        "Parameters": {
            "commands": [script],
            "executionTimeout": [str(max(LEAST_EXECUTION, int(math.ceil(execution))))],
        },
        "TimeoutSeconds": _delivery_of(shipment, order, delivery),
        "MaxConcurrency": str(shipment.concurrency),
        # The service stops after one more than this.
        "MaxErrors": "100%" if shipment.most_failed is None else str(shipment.most_failed - 1),
    }
    if shipment.targets:
        request["Targets"] = list(shipment.targets)
    else:
        request["InstanceIds"] = [node.target for node in shipment.nodes]
    if order.reason:
        request["Comment"] = order.reason[:MOST_COMMENT]
    if bucket is not None:
        request["OutputS3BucketName"] = bucket.name
        if bucket.prefix:
            request["OutputS3KeyPrefix"] = bucket.prefix
    return request


def _delivery_of(shipment: Shipment, order: FleetOrder, delivery: float) -> int:
    """Those that wait for their turn must not run out of time."""
    turns = math.ceil(len(shipment.nodes) / shipment.concurrency) - 1
    seconds = delivery + turns * (order.timeout or _USUAL)
    return int(max(LEAST_DELIVERY, min(MOST_DELIVERY, math.ceil(seconds))))


def send(calls: PatientCalls, request: Dict[str, Any]) -> str:
    """The command's id. Never sent twice: an error that leaves open whether the command was sent is
    ``uncertain``."""
    try:
        answer = calls.call(SEND, request, repeatable=False)
    except SsmPluginError as error:
        if error.uncertain:
            raise _uncertain(str(error)) from error
        raise
    command = answer.get("Command")
    command_id = command.get("CommandId") if isinstance(command, dict) else None
    if not isinstance(command_id, str) or not is_command_id(command_id):
        raise _uncertain("the answer to %s lacks a field: check the endpoint URL" % SEND)
    return command_id


def is_command_id(text: str) -> bool:
    return bool(re.match(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", text))


def _uncertain(why: str) -> NetworkError:
    error = NetworkError(
        "the command may have been sent, and was not sent again: %s; 'aws ssm list-commands' shows "
        "whether it was" % why
    )
    error.uncertain = True
    return error


def split(shipment: Shipment, error: SsmPluginError) -> Tuple[List[Found], List[Shipment]]:
    """After a refusal that is due to some of the nodes: the nodes that it names, and the shipments
    to be sent instead. If it names none, the shipment is cut in half."""
    nodes = shipment.nodes
    if not isinstance(error, ServiceError) or not error.code.startswith(_ONE_IS_WRONG):
        return list(nodes), []
    if len(nodes) == 1 or shipment.targets:
        return list(nodes), []
    named = set(re.findall(r"m?i-[0-9a-z-]+", str(error).partition(": ")[2]))
    wrong = [node for node in nodes if node.target in named]
    rest = [node for node in nodes if node.target not in named]
    if wrong:
        return wrong, [shipment._replace(nodes=rest)] if rest else []
    half = len(nodes) // 2
    return [], [shipment._replace(nodes=nodes[:half]), shipment._replace(nodes=nodes[half:])]
