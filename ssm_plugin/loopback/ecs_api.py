"""ECS, as far as sessions need it: tasks are listed and described, a command is executed.

All of it is one cluster, ``demo``. Its containers are this machine.
"""

import json
import time
import uuid
from typing import Dict, List, Optional, Tuple

from ..named_tuple import NamedTuple
from .diagnosis_api import ACCOUNT
from .gateway import Gateway
from .gateway_session import StartRequest
from .json_api import ApiError, Fault, Fields, JsonApi, field, page_of
from .signatures import SignatureCheck

PREFIX = "AmazonEC2ContainerServiceV20141113"
DOCUMENT = "AmazonECS-ExecuteInteractiveCommand"
CLUSTER, SERVICE = "demo", "web"

# Tasks that one answer lists, and that one call may ask for.
_MOST = 100

_ARN = "arn:aws:ecs:us-east-1:%s:" % ACCOUNT


class LocalContainer(NamedTuple):
    """Without ``has_shell`` the agent finds no ``sh``. Without ``is_connected`` ExecuteCommand is
    refused, as it is when the task's role lacks the permissions for ssmmessages."""

    name: str
    essential: bool = True
    status: str = "RUNNING"
    agent_status: str = "RUNNING"
    agent_reason: str = ""
    has_shell: bool = True
    is_connected: bool = True


class LocalTask(NamedTuple):
    """``started_at`` is in seconds since the epoch."""

    task_id: str
    service: str = SERVICE
    containers: Tuple[LocalContainer, ...] = (LocalContainer("web"),)
    status: str = "RUNNING"
    stopped_reason: str = ""
    is_enabled: bool = True
    started_at: float = 0.0

    @property
    def arn(self) -> str:
        return "%stask/%s/%s" % (_ARN, CLUSTER, self.task_id)

    def runtime_id(self, container: str) -> str:
        number = [one.name for one in self.containers].index(container)
        return "%s-%010d" % (self.task_id, number)


