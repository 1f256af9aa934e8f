"""Credentials of an EC2 instance's role, from the instance metadata service, version 2.

A PUT fetches a token for the session, a GET with it the name of the role, another the keys.
Version 1, which has no token, is not spoken: anybody who can make us fetch a URL could use it.
"""

import json
import re
from functools import partial
from typing import Callable, Mapping, Optional
from urllib.parse import quote

from ..errors import CredentialsError, NetworkError, UsageError
from ..net.address import parse, path_of
from ..net.connect import open_socket
from ..net.exchange import Response, exchange
from ..net.route import Route
from ..net.timing import Deadline
from .keys import Credentials, from_document
from .profiles import Profile

_LIMIT = 65536  # bytes; real answers have about 2000


def request(
    method: str, url: str, what: str, headers: Mapping[str, str], seconds: float, deadline: Deadline
) -> Response:
    """One request, within ``seconds`` and ``deadline``. NetworkError, or UsageError for the URL."""
    address = parse(url, ("https", "http"), what)
    own = Deadline(min(seconds, deadline.remaining(what)), "asking %s" % address.authority)
    route = Route(address.host, address.port, address.tls, address.host)
    sock = open_socket(route, own.remaining(what))
    try:
        return exchange(sock, method, path_of(url), address, headers, b"", own, _LIMIT)
    finally:
        sock.close()


def document(response: Response, what: str) -> object:
    """The JSON value of an answer. The answer itself is never shown: it holds keys."""
    try:
        return json.loads(response.body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise CredentialsError("the answer of %s is not JSON" % what) from None


_ENDPOINTS = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_ROLES = "/latest/meta-data/iam/security-credentials/"
# Both are 1 if nothing is set: elsewhere than on EC2 the address swallows packets.
_SECONDS, _ATTEMPTS = "metadata_service_timeout", "metadata_service_num_attempts"
_WHAT = "the instance metadata service"


def instance_credentials(
    profile: Profile, environ: Mapping[str, str], deadline: Deadline
) -> Optional[Credentials]:
    """None if switched off, if there is no such service here, or if the instance has no role."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    seconds, attempts = (_number(key, profile, environ) for key in (_SECONDS, _ATTEMPTS))
    try:
        service = endpoint(profile, environ)
        return _from(partial(_ask, service, seconds, attempts, deadline))
    except UsageError as error:
        raise CredentialsError(
            "%s; check AWS_EC2_METADATA_SERVICE_ENDPOINT and the AWS profile" % error
        ) from error
    except NetworkError:  # the usual case: this is no EC2 instance
        return None


def endpoint(profile: Profile, environ: Mapping[str, str]) -> str:
    """The URL of the service: as configured, else its IPv4 or IPv6 address."""
    url = _setting("ec2_metadata_service_endpoint", profile, environ)
    if url:
        return url.rstrip("/")
    mode = (_setting("ec2_metadata_service_endpoint_mode", profile, environ) or "IPv4").lower()
    if mode not in _ENDPOINTS:
        raise CredentialsError("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6")
    return _ENDPOINTS[mode]


def _setting(key: str, profile: Profile, environ: Mapping[str, str]) -> Optional[str]:
    return environ.get("AWS_%s" % key.upper()) or profile.text(key)


def _number(key: str, profile: Profile, environ: Mapping[str, str]) -> int:
    text = _setting(key, profile, environ) or "1"
    if not re.match(r"[1-9][0-9]{0,3}\Z", text):
        raise CredentialsError("AWS_%s must be a whole number, 1 or more" % key.upper())
    return int(text)


def _ask(
    service: str,
    seconds: int,
    attempts: int,
    deadline: Deadline,
    method: str,
    path: str,
    headers: Mapping[str, str],
) -> Response:
    """The first good answer, else what the last attempt brings."""
    for left in reversed(range(attempts)):
        try:
            response = request(method, service + path, _WHAT, headers, seconds, deadline)
            if response.status == 200:  # an instance that has just started may lack its role yet
                break
        except NetworkError:
            if not left:
                raise
    return response


def _from(ask: Callable[[str, str, Mapping[str, str]], Response]) -> Optional[Credentials]:
    lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}
    token = _text(ask("PUT", "/latest/api/token", lifetime))
    if not token:
        return None
    headers = {"x-aws-ec2-metadata-token": token}
    role = _text(ask("GET", _ROLES, headers))
    if not role:
        return None
    response = ask("GET", _ROLES + quote(role.splitlines()[0].strip(), safe=""), headers)
    if response.status != 200:
        raise CredentialsError(
            "%s gave no keys of the role: HTTP status %d" % (_WHAT, response.status)
        )
    return _keys(document(response, _WHAT))


def _keys(body: object) -> Credentials:
    # A role that EC2 may not assume is reported with HTTP status 200.
    code = body.get("Code", "Success") if isinstance(body, dict) else "Success"
    if code != "Success":
        raise CredentialsError(
            "%s gave no keys of the role: %s; check the role's trust policy" % (_WHAT, _word(code))
        )
    return from_document(_WHAT, body, "Token")


def _word(code: object) -> str:
    """The service's code, if it has the form of one."""
    known = isinstance(code, str) and re.match(r"[A-Za-z0-9_.-]{1,100}\Z", code)
    return repr(code) if known else "its code is malformed"


def _text(response: Response) -> str:
    """The body of a good answer; empty for any other answer."""
    return response.body.decode("latin-1").strip() if response.status == 200 else ""
