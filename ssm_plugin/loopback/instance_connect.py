"""EC2 Instance Connect: public keys that are pushed to a node, and stay there for a minute.

On a real node, sshd's AuthorizedKeysCommand asks the instance's metadata for them. Here whoever
plays the node's sshd asks :meth:`PushedKeys.of`.
"""

import re
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple

from ..wire.message import random_id
from .json_api import ApiError, Fault, Fields, JsonApi, field
from .nodes import DEMO_TARGET, LocalNodes
from .signatures import SignatureCheck

LIFETIME = 60.0  # s

_INSTANCE = re.compile(r"i-[a-f0-9]{8,30}\Z")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?\Z")
_KEY = re.compile(r"(ssh-(rsa|ed25519)|ecdsa-sha2-nistp\d+) AAAA[A-Za-z0-9+/]+=* ?[ -~]*\Z")
_LENGTHS = (80, 4096)


class PushedKeys:
    """``clock`` gives seconds. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Dict[Tuple[str, str], List[Tuple[float, str]]] = {}

    def push(self, node_id: str, user: str, key: str) -> None:
        with self._lock:
            kept = self._active(node_id, user)
            self._keys[node_id, user] = kept + [(self._clock() + LIFETIME, key)]

    def of(self, node_id: str, user: str) -> List[str]:
        """Those that are good now, the oldest first."""
        with self._lock:
            return [key for _, key in self._active(node_id, user)]

    def _active(self, node_id: str, user: str) -> List[Tuple[float, str]]:
        now = self._clock()
        kept = [one for one in self._keys.pop((node_id, user), []) if one[0] > now]
        if kept:
            self._keys[node_id, user] = kept
        return kept


class InstanceConnectApi(JsonApi):
    """``nodes`` are those that there are; None: any id is one."""

    def __init__(
        self, signatures: SignatureCheck, nodes: Optional[LocalNodes], fault: Fault
    ) -> None:
        operations = {"SendSSHPublicKey": self._send}
        super().__init__("ec2-instance-connect", signatures, operations, fault)
        self.keys = PushedKeys()
        self._nodes = nodes

    def _send(self, fields: Fields) -> Fields:
        node_id, user = field(fields, "InstanceId"), field(fields, "InstanceOSUser")
        key = field(fields, "SSHPublicKey").strip()
        if node_id != DEMO_TARGET and not _INSTANCE.match(node_id):
            raise ApiError("InvalidArgsException", "Instance id is invalid")
        if not _USER.match(user):
            raise ApiError("InvalidArgsException", "Instance OS user is invalid")
        if not _LENGTHS[0] <= len(key) <= _LENGTHS[1] or not _KEY.match(key):
            raise ApiError("InvalidArgsException", "SSH public key is invalid")
        self._check_node(node_id)
        self.keys.push(node_id, user, key)
        return {"RequestId": random_id(), "Success": True}

    def _check_node(self, node_id: str) -> None:
        if self._nodes is None:
            return
        node = self._nodes.by_id.get(node_id)
        if node is None or node.is_hybrid:
            raise ApiError("EC2InstanceNotFoundException", "Instance not found", 404)
        if node.state != "running":
            raise ApiError("EC2InstanceStateInvalidException", "Instance is not running")
