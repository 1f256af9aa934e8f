"""How fast a tunnel is to be, and whether it may: what speaks against a relay.

Above all that is the log that an account may keep of its sessions: session documents say so.
"""

import json
import queue
from typing import Any, Dict

from ..aws.client import ServiceClient
from ..errors import NetworkError, RemoteError, ServiceError, SsmPluginError
from ..transport.worker import Worker, WorkerFailed

SPEED_HELP = (
    "plain: downloads at the agent's pace; auto: as fast as uploads, by a helper program at the "
    "node, where that is possible; fast: an error where it is not"
)

# The document with the account's preferences.
PREFERENCES = "SSM-SessionManagerRunShell"

# What of a document says where sessions are logged, and what each of it names.
LOGS = {"s3BucketName": "the bucket", "cloudWatchLogGroupName": "the group"}

_MISSING = ("InvalidDocument", "InvalidDocumentException")


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
            inputs = document_inputs(self._service, name)
        except SsmPluginError as error:
            if name == PREFERENCES and is_missing(error):
                return ""  # nobody has ever set any
            return "whether sessions are logged cannot be told by the document %s: %s" % (
                name, error
            )
        if not any(inputs.get(key) for key in LOGS):
            return ""
        return "the document %s logs sessions, their output included" % name


def document_inputs(service: ServiceClient, name: str) -> Dict[str, Any]:
    """What a session document sets; empty where it sets nothing.

    ServiceError, NetworkError, CredentialsError; NetworkError also for one that cannot be read.
    """
    request = {"Name": name, "DocumentFormat": "JSON"}
    content = str(service.call("ssm:GetDocument", request, name).get("Content"))
    try:
        inputs = json.loads(content).get("inputs")
        if inputs is None or isinstance(inputs, dict):
            return inputs or {}
    except (ValueError, AttributeError, RecursionError):
        pass
    raise NetworkError("the content of the document %s cannot be read" % name)


def is_missing(error: SsmPluginError) -> bool:
    """Whether there is no such document."""
    return isinstance(error, ServiceError) and error.code in _MISSING
