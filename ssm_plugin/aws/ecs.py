"""What ECS is asked for: a session in a container, in place of SSM's StartSession."""

import re

from .client import ServiceClient, StartedSession, started_session
from .service_errors import Operation

EXECUTE = "ecs:ExecuteCommand"


class ContainerTarget(str):
    """The text is what SSM knows the container by, ``ecs:CLUSTER_TASK_RUNTIME``, so that it serves
    as any other target does. The parts are what ECS knows it by; ``task`` is the task's id."""

    cluster: str
    task: str
    container: str

    def __new__(
        cls, cluster: str, task: str, container: str, runtime_id: str
    ) -> "ContainerTarget":
        made = super().__new__(cls, "ecs:%s_%s_%s" % (cluster, task, runtime_id))
        made.cluster, made.task, made.container = cluster, task, container
        return made

    @property
    def shown(self) -> str:
        """The target in the form that a user may type."""
        return "ecs:%s/%s/%s" % (self.cluster, self.task, self.container)


def execute_command(
    service: ServiceClient, target: ContainerTarget, command: str
) -> StartedSession:
    """Start a session that runs ``command`` in a container, on a terminal: ECS knows no other kind.
    The agent splits the line as a shell would, and runs no shell. Errors as of the client; one
    that leaves open whether there is a session now is ``uncertain``."""
    request = {
        "cluster": target.cluster,
        "task": target.task,
        "container": target.container,
        "command": command,
        "interactive": True,
    }
    answer = service.call(EXECUTE, request, target.shown, repeatable=False, paced=True)
    keys = ("sessionId", "streamUrl", "tokenValue")
    return started_session(answer.get("session"), keys, Operation(EXECUTE, target.shown))


def is_task_id(text: str) -> bool:
    """32 hexadecimal digits; of old accounts a UUID."""
    return bool(re.match(r"[0-9a-f]{32}\Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", text))
