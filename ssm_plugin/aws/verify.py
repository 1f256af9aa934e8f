"""Checks the signature of a received request: the service's side of Signature Version 4.

ServiceError with the codes that AWS gives: MissingAuthenticationToken, IncompleteSignature,
SignatureDoesNotMatch, RequestExpired, all HTTP 403.
"""

import calendar
import hmac
import re
import time
from typing import Tuple

from ..errors import ServiceError
from ..named_tuple import NamedTuple
from .sigv4 import (
    ALGORITHM,
    TIME_FORMAT,
    Headers,
    Scope,
    canonical_headers,
    canonical_request,
    encode_pairs,
    signature,
)

_AUTHORIZATION = re.compile(
    ALGORITHM + r" +Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request"
    r" *, *SignedHeaders=([^,\s]+) *, *Signature=([0-9a-f]{64})\Z"
)
# A request that names one of these without signing it could be replayed with another.
_MUST_BE_SIGNED = ("host", "x-amz-date")
_IF_PRESENT = ("x-amz-security-token",)


class Authorization(NamedTuple):
    """What an Authorization header says. ``repr`` leaves the signature out."""

    access_key: str
    scope: Scope
    signed_headers: Tuple[str, ...]
    signature: str

    def __repr__(self) -> str:
        return "Authorization(%s, %s)" % (self.access_key, self.scope)


def authorization(headers: Headers) -> Authorization:
    """Who claims to have signed, and for what; nothing is checked yet."""
    value = canonical_headers(headers).get("authorization")
    if not value:
        raise _refusal("MissingAuthenticationToken", "the request has no Authorization header")
    match = _AUTHORIZATION.match(value)
    if match is None:
        raise _refusal("IncompleteSignature", "the Authorization header cannot be read")
    access_key, date, region, service, names, digest = match.groups()
    return Authorization(access_key, Scope(date, region, service), tuple(names.split(";")), digest)


def verify(
    method: str,
    target: str,
    headers: Headers,
    body_hash: str,
    secret_key: str,
    now: float,
    tolerance: float = 300.0,
) -> None:
    """Raises ServiceError unless the request was signed with ``secret_key`` about now.

    ``target`` is path and query as received, ``body_hash`` the body's SHA-256 in hex, ``now``
    in seconds since the epoch, ``tolerance`` in seconds either way. Compare region and service
    with ``authorization``.
    """
    claim = authorization(headers)
    received = canonical_headers(headers)
    needed = _MUST_BE_SIGNED + tuple(name for name in _IF_PRESENT if name in received)
    unsigned = [name for name in needed if name not in claim.signed_headers]
    absent = [name for name in claim.signed_headers if name not in received]
    if unsigned or absent:
        names = ", ".join(unsigned + absent)
        raise _refusal("IncompleteSignature", "headers unsigned or signed but absent: %s" % names)
    timestamp = received["x-amz-date"]
    _check_time(timestamp, claim.scope, now, tolerance)
    path, _, query = target.partition("?")
    signed = {name: received[name] for name in claim.signed_headers}
    service = claim.scope.service
    request = canonical_request(method, path, encode_pairs(query), signed, body_hash, service)
    expected = signature(secret_key, claim.scope, timestamp, request)
    if not hmac.compare_digest(expected, claim.signature):
        raise _refusal(
            "SignatureDoesNotMatch",
            "the signature does not match the request: check the secret key and the signed headers",
        )


def _check_time(timestamp: str, scope: Scope, now: float, tolerance: float) -> None:
    try:
        signed_at = calendar.timegm(time.strptime(timestamp, TIME_FORMAT))
    except ValueError as error:
        raise _refusal("IncompleteSignature", "X-Amz-Date is not a time") from error
    age = now - signed_at
    if scope.date != timestamp[:8] or abs(age) > tolerance:
        raise _refusal(
            "RequestExpired", "the request was signed %+.0f s ago: check the clock" % age
        )


def _refusal(code: str, why: str) -> ServiceError:
    return ServiceError("the signature was refused: %s" % why, code, 403)
