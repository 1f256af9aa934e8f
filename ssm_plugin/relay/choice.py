"""How fast a tunnel is to be, and whether it may: what speaks against a relay."""

import json
import queue
from typing import Any

from ..aws.client import ServiceClient
from ..config import SPEEDS
from ..errors import RemoteError, ServiceError, SsmPluginError
from ..transport.worker import Worker, WorkerFailed

PLAIN, AUTO, FAST = SPEEDS
SPEED_HELP = (
    "plain: downloads at the agent's pace; auto: as fast as uploads, by a helper program at the "
    "node, where that is possible; fast: an error where it is not"
)

# The account's preferences: they say where its sessions are logged.
PREFERENCES = "SSM-SessionManagerRunShell"

_LOGS = ("s3BucketName", "cloudWatchLogGroupName")


def check_target(target: str) -> None:
    """RemoteError for a target where no command with an output of its own can run."""
    if target.startswith("ecs:"):
        raise RemoteError("containers of ECS run no commands with an output of their own")


class LoggingCheck:
    """Asks whether a command's output is logged at AWS, in a thread of its own: while the answer
    is on its way, a session can be started."""

    def __init__(self, service: ServiceClient, document: str) -> None:
        self._service = service
        self._document = document
        self._answers: "queue.Queue[str]" = queue.Queue()
        self._worker = Worker("logging check", self._run, self._failed)

    def begin(self) -> None:
        self._worker.start()

    def reason(self) -> str:
        """Why the output is logged, or may be; empty if it is not. Blocks."""
        return self._answers.get()

    def _run(self) -> None:
        found = (self._of(name) for name in (PREFERENCES, self._document))
        self._answers.put(next(filter(None, found), ""))

    def _failed(self, event: WorkerFailed) -> None:
        self._answers.put("whether sessions are logged cannot be asked: %s" % event.as_error())

    def _of(self, name: str) -> str:
        try:
            answer = self._service.call("ssm:GetDocument", {"Name": name}, name)
        except ServiceError as error:
            if name == PREFERENCES and error.code.startswith("InvalidDocument"):
                return ""  # nobody has ever set any
            return _unknown(name, error)
        except SsmPluginError as error:
            return _unknown(name, error)
        return logging_in(name, str(answer.get("Content")))


def logging_in(name: str, content: str) -> str:
    """As :meth:`LoggingCheck.reason`, for one document with this content."""
    try:
        inputs: Any = json.loads(content).get("inputs") or {}
        where = next((inputs[key] for key in _LOGS if inputs.get(key)), None)
    except (ValueError, AttributeError, TypeError):
        return "whether sessions are logged cannot be told: the document %s is not JSON" % name
    return "" if where is None else "the document %s logs sessions, their output included" % name


def _unknown(name: str, error: SsmPluginError) -> str:
    return "whether sessions are logged cannot be told by the document %s: %s" % (name, error)
