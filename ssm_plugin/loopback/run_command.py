"""SSM's Run Command: SendCommand, the look-ups of what became of it, and CancelCommand."""

import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..transport.worker import WorkerFailed
from .buckets import LocalBuckets
from .fault_plan import FaultPlan
from .json_api import ApiError, Fields, field, page_of
from .node_api import platform_type
from .nodes import LocalNode, LocalNodes
from .run_command_engine import Engine
from .run_command_request import DOCUMENT, CommandRequest, invalid, matching, parse_request
from .run_command_state import (
    ACCESS_DENIED,
    DELAYED,
    INVALID_PLATFORM,
    NOT_RUN,
    PENDING,
    UNDELIVERABLE,
    Command,
    Invocation,
)

MOST, DEFAULT = 50, 50
PLUGIN = "aws:runShellScript"
STEP = "0.awsrunShellScript"

_FILTERS = ("InvokedAfter", "InvokedBefore", "Status", "DocumentName")
_STAGES = ("Executing", "Complete")

T = TypeVar("T")


class RunCommand:
    """``any_name``: every instance id is a node, besides ``nodes``. ``base_url`` is where the
    objects of ``buckets`` are."""

    def __init__(
        self,
        nodes: LocalNodes,
        any_name: bool,
        buckets: LocalBuckets,
        base_url: str,
        failed: Callable[[WorkerFailed], object],
        plan: FaultPlan,
    ) -> None:
        self.operations: Mapping[str, Callable[[Fields], Fields]] = {
            "SendCommand": self._send,
            "ListCommands": self._list,
            "ListCommandInvocations": self._list_invocations,
            "GetCommandInvocation": self._get_invocation,
            "CancelCommand": self._cancel,
        }
        self.engine = Engine(self._obstacle, buckets, failed, plan.delivery)
        self._nodes = nodes
        self._any_name = any_name
        self._base_url = base_url
        self._lag = plan.lag

    def close(self, seconds: float) -> None:
        self.engine.close(seconds)

    def _obstacle(self, invocation: Invocation) -> Optional[str]:
        node = invocation.node
        if not node.is_registered:
            return UNDELIVERABLE
        if not node.allows_commands:
            return ACCESS_DENIED
        if platform_type(node) == "Windows":
            return INVALID_PLATFORM
        is_known = node.node_id in self._nodes.by_id
        return None if not is_known or node.node_id in self._nodes else DELAYED

    # The operations

    def _send(self, fields: Fields) -> Fields:
        request = parse_request(fields)
        command = Command(request, self._targets(request))
        answer = _command(command)
        # AWS looks for the nodes only once it has answered.
        answer.update(Status=PENDING, StatusDetails=PENDING)
        if request.targets:
            answer["TargetCount"] = 0
        self.engine.submit(command)
        return {"Command": answer}

    def _targets(self, request: CommandRequest) -> List[LocalNode]:
        if request.targets:
            return matching(request.targets, self._nodes.nodes)
        found = [self._node(one) for one in request.instance_ids]
        bad = [node.node_id for node in found if not node.is_registered]
        if bad:
            text = "Instances [[%s]] not in a valid state for account 000000000000"
            raise ApiError("InvalidInstanceId", text % ", ".join(bad))
        if any(platform_type(node) == "Windows" for node in found):
            text = "Document %s is not supported on the platform of a node" % DOCUMENT
            raise ApiError("UnsupportedPlatformType", text)
        return found

    def _node(self, node_id: str) -> LocalNode:
        made_up = LocalNode(node_id, is_registered=self._any_name)
        return self._nodes.by_id.get(node_id, made_up)

    def _list(self, fields: Fields) -> Fields:
        with self.engine.changed:
            chosen = self._chosen_commands(fields)
            instance_id = field(fields, "InstanceId", str, "")
            if instance_id:
                chosen = [one for one in chosen if instance_id in one.by_id]
            fits = _filter(fields, _FILTERS + ("ExecutionStage",))
            found = [one for one in chosen if fits(one, one.status, one.details)]
            page, rest = _page(found, fields)
            return dict(rest, Commands=[_command(one) for one in page])

    def _list_invocations(self, fields: Fields) -> Fields:
        instance_id = field(fields, "InstanceId", str, "")
        fits = _filter(fields, _FILTERS)
        with self.engine.changed:
            found = self._invocations(self._chosen_commands(fields), instance_id)
            if fields.get("Filters"):
                found = [one for one in found if fits(one.command, one.status, one.details)]
            page, rest = _page(found, fields)
            details = bool(fields.get("Details"))
            return dict(rest, CommandInvocations=[self._listed(one, details) for one in page])

    def _invocations(self, commands: Sequence[Command], instance_id: str) -> List[Invocation]:
        seen_before = time.monotonic() - self._lag
        visible = [one for one in commands if one.requested_at <= seen_before]
        if instance_id:
            return [one.by_id[instance_id] for one in visible if instance_id in one.by_id]
        if len(visible) == 1:
            return visible[0].invocations
        return [invocation for one in visible for invocation in one.invocations]

    def _get_invocation(self, fields: Fields) -> Fields:
        plugin = field(fields, "PluginName", str, PLUGIN)
        with self.engine.changed:
            command = self.engine.commands.get(_command_id(fields))
            found = self._invocations([command] if command else [], field(fields, "InstanceId"))
            if not found:
                raise ApiError("InvocationDoesNotExist", "")
            if plugin not in (PLUGIN, STEP):
                raise ApiError("InvalidPluginName", "")
            return self._got(found[0])

    def _cancel(self, fields: Fields) -> Fields:
        ids: List[str] = field(fields, "InstanceIds", list, [])
        with self.engine.changed:
            command = self._command(_command_id(fields))
            unknown = [one for one in ids if one not in command.by_id]
            if unknown:
                raise ApiError("InvalidInstanceId", "The command was not sent to it.")
            self.engine.cancel(command, ids)
        return {}

    def _command(self, command_id: str) -> Command:
        command = self.engine.commands.get(command_id)
        if command is None:
            raise ApiError("InvalidCommandId", "")
        return command

    def _chosen_commands(self, fields: Fields) -> Sequence[Command]:
        """The latest first, as AWS lists them."""
        if fields.get("CommandId"):
            return [self._command(_command_id(fields))]
        return list(self.engine.commands.values())[::-1]

    # How they are told

    def _listed(self, invocation: Invocation, with_plugins: bool) -> Fields:
        return dict(
            self._told(invocation),
            InstanceName=invocation.node.name,
            RequestedDateTime=round(invocation.command.requested, 3),
            CommandPlugins=[self._plugin(invocation)] if with_plugins else [],
            ServiceRole="",
            NotificationConfig=_NO_NOTIFICATION,
        )

    def _plugin(self, invocation: Invocation) -> Fields:
        told: Fields = {
            "Name": PLUGIN,
            "Status": invocation.status if invocation.status != DELAYED else PENDING,
            "StatusDetails": invocation.details,
            "ResponseCode": invocation.output.code,
            "Output": invocation.output.both,
        }
        if invocation.started:
            told["ResponseStartDateTime"] = round(invocation.started, 3)
        if invocation.ended:
            told["ResponseFinishDateTime"] = round(invocation.ended, 3)
        told.update(self._urls(invocation), **_bucket(invocation.command.request))
        return told

    def _got(self, invocation: Invocation) -> Fields:
        output = invocation.output
        ran = bool(invocation.started and invocation.ended)
        elapsed = invocation.ended - invocation.started
        return dict(
            self._told(invocation),
            PluginName=PLUGIN,
            ResponseCode=output.code if invocation.is_over else NOT_RUN,
            ExecutionStartDateTime=_iso(invocation.started) if ran else "",
            ExecutionElapsedTime=_duration(elapsed) if ran else "",
            ExecutionEndDateTime=_iso(invocation.ended) if ran else "",
            StandardOutputContent=output.stdout,
            StandardErrorContent=output.stderr,
        )

    def _told(self, invocation: Invocation) -> Fields:
        """What both ways to ask for it tell."""
        told: Fields = {
            "CommandId": invocation.command.command_id,
            "InstanceId": invocation.node.node_id,
            "Comment": invocation.command.request.comment,
            "DocumentName": DOCUMENT,
            "DocumentVersion": "$DEFAULT",
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "CloudWatchOutputConfig": _NO_CLOUD_WATCH,
        }
        told.update(self._urls(invocation))
        return told

    def _urls(self, invocation: Invocation) -> Dict[str, str]:
        bucket = invocation.command.request.bucket
        names = (("StandardOutputUrl", "stdout"), ("StandardErrorUrl", "stderr"))
        if not bucket:
            return {key: "" for key, _ in names}
        where = (self._base_url, bucket, invocation.s3_folder)
        return {key: "/".join(where + (name,)) for key, name in names}


