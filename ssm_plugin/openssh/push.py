"""SendSSHPublicKey of EC2 Instance Connect: for a minute, sshd on the node takes the key."""

import threading
import time
from typing import Callable, Optional

from ..aws.client import ServiceClient
from ..errors import ServiceError, UsageError

ACTION = "ec2-instance-connect:SendSSHPublicKey"

# Seconds after which a key is pushed again: the other half of its minute is left for the login.
RENEWED_AFTER = 30.0


def check_takes_keys(target: str) -> None:
    """:raises UsageError: for a target that EC2 Instance Connect does not know"""
    if not target.startswith("i-"):
        raise UsageError(
            "no key can be pushed to %s: EC2 Instance Connect knows EC2 instances alone; put your "
            "key into ~/.ssh/authorized_keys there and use ssh with the lines of 'ssm-plugin "
            "ssh-config', or 'ssm-plugin shell %s', which needs no key" % (target, target)
        )


class KeyPush:
    """Called before each session is started: the node has the key then. It may take several starts,
    since a node is waited for, or several sessions go there. Threads may share it. ``key`` is type
    and key; ``clock`` gives seconds."""

    def __init__(
        self,
        service: ServiceClient,
        target: str,
        user: str,
        key: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._target = target
        self._request = {"InstanceId": target, "InstanceOSUser": user, "SSHPublicKey": key}
        self._clock = clock
        self._lock = threading.Lock()
        self._pushed: Optional[float] = None

    def __call__(self) -> None:
        """Errors are those of :class:`ServiceClient`."""
        with self._lock:
            now = self._clock()
            if self._pushed is None or now - self._pushed >= RENEWED_AFTER:
                self._push()
                self._pushed = now

    def _push(self) -> None:
        answer = self._service.call(ACTION, self._request, self._target)
        if answer.get("Success") is not True:
            raise ServiceError(
                "%s on %s was answered without success: try again" % (ACTION, self._target),
                "NoSuccess",
            )
