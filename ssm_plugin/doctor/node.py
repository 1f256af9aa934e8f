"""The target: whether the service knows it, hears of it, what its agent is too old for, and, where
the configuration wants fast tunnels, what keeps them from being fast, short of trying."""

import time
from typing import List, Optional, Tuple

from ..aws.call import entries_of
from ..aws.client import ServiceClient
from ..aws.ecs import ContainerTarget
from ..aws.service_errors import TASK_ROLE_ADVICE
from ..config import Settings
from ..errors import SsmPluginError
from ..jobs.request import DEFAULT_DOCUMENT
from ..nodes.directory import NodeDirectory
from ..nodes.node import Node
from ..nodes.table import age
from ..nodes.targets import find_one
from ..relay.choice import LoggingCheck, check_target
from ..version import KEEP_ALIVE_OFF_AFTER, MULTIPLEXED_PORTS_AFTER, newer_than
from .finding import NOTE, OK, PROBLEM, Finding, Findings, from_error

TARGET, AGENT, CONNECTION = "target", "agent", "connection"
LISTING = "nodes"
SPEED = "speed"

_OLDEST = "2.3.68.0"
_UPDATE = "update it, with the document AWS-UpdateSSMAgent or the node's package manager"


# What older agents lack, by the first version that has it.
_LACKS = (
    ("2.3.539.0", "sessions encrypted with a KMS key"),
    ("2.3.672.0", "ssh and forward"),
    ("3.1.1374.0", "forward to hosts behind the node"),
)


def resolve_target(
    word: str, settings: Settings, service: Optional[ServiceClient]
) -> Tuple[str, Findings]:
    """The target's id, empty if it has none, and the findings."""
    try:
        target = find_one(word, settings, service)
    except SsmPluginError as error:
        return "", [from_error(TARGET, error)]
    if target == word:
        return target, []
    return target, [Finding(TARGET, OK, "%r is %s" % (word, target))]


def check_listing(service: ServiceClient) -> Findings:
    """Whether nodes can be looked up; for an examination without a target."""
    try:
        answer = service.call("ssm:DescribeInstanceInformation", {"MaxResults": 5})
    except SsmPluginError as error:
        return [from_error(LISTING, error)]
    if not entries_of(answer, "InstanceInformationList"):
        text = "no node is registered in this region and account"
        return [Finding(LISTING, NOTE, text, "check the region and the profile")]
    return [Finding(LISTING, OK, "there are some; 'ssm-plugin list' shows them")]


def check_node(target: str, service: ServiceClient) -> Findings:
    if isinstance(target, ContainerTarget):
        text = "execute-command is enabled for %s, and its agent runs" % target.shown
        return [Finding(TARGET, OK, text)]
    if target.startswith(("ecs:", "sagemaker-cluster:")):
        return [Finding(TARGET, OK, "it is not a managed node: its agent is not listed")]
    try:
        found = NodeDirectory(service).with_ids([target])
    except SsmPluginError as error:
        return [from_error(TARGET, error)]
    if not found:
        text = "%s is not registered at Systems Manager in this region and account" % target
        remedy = (
            "check the id, the region and the account; else that its SSM Agent runs and that its "
            "role allows AmazonSSMManagedInstanceCore"
        )
        return [Finding(TARGET, PROBLEM, text, remedy)]
    return [_ping(found[0]), _agent(found[0])]


def check_connection(target: str, service: ServiceClient) -> Findings:
    try:
        answer = service.call("ssm:GetConnectionStatus", {"Target": target}, target)
    except SsmPluginError as error:
        return [from_error(CONNECTION, error)]
    status = str(answer.get("Status"))[:100]
    # In capitals, the API's documentation says; in lower case, it is answered.
    if status.lower() == "connected":
        return [Finding(CONNECTION, OK, "the agent of %s is connected for sessions" % target)]
    text = "the agent of %s is not connected for sessions (%s)" % (target, status)
    if isinstance(target, ContainerTarget):
        text = "the agent in %s is not connected for sessions (%s)" % (target.shown, status)
        return [Finding(CONNECTION, PROBLEM, text, TASK_ROLE_ADVICE)]
    remedy = (
        "check that the node runs, that it reaches ssmmessages (a VPC endpoint or the internet), "
        "and that its role allows ssmmessages:*; then restart its SSM Agent"
    )
    return [Finding(CONNECTION, PROBLEM, text, remedy)]


def check_speed(speed: str, target: str, service: ServiceClient) -> Findings:
    """Whether the node can run a relay is seen only by starting one."""
    logging = LoggingCheck(service, DEFAULT_DOCUMENT)
    logging.begin()
    reason = logging.reason()
    try:
        check_target(target)
    except SsmPluginError as error:
        reason = str(error)
    if not reason:
        return [Finding(SPEED, OK, "%s: sessions are not logged" % speed)]
    remedy = "tunnels are plain under 'speed: auto'; see 'Fast tunnels' in the README"
    return [Finding(SPEED, NOTE, "%s: %s" % (speed, reason), remedy)]


def _ping(node: Node) -> Finding:
    seen = ""
    if node.last_seen is not None:
        seen = ", last seen %s ago" % age(node.last_seen, time.time())
    text = "%s is %s%s; %s" % (node.node_id, node.status or "in no known state", seen, _what(node))
    if node.is_online:
        return Finding(TARGET, OK, text)
    text = "%s is offline: its ping status is %s%s" % (node.node_id, node.status or "unknown", seen)
    remedy = "start the node or its SSM Agent, and check the agent's way to ssm and ssmmessages"
    return Finding(TARGET, PROBLEM, text, remedy)


def _what(node: Node) -> str:
    known = [text for text in (node.name, node.platform, node.address) if text]
    return ", ".join(known) or "nothing more is known"


def _agent(node: Node) -> Finding:
    version = node.agent_version
    if not version:
        return Finding(AGENT, NOTE, "its version is unknown")
    if newer_than(_OLDEST, version):
        text = "the SSM Agent of %s is too old: version %s, and sessions need %s" % (
            node.node_id, version, _OLDEST
        )
        return Finding(AGENT, PROBLEM, text, _UPDATE)
    lacking = _lacking(version)
    if lacking:
        text = "version %s of the SSM Agent lacks %s" % (version, ", ".join(lacking))
        return Finding(AGENT, NOTE, text, _UPDATE)
    return Finding(AGENT, OK, "version %s lacks nothing that we use" % version)


def _lacking(version: str) -> List[str]:
    lacking = [what for since, what in _LACKS if newer_than(since, version)]
    if not newer_than(version, MULTIPLEXED_PORTS_AFTER):
        lacking.append("several connections at once in forward")
    elif not newer_than(version, KEEP_ALIVE_OFF_AFTER):
        lacking.append("long silence in forward (its keep-alive ends idle tunnels)")
    return lacking
