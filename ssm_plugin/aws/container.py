"""Credentials of a container: the task role of ECS, the pod identity of EKS.

The agent beside the container names the place in the environment: a path at 169.254.170.2
(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI), or a URL (…_FULL_URI), which may be plain http only to
this machine and to the link-local addresses of ECS and EKS, as credentials come over it.
"""

import os
from threading import Event
from typing import Dict, Mapping, Optional
from urllib.parse import urlsplit

from ..errors import CredentialsError, NetworkError, UsageError
from ..files import MIB, read_regular
from ..net.address import is_loopback
from ..net.timing import Deadline
from .keys import Credentials, from_document
from .metadata import document, request

ECS_ADDRESS = "http://169.254.170.2"

_RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_PLAIN_HTTP_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
_ATTEMPTS = 3
_SECONDS = 2.0  # an attempt
_PAUSE = 0.5  # s before the next one
_WHAT = "the container credentials endpoint"


def container_credentials(
    environ: Mapping[str, str], deadline: Deadline, ecs_address: str = ECS_ADDRESS
) -> Optional[Credentials]:
    """None outside of a container that has a role. CredentialsError if its endpoint fails."""
    url = _url(environ, ecs_address)
    if url is None:
        return None
    headers = {"Accept": "application/json"}
    headers.update(_authorization(environ))
    body = _fetch(url, headers, deadline)
    return from_document(_WHAT, body, "Token")


def _url(environ: Mapping[str, str], ecs_address: str) -> Optional[str]:
    path = environ.get(_RELATIVE)
    if path:
        if not path.startswith("/"):
            raise CredentialsError("%s must be a path that begins with '/'" % _RELATIVE)
        return ecs_address + path
    url = environ.get(_FULL)
    if url and not _allowed(url):
        raise CredentialsError(
            "%s must be an https URL, or an http URL to a loopback address or one of %s"
            % (_FULL, ", ".join(_PLAIN_HTTP_HOSTS))
        )
    return url or None


def _allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "http":
        return host in _PLAIN_HTTP_HOSTS or is_loopback(host)
    return parts.scheme == "https"


def _authorization(environ: Mapping[str, str]) -> Dict[str, str]:
    path = environ.get(_TOKEN_FILE)
    token = _file(path) if path else environ.get(_TOKEN)
    if not token:
        return {}
    if "\n" in token or "\r" in token:
        raise CredentialsError(
            "the token from %s holds a line break: "
            "it cannot be sent in a header"
            % (_TOKEN_FILE if path else _TOKEN)
        )
    return {"Authorization": token}


def _file(path: str) -> str:
    path = os.path.expanduser(path)
    try:
        return read_regular(path, MIB).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise CredentialsError("cannot read %s (%s): %s" % (_TOKEN_FILE, path, why)) from error


def _fetch(url: str, headers: Mapping[str, str], deadline: Deadline) -> object:
    why = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            Event().wait(min(_PAUSE, deadline.remaining(_WHAT)))
        deadline.remaining(_WHAT)
        try:
            response = request("GET", url, _WHAT, headers, _SECONDS, deadline)
        except UsageError as error:
            raise CredentialsError("%s; check %s and %s" % (error, _RELATIVE, _FULL)) from error
        except NetworkError as error:
            why = str(error)
            continue
        if response.status == 200:
            return document(response, _WHAT)
        why = "HTTP status %s" % response.status
        if response.status < 500 and response.status != 429:
            break
    raise CredentialsError(
        "%s gave no credentials: %s; check the role of the task or pod" % (_WHAT, why)
    )