_NO_NOTIFICATION: Fields = {
    "NotificationArn": "", "NotificationEvents": [], "NotificationType": "",
}
_NO_CLOUD_WATCH: Fields = {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": False}


def _command(command: Command) -> Fields:
    request = command.request
    counts = command.counts
    told: Fields = {
        "CommandId": command.command_id,
        "DocumentName": DOCUMENT,
        "DocumentVersion": "$DEFAULT",
        "Comment": request.comment,
        "ExpiresAfter": round(command.expires, 3),
        "Parameters": request.parameters,
        "InstanceIds": list(request.instance_ids),
        "Targets": list(request.targets),
        "RequestedDateTime": round(command.requested, 3),
        "Status": command.status,
        "StatusDetails": command.details,
        "MaxConcurrency": request.concurrency,
        "MaxErrors": request.max_errors,
        "TargetCount": len(command.invocations),
        "CompletedCount": command.over,
        "ErrorCount": command.errors,
        "DeliveryTimedOutCount": counts.get("DeliveryTimedOut", 0),
        "ServiceRole": "",
        "NotificationConfig": _NO_NOTIFICATION,
        "CloudWatchOutputConfig": _NO_CLOUD_WATCH,
        "TimeoutSeconds": request.timeout,
    }
    told.update(_bucket(request))
    return told


def _bucket(request: CommandRequest) -> Fields:
    return {
        "OutputS3Region": "us-east-1" if request.bucket else "",
        "OutputS3BucketName": request.bucket,
        "OutputS3KeyPrefix": request.prefix,
    }


def _command_id(fields: Fields) -> str:
    text: str = field(fields, "CommandId")
    if len(text) != 36:
        raise invalid("commandId", text, "Member must have length 36")
    return text


def _page(found: Sequence[T], fields: Fields) -> Tuple[List[T], Fields]:
    size = field(fields, "MaxResults", int, DEFAULT)
    if not 1 <= size <= MOST:
        raise invalid("maxResults", str(size), "Member must have value between 1 and %d" % MOST)
    question = json.dumps(
        [fields.get(name) for name in ("CommandId", "InstanceId", "Filters")], sort_keys=True
    )
    token = fields.get("NextToken") or None
    return page_of(found, size, token, question)


def _filter(fields: Fields, keys: Iterable[str]) -> Callable[[Command, str, str], bool]:
    given = []
    for one in field(fields, "Filters", list, []):
        if not isinstance(one, dict):
            raise ApiError("ValidationException", "a filter is not an object")
        key, value = field(one, "key"), field(one, "value")
        if key not in keys:
            raise ApiError("InvalidFilterKey", "The specified key isn't valid.")
        given.append((key, value if not key.startswith("Invoked") else _moment(value)))

    def fits(command: Command, status: str, details: str) -> bool:
        return all(_fits(key, value, command, status, details) for key, value in given)

    return fits


def _fits(key: str, value: Any, command: Command, status: str, details: str) -> bool:
    if key == "InvokedAfter":
        return command.requested >= value
    if key == "InvokedBefore":
        return command.requested <= value
    if key == "ExecutionStage":
        return value == _STAGES[command.is_over]
    return value == DOCUMENT if key == "DocumentName" else value in (status, details)


def _moment(text: str) -> float:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        text = "a time is written 2024-07-07T00:00:00Z"
        raise ApiError("ValidationException", text) from error
    return moment.replace(tzinfo=timezone.utc).timestamp()


def _iso(seconds: float) -> str:
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds") + "Z"


def _duration(seconds: float) -> str:
    hours, rest = divmod(max(0.0, seconds), 3600)
    minutes, rest = divmod(rest, 60)
    parts = "%dH" % hours if hours else ""
    parts += "%dM" % minutes if minutes else ""
    return "PT%s%gS" % (parts, round(rest, 3))
