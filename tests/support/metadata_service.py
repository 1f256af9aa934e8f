"""The services that hand credentials to programs on EC2 and in containers, on 127.0.0.1.

Instance metadata speaks version 2 only: a token first, then the role, then its keys. The container
endpoint gives keys at ``CONTAINER_PATH`` to whoever shows its authorization token.
"""

import hmac
import json
import queue
import secrets
import time
from typing import Any, Dict, List, NamedTuple, Optional

from ssm_plugin.loopback.http import HttpResponse, HttpServer, Request

TOKEN_PATH = "/latest/api/token"
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
CONTAINER_PATH = "/v2/credentials"

_CLOSE_TIMEOUT = 5.0


class RoleKeys(NamedTuple):
    """What the services give out. ``lifetime`` is in seconds from the moment of the answer."""

    access_key: str
    secret_key: str
    token: str
    lifetime: float = 3600.0

    def __repr__(self) -> str:
        return "RoleKeys(%s, secrets hidden)" % self.access_key


class MetadataService:
    """``role`` None: an instance without one. ``authorization`` is the container's token."""

    def __init__(
        self, keys: RoleKeys, role: Optional[str] = "loopback", authorization: str = ""
    ) -> None:
        self.keys = keys
        self.failures: "queue.Queue[Any]" = queue.Queue()
        self._role = role
        self._authorization = authorization
        self._tokens: List[str] = []
        self._refusal: Optional[int] = None
        self._paths: List[str] = []
        self._server = HttpServer("metadata", self._answer, self.failures)

    def __enter__(self) -> "MetadataService":
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close(_CLOSE_TIMEOUT)

    @property
    def url(self) -> str:
        """For ``AWS_EC2_METADATA_SERVICE_ENDPOINT``."""
        return "http://127.0.0.1:%d" % self._server.port

    @property
    def container_url(self) -> str:
        """For ``AWS_CONTAINER_CREDENTIALS_FULL_URI``."""
        return self.url + CONTAINER_PATH

    def refuse(self, status: Optional[int]) -> None:
        """Answer everything with that status from now on; None: no longer."""
        self._refusal = status

    def paths(self) -> List[str]:
        """What was asked for, the oldest first."""
        return list(self._paths)

    def _answer(self, request: Request) -> HttpResponse:
        self._paths.append(request.path)
        if self._refusal is not None:
            return HttpResponse(self._refusal)
        if request.path == TOKEN_PATH:
            return self._new_token(request)
        if request.path == CONTAINER_PATH:
            return self._container_keys(request)
        if request.path.startswith(ROLES_PATH):
            return self._role_keys(request, request.path[len(ROLES_PATH):])
        return HttpResponse(404)

    def _new_token(self, request: Request) -> HttpResponse:
        lifetime = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if request.method != "PUT" or not lifetime.isdigit():
            return HttpResponse(400)
        self._tokens.append(secrets.token_urlsafe(16))
        return HttpResponse(200, self._tokens[-1].encode("ascii"))

    def _role_keys(self, request: Request, name: str) -> HttpResponse:
        if request.headers.get("x-aws-ec2-metadata-token") not in self._tokens:
            return HttpResponse(401)
        if self._role is None or name not in ("", self._role):
            return HttpResponse(404)
        if not name:
            return HttpResponse(200, self._role.encode("utf-8"))
        return _document(dict(self._fields(), Code="Success", Type="AWS-HMAC"))

    def _container_keys(self, request: Request) -> HttpResponse:
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(shown.encode(), self._authorization.encode()):
            return HttpResponse(401)
        return _document(self._fields())

    def _fields(self) -> Dict[str, str]:
        expiration = time.gmtime(time.time() + self.keys.lifetime)
        return {
            "AccessKeyId": self.keys.access_key,
            "SecretAccessKey": self.keys.secret_key,
            "Token": self.keys.token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", expiration),
        }


def _document(fields: Dict[str, str]) -> HttpResponse:
    headers = (("Content-Type", "application/json"),)
    return HttpResponse(200, json.dumps(fields).encode("utf-8"), headers)
