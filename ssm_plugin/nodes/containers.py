"""Containers of ECS: which ones a target means, and why a session with one cannot be."""

from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..aws.call import entries_of, pages, text_of
from ..aws.client import ServiceClient
from ..aws.ecs import ContainerTarget, is_task_id
from ..aws.service_errors import TASK_ROLE_ADVICE
from ..errors import ServiceError, SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from .grammar import Target

LIST, DESCRIBE = "ecs:ListTasks", "ecs:DescribeTasks"
DEFINITION = "ecs:DescribeTaskDefinition"

# The most that DescribeTasks takes is 100; each may need some KiB in the answer.
_BATCH = 50

_AGENT = "ExecuteCommandAgent"
RUNNING = "RUNNING"

_ENABLE = (
    "enable it by 'aws ecs update-service --enable-execute-command --force-new-deployment', or "
    "'aws ecs run-task --enable-execute-command', for tasks that are started from then on"
)


class Address(NamedTuple):
    """What ``ecs:CLUSTER/SERVICE[/CONTAINER]`` says; ``task`` is an id in place of a service."""

    cluster: str
    service: str
    task: str
    container: str


class Container(NamedTuple):
    name: str
    runtime_id: str
    status: str
    agent_status: str
    agent_reason: str


class Task(NamedTuple):
    """``started_at`` is in seconds since the epoch, 0 if it has not started."""

    task_id: str
    definition: str
    status: str
    stopped_reason: str
    is_enabled: bool
    started_at: float
    containers: Tuple[Container, ...]


def address_of(target: Target) -> Address:
    """:raises UsageError: if a part is missing"""
    parts = target.value.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UsageError(
            "the target %r is not written ecs:CLUSTER/SERVICE[/CONTAINER], or with a task's id in "
            "place of the service" % target.written[:200]
        )
    is_task = is_task_id(parts[1])
    return Address(
        parts[0], "" if is_task else parts[1], parts[1] if is_task else "", (parts + [""])[2]
    )


def find_containers(service: ServiceClient, target: Target) -> List[ContainerTarget]:
    """Those of the running tasks that a session can be had with: the newest task first, in each
    its first essential container first.

    :raises UsageError: if there is none, saying why
    """
    address = address_of(target)
    tasks = _tasks(service, address, target)
    found: List[ContainerTarget] = []
    obstacles: List[str] = []
    for task in tasks:
        why = _obstacle(task)
        if why:
            obstacles.append(why)
            continue
        for container in _in_order(service, task, address):
            why = _container_obstacle(task, container)
            if why:
                obstacles.append(why)
                continue
            found.append(
                ContainerTarget(address.cluster, task.task_id, container.name, container.runtime_id)
            )
    if not found:
        text = obstacles[0] if obstacles else _no_container(tasks, address)
        raise UsageError("no session with %s: %s" % (target.written[:200], text))
    return found


def _tasks(service: ServiceClient, address: Address, target: Target) -> List[Task]:
    """The newest first."""
    try:
        ids = [address.task] if address.task else _running(service, address)
        tasks: List[Task] = []
        for start in range(0, len(ids), _BATCH):
            request = {"cluster": address.cluster, "tasks": ids[start:start + _BATCH]}
            answer = service.call(DESCRIBE, request, target.written[:200])
            tasks += [_task(one) for one in entries_of(answer, "tasks")]
    except ServiceError as error:
        text = "cannot look up the target %r: %s" % (target.written[:200], error)
        raise ServiceError(text, error.code, error.status) from error
    if tasks:
        return sorted(tasks, key=lambda task: -task.started_at)
    if address.task:
        raise UsageError(
            "the cluster %s has no task %s: it may have stopped more than an hour ago; check the "
            "id, the cluster and the region" % (address.cluster[:200], address.task)
        )
    raise UsageError(
        "the service %s of the cluster %s has no running task: check its desired count, and why "
        "its tasks stop" % (address.service[:200], address.cluster[:200])
    )


def _running(service: ServiceClient, address: Address) -> List[str]:
    request: Dict[str, Any] = {
        "cluster": address.cluster,
        "serviceName": address.service,
        "desiredStatus": RUNNING,
    }
    subject = "%s/%s" % (address.cluster, address.service)
    found: List[str] = []
    for answer in pages(lambda page: service.call(LIST, page, subject), request, LIST, "nextToken"):
        found += entries_of(answer, "taskArns", str)
    return found


def _obstacle(task: Task) -> str:
    if task.status != RUNNING:
        why = " (%s)" % task.stopped_reason if task.stopped_reason else ""
        return "the task %s is %s%s; choose a running one" % (task.task_id, task.status, why)
    if not task.is_enabled:
        return "execute-command is not enabled for the task %s; %s" % (task.task_id, _ENABLE)
    return ""


def _container_obstacle(task: Task, container: Container) -> str:
    where = "the container %s of the task %s" % (container.name, task.task_id)
    if container.status not in (RUNNING, ""):
        return "%s is %s; choose another one" % (where, container.status)
    if container.agent_status not in (RUNNING, ""):
        why = ": %s" % container.agent_reason if container.agent_reason else ""
        return "the execute-command agent in %s is %s%s; %s" % (
            where, container.agent_status, why, TASK_ROLE_ADVICE
        )
    if not container.runtime_id:
        return "%s has not started yet; try again in a moment" % where
    return ""


def _no_container(tasks: Sequence[Task], address: Address) -> str:
    names = sorted({one.name for task in tasks for one in task.containers})
    return "its task has no container %s, but %s" % (
        address.container[:200], ", ".join(names)[:400] or "none at all"
    )


def _in_order(service: ServiceClient, task: Task, address: Address) -> List[Container]:
    """The one that was named, or all: the essential ones first, as the task's definition has
    them. Where that may not be asked, as they come."""
    if address.container:
        return [one for one in task.containers if one.name == address.container]
    if len(task.containers) < 2:
        return list(task.containers)
    order: List[str] = []
    try:
        answer = service.call(DEFINITION, {"taskDefinition": task.definition})
        known = entries_of(answer.get("taskDefinition"), "containerDefinitions")
        # What is not said to be inessential is essential.
        known = sorted(known, key=lambda one: one.get("essential") is False)
        order = [_text(one, "name") for one in known]
    except SsmPluginError:
        pass  # a convenience that needs a permission of its own
    return sorted(
        task.containers,
        key=lambda one: order.index(one.name) if one.name in order else len(order),
    )


def _task(fields: Mapping[str, Any]) -> Task:
    started = fields.get("startedAt")
    return Task(
        _text(fields, "taskArn").rpartition("/")[2],
        _text(fields, "taskDefinitionArn"),
        _text(fields, "lastStatus") or "in no known state",
        _text(fields, "stoppedReason"),
        fields.get("enableExecuteCommand") is True,
        float(started) if isinstance(started, (int, float)) else 0.0,
        tuple(_container(one) for one in entries_of(fields, "containers")),
    )


def _container(fields: Mapping[str, Any]) -> Container:
    agents = [one for one in entries_of(fields, "managedAgents") if _text(one, "name") == _AGENT]
    agent = agents[0] if agents else {}
    return Container(
        _text(fields, "name"),
        _text(fields, "runtimeId"),
        _text(fields, "lastStatus"),
        _text(agent, "lastStatus"),
        _text(agent, "reason"),
    )


def _text(fields: Mapping[str, Any], key: str) -> str:
    """Printable: it is said in errors."""
    printable = (c if c.isprintable() else " " for c in text_of(fields, key))
    return " ".join("".join(printable).split())[:400]