class EcsApi(JsonApi):
    """``tasks`` may be changed at any time."""

    def __init__(
        self,
        gateway: Gateway,
        signatures: SignatureCheck,
        fault: Fault,
    ) -> None:
        operations = {
            "ListTasks": self._list_tasks,
            "DescribeTasks": self._describe_tasks,
            "DescribeTaskDefinition": self._describe_definition,
            "ExecuteCommand": self._execute,
        }
        super().__init__("ecs", signatures, operations, fault)
        self.tasks: List[LocalTask] = [LocalTask(uuid.uuid4().hex, started_at=time.time())]
        self._gateway = gateway

    def _list_tasks(self, fields: Fields) -> Fields:
        _check_cluster(fields)
        service = field(fields, "serviceName", str, "").rpartition("/")[2]
        wanted = field(fields, "desiredStatus", str, "RUNNING")
        known = {task.service for task in self.tasks} | {SERVICE}
        if service and service not in known:
            raise ApiError("ServiceNotFoundException", "Service not found.")
        found = [
            task.arn
            for task in self.tasks
            if service in ("", task.service)
            and (task.status == "STOPPED") == (wanted != "RUNNING")
        ]
        question = json.dumps([service, wanted])
        page, following = page_of(
            found,
            min(field(fields, "maxResults", int, _MOST), _MOST),
            fields.get("nextToken"),
            question,
            "nextToken",
            "InvalidParameterException",
        )
        return dict(following, taskArns=page)

    def _describe_tasks(self, fields: Fields) -> Fields:
        _check_cluster(fields)
        wanted = [str(one) for one in field(fields, "tasks", list)]
        if not 0 < len(wanted) <= _MOST:
            raise ApiError("InvalidParameterException", "Tasks must be 1 to %d." % _MOST)
        found = [self._find(one) for one in wanted]
        return {
            "tasks": [_described(task) for task in found if task],
            "failures": [
                {"arn": LocalTask(one.rpartition("/")[2]).arn, "reason": "MISSING"}
                for one, task in zip(wanted, found)
                if task is None
            ],
        }

    def _describe_definition(self, fields: Fields) -> Fields:
        name = field(fields, "taskDefinition").rpartition("/")[2].partition(":")[0]
        task = next((one for one in self.tasks if name in (one.service, one.task_id)), None)
        if task is None:
            raise ApiError("ClientException", "Unable to describe task definition.")
        containers = [{"name": c.name, "essential": c.essential} for c in task.containers]
        definition = {
            "taskDefinitionArn": _definition(task),
            "family": task.service,
            "revision": 1,
            "containerDefinitions": containers,
        }
        return {"taskDefinition": definition}

    def _execute(self, fields: Fields) -> Fields:
        _check_cluster(fields)
        task = self._find(field(fields, "task"))
        if task is None or task.status != "RUNNING":
            text = "The referenced task was not found or is not running."
            raise ApiError("InvalidParameterException", text)
        if not field(fields, "interactive", bool):
            raise ApiError("InvalidParameterException", "Interactive is the only mode supported.")
        container = self._container(task, field(fields, "container", str, ""))
        if not task.is_enabled:
            text = (
                "The execute command failed because execute command was not enabled when the task "
                "was run or the execute command agent isn't running. Wait and try again or run a "
                "new task with execute command enabled and try again."
            )
            raise ApiError("InvalidParameterException", text)
        if not container.is_connected or container.agent_status != "RUNNING":
            text = "The execute command failed due to an internal error. Try again later."
            raise ApiError("TargetNotConnectedException", text)
        return self._opened(task, container, field(fields, "command"))

    def _container(self, task: LocalTask, name: str) -> LocalContainer:
        if not name and len(task.containers) == 1:
            return task.containers[0]
        found = next((one for one in task.containers if one.name == name), None)
        if found is None:
            text = "Container name is required or does not exist in the task."
            raise ApiError("InvalidParameterException", text)
        return found

    def _opened(self, task: LocalTask, container: LocalContainer, command: str) -> Fields:
        parameters = {"command": [command]}
        if not container.has_shell:
            parameters["withoutPrograms"] = ["sh"]
        target = "ecs:%s_%s_%s" % (CLUSTER, task.task_id, task.runtime_id(container.name))
        session = self._gateway.start_session(StartRequest(target, DOCUMENT, parameters, ""))
        return {
            "clusterArn": "%scluster/%s" % (_ARN, CLUSTER),
            "containerArn": "%scontainer/%s/%s/%s" % (_ARN, CLUSTER, task.task_id, container.name),
            "containerName": container.name,
            "interactive": True,
            "session": {
                "sessionId": session.session_id,
                "streamUrl": self._gateway.stream_url(session),
                "tokenValue": session.token,
            },
            "taskArn": task.arn,
        }

    def _find(self, task: str) -> Optional[LocalTask]:
        task_id = task.rpartition("/")[2]
        return next((one for one in self.tasks if one.task_id == task_id), None)


def _check_cluster(fields: Fields) -> None:
    if field(fields, "cluster", str, "default").rpartition("/")[2] != CLUSTER:
        raise ApiError("ClusterNotFoundException", "Cluster not found.")


def _definition(task: LocalTask) -> str:
    return "%stask-definition/%s:1" % (_ARN, task.task_id)


def _described(task: LocalTask) -> Fields:
    described: Dict[str, object] = {
        "taskArn": task.arn,
        "clusterArn": "%scluster/%s" % (_ARN, CLUSTER),
        "taskDefinitionArn": _definition(task),
        "group": "service:%s" % task.service,
        "lastStatus": task.status,
        "desiredStatus": "STOPPED" if task.status == "STOPPED" else "RUNNING",
        "enableExecuteCommand": task.is_enabled,
        "startedAt": task.started_at,
        "containers": [_described_container(task, one) for one in task.containers],
    }
    if task.stopped_reason:
        described["stoppedReason"] = task.stopped_reason
    return described


def _described_container(task: LocalTask, container: LocalContainer) -> Fields:
    agent = {"name": "ExecuteCommandAgent", "lastStatus": container.agent_status}
    if container.agent_reason:
        agent["reason"] = container.agent_reason
    return {
        "containerArn": "%scontainer/%s/%s/%s" % (_ARN, CLUSTER, task.task_id, container.name),
        "taskArn": task.arn,
        "name": container.name,
        "lastStatus": container.status,
        "runtimeId": task.runtime_id(container.name),
        "managedAgents": [agent] if task.is_enabled else [],
    }
