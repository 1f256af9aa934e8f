"""Whether a request was signed, and whether the signature is right, as far as keys are known.

Refusals have the codes and the messages of AWS, so that errors in credentials can be tried.
"""

import hashlib
import threading
import time
from collections import Counter
from typing import Dict, Mapping, Optional, Tuple

from ..errors import ServiceError
from ..named_tuple import NamedTuple
from .http import Request

UNSIGNED = "unsigned"
SIGNED = "signed"  # by the look of it: no keys are known to calculate with
VERIFIED = "verified"
WRONG = "wrong"

UNSIGNED_BODY = "UNSIGNED-PAYLOAD"

TOLERANCE = 300.0  # seconds that a signature may be old, or ahead

_MISSING = ("MissingAuthenticationTokenException", "Missing Authentication Token")
_UNKNOWN_KEY = (
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
)
_INCOMPLETE = (
    "IncompleteSignatureException",
    "The request signature does not conform to AWS standards.",
)
_INVALID = "InvalidSignatureException"
_DOES_NOT_MATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


class Judgement(NamedTuple):
    """``verdict`` is one of the above; ``error`` the code and message to refuse with, if any."""

    verdict: str
    error: Optional[Tuple[str, str]] = None


class SignatureCheck:
    """``secret_keys`` by access key; empty: look, but do not calculate.

    A wrong signature is always refused; with ``required`` an unsigned request is, too. Where keys
    are known, a presigned URL is refused: the service gives none out, and cannot check it.
    """

    def __init__(self, secret_keys: Mapping[str, str], required: bool) -> None:
        self._secret_keys = dict(secret_keys)
        self._required = required
        self._lock = threading.Lock()
        self._counts: Dict[str, int] = Counter()

    def check(self, request: Request, service: str) -> Judgement:
        """The verdict is counted. ``service`` as signatures name it."""
        judgement = self._judge(request, service)
        with self._lock:
            self._counts[judgement.verdict] += 1
        return judgement

    def counts(self) -> Dict[str, int]:
        """How many requests had which verdict."""
        with self._lock:
            return dict(self._counts)

    def _judge(self, request: Request, service: str) -> Judgement:
        signed = request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")
        presigned = "X-Amz-Signature=" in request.query
        if not (signed or presigned):
            return Judgement(UNSIGNED, _MISSING if self._required else None)
        if not self._secret_keys:
            return Judgement(SIGNED)
        error = self._refusal(request, service) if signed else _INCOMPLETE
        return Judgement(WRONG if error else VERIFIED, error)

    def _refusal(self, request: Request, service: str) -> Optional[Tuple[str, str]]:
        from ..aws import verify  # only a service that was given keys needs it

        now = time.time()
        try:
            claim = verify.authorization(request.headers)
            secret_key = self._secret_keys.get(claim.access_key)
            if secret_key is None:
                return _UNKNOWN_KEY
            if claim.scope.service != service:
                return _INVALID, "Credential should be scoped to correct service: %r." % service
            verify.verify(
                request.method,
                request.target,
                request.headers,
                _body_hash(request, service),
                secret_key,
                now,
                TOLERANCE,
            )
        except ServiceError as error:
            return _as_aws_says(error.code, request.headers, now)
        return None


def _body_hash(request: Request, service: str) -> str:
    """S3 can be told not to look at the body."""
    if service == "s3" and request.headers.get("x-amz-content-sha256") == UNSIGNED_BODY:
        return UNSIGNED_BODY
    return hashlib.sha256(request.body).hexdigest()


def _as_aws_says(code: str, headers: Mapping[str, str], now: float) -> Tuple[str, str]:
    if code == "SignatureDoesNotMatch":
        return _INVALID, _DOES_NOT_MATCH
    if code == "RequestExpired":
        return _INVALID, _about_time(headers["x-amz-date"], now)
    return _INCOMPLETE


def _about_time(signed_at: str, now: float) -> str:
    earliest, present, latest = map(_timestamp, (now - TOLERANCE, now, now + TOLERANCE))
    minutes = TOLERANCE // 60
    # Timestamps of this form are in the order of time.
    if signed_at < earliest:
        text = "Signature expired: %s is now earlier than %s (%s - %d min.)"
        return text % (signed_at, earliest, present, minutes)
    if signed_at > latest:
        text = "Signature not yet current: %s is still later than %s (%s + %d min.)"
        return text % (signed_at, latest, present, minutes)
    return "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of the date"


def _timestamp(moment: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
