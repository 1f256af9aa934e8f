"""Whether a request was signed, and whether the signature is right, as far as keys are known."""

import hashlib
import threading
from collections import Counter
from datetime import datetime, timezone
from typing import Dict, Mapping, Optional, Tuple

from ..errors import ServiceError
from .http import Request

UNSIGNED = "unsigned"
SIGNED = "signed"  # by the look of it: presigned, or no keys are known to calculate with
VERIFIED = "verified"
WRONG = "wrong"

_REFUSALS = {
    UNSIGNED: ("MissingAuthenticationTokenException", "Missing Authentication Token"),
    WRONG: ("InvalidSignatureException", "the signature does not match the request"),
}


class SignatureCheck:
    """``secret_keys`` by access key; empty: look, but do not calculate.

    With ``required`` an unsigned request is refused; a wrong signature always is.
    """

    def __init__(self, secret_keys: Mapping[str, str], required: bool) -> None:
        self._secret_keys = dict(secret_keys)
        self._required = required
        self._lock = threading.Lock()
        self._counts: Dict[str, int] = Counter()

    def check(self, request: Request, service: str) -> str:
        """One of the verdicts above, which is counted. ``service`` as signatures name it."""
        verdict = self._judge(request, service)
        with self._lock:
            self._counts[verdict] += 1
        return verdict

    def refusal(self, verdict: str) -> Optional[Tuple[str, str]]:
        """The error code and message with which to refuse such a request, if it is refused."""
        if verdict == UNSIGNED and not self._required:
            return None
        return _REFUSALS.get(verdict)

    def counts(self) -> Dict[str, int]:
        """How many requests had which verdict."""
        with self._lock:
            return dict(self._counts)

    def _judge(self, request: Request, service: str) -> str:
        if "X-Amz-Signature=" in request.query:
            return SIGNED
        if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            return UNSIGNED
        if not self._secret_keys:
            return SIGNED
        return VERIFIED if self._verifies(request, service) else WRONG

    def _verifies(self, request: Request, service: str) -> bool:
        from ..aws import verify  # only a service that was given keys needs it

        try:
            claim = verify.authorization(request.headers)
            secret_key = self._secret_keys.get(claim.access_key)
            if secret_key is None or claim.scope.service != service:
                return False
            verify.verify(
                request.method,
                request.target,
                request.headers,
                hashlib.sha256(request.body).hexdigest(),
                secret_key,
                datetime.now(timezone.utc),
            )
        except ServiceError:
            return False
        return True
