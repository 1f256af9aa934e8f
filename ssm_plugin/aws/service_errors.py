"""What the service's error answers mean, in one line each, and which of them are worth a retry."""

import json
import re
from typing import TYPE_CHECKING, Dict, Optional

from ..errors import NoCredentialsError, ServiceError, UsageError
from ..named_tuple import NamedTuple

if TYPE_CHECKING:
    from ..net.exchange import Response

_THROTTLED = frozenset(
    (
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    )
)
# The service waited in vain for the rest of the request.
_INCOMPLETE = frozenset(("RequestTimeout", "RequestTimeoutException"))
_UNKNOWN_KEY = frozenset(
    ("AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException")
)
# The last one is EC2's, which says the same of a signature that is too old.
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired"))
_LOGIN_ADVICE = "the credentials have expired: log in again, or renew them"
_CLOCK = frozenset(
    (
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)
_DENIED = frozenset(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"))
_SKEW_LIMIT = 300.0  # s, beyond which AWS refuses a signature

_NO_SUCH_NODE = ("TargetNotConnected", "InvalidTarget", "InvalidInstanceId")
TASK_ROLE_ADVICE = (
    "check that the task's role allows ssmmessages:CreateControlChannel, CreateDataChannel, "
    "OpenControlChannel and OpenDataChannel, and that the task reaches the service ssmmessages"
)
_ADVICE = {
    "TargetNotConnected": (
        "check that the node is running, that its SSM Agent is online, that its role allows "
        "Session Manager, and that the region and the account are right"
    ),
    "TargetNotConnectedException": TASK_ROLE_ADVICE,
    "ClusterNotFoundException": "check the name of the cluster, the region and the account",
    "ServiceNotFoundException": "check the name of the service, and its cluster",
    "InvalidTarget": "check the id of the target and the region",
    "InvalidInstanceId": "check the id of the target and the region",
    "InvalidDocument": "check the name of the session document",
    "InvalidParameters": "check the parameters that the session document takes",
    "DoesNotExistException": "the session has ended or is of another region or account",
    "OptInRequired": "the account is not subscribed to the service in this region",
    "NoSuchBucket": "check the name of the bucket",
    "NotFoundException": "the KMS key does not exist in this region: check the session preferences",
    "DisabledException": "the KMS key is disabled: enable it, or name another in the preferences",
    "KMSInvalidStateException": "the KMS key is being deleted or not ready: check its state",
    "KeyUnavailableException": "the KMS key cannot be used for the moment: try again",
    "EC2InstanceNotFoundException": (
        "check the id of the instance, the region and the account"
    ),
    "EC2InstanceStateInvalidException": "the instance must be running: start it, or wait for it",
    "InvalidKeyUsageException": (
        "the KMS key must be a symmetric one for encryption: name another in the preferences"
    ),
}


class Operation(NamedTuple):
    """``action`` as IAM calls it (``ssm:StartSession``), ``subject`` the target, session or key."""

    action: str
    subject: str

    @property
    def service(self) -> str:
        return self.action.partition(":")[0]

    @property
    def name(self) -> str:
        """As the service itself calls it."""
        return self.action.partition(":")[2]

    def __str__(self) -> str:
        return "%s on %s" % (self.action, self.subject) if self.subject else self.action


def service_error(operation: Operation, response: "Response", now: float) -> ServiceError:
    """The error that an answer other than 2xx stands for. ``now`` is this machine's time."""
    body = _json_object(response.body) or _xml_error(response.body)
    code = _code(response, body)
    said = _said(code, body)
    reason = "%s: %s" % (code, said) if said else code
    text = "%s failed: %s (status %d)" % (operation, reason, response.status)
    advice = _advice(operation, code, response, now)
    return ServiceError("%s; %s" % (text, advice) if advice else text, code, response.status)


def is_throttling_or_fault(error: ServiceError) -> bool:
    """Whether the service did not do it and may well do it a moment later."""
    is_fault = error.status in (500, 502, 503, 504)
    return is_throttled(error) or is_fault or error.code in _INCOMPLETE


def is_throttled(error: BaseException) -> bool:
    """Whether the service did nothing, as there was too much to do."""
    return isinstance(error, ServiceError) and (error.code in _THROTTLED or error.status == 429)


def is_refusal(error: ServiceError) -> bool:
    """Whether the service certainly did nothing. Faults, and answers of whatever stands in front of
    it, leave that open: it may have done what was asked before something failed."""
    status = error.status or 0
    return error.code in _THROTTLED or (300 <= status < 500 and status != 408)


def is_expired(error: ServiceError) -> bool:
    return error.code in _EXPIRED


def may_be_stale(error: ServiceError) -> bool:
    """Whether other credentials may be found now: these have expired, or their key is gone."""
    return error.code in _EXPIRED or error.code in _UNKNOWN_KEY


def is_denied(error: ServiceError) -> bool:
    """Whether the credentials lack the permission."""
    return error.code in _DENIED


def clock_skew(response: "Response", now: float) -> Optional[float]:
    """Seconds by which this machine's clock is ahead of the service's, None if unknown."""
    from datetime import timezone  # take long to load
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
    except (TypeError, ValueError, IndexError):
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=timezone.utc)
    return now - theirs.timestamp()


def _json_object(body: bytes) -> Dict[str, object]:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _xml_error(body: bytes) -> Dict[str, object]:
    """The error in an XML answer. In EC2's it is one element deeper than in those of other Query
    APIs; in S3's it is the root."""
    if b"<Error>" not in body:
        return {}
    from .xml_answer import XmlError, parse_xml

    try:
        root = parse_xml(body)
    except XmlError:
        return {}
    error = root.find("Errors", "Error") or root.find("Error")
    error = root if root.name == "Error" else error
    return {"code": error.value("Code"), "message": error.value("Message")} if error else {}


def _code(response: "Response", body: Dict[str, object]) -> str:
    # com.amazonaws.ssm#Code in the body, Code:http://… in the header
    given = response.headers.get("x-amzn-errortype") or body.get("__type") or body.get("code")
    text = str(given or "").split("#")[-1].split(":")[0].strip()
    return text if re.match(r"[A-Za-z0-9_.-]{1,80}\Z", text) else "HTTP%s" % response.status


def _said(code: str, body: Dict[str, object]) -> str:
    text = body.get("message") or body.get("Message") or ""
    if not isinstance(text, str):
        return ""
    if code in _CLOCK:
        # What follows repeats the signed headers, the session token among them.
        text = re.split(r"(?<=\.)\s", text, maxsplit=1)[0].split("\n")[0]
    # EC2 adds a text that only the account's owner can decode, longer than all else.
    text = text.partition("Encoded authorization failure message")[0]
    text = re.sub(r"[^ -~\u00a0-\uffff]+", " ", text)
    return " ".join(text.split())[:400].rstrip(".")


def _advice(operation: Operation, code: str, response: "Response", now: float) -> str:
    if code in _CLOCK:
        return _clock_advice(code, clock_skew(response, now))
    if code in _EXPIRED:
        return _LOGIN_ADVICE
    if code in _THROTTLED:
        return "too many requests at once: try again in a moment"
    if code in _DENIED:
        return _permission_advice(operation)
    if code in _UNKNOWN_KEY:
        return (
            "the access key is unknown: check the profile, the partition, and that temporary "
            "credentials come with their session token"
        )
    if code in _ADVICE:
        return _ADVICE[code] + _no_id_hint(code, operation.subject)
    if response.status >= 500 and operation.action == "ssm:StartSession":
        return "the service has a fault, and may have made a session: try again in a moment"
    if response.status >= 500:
        return "the service has a fault: try again in a moment"
    if response.status == 403:
        return _permission_advice(operation)
    return ""


def _no_id_hint(code: str, subject: str) -> str:
    """What begins like an id is taken for one; a name may begin so, too."""
    if code not in _NO_SUCH_NODE or not re.match(r"m?i-(?![0-9a-f]+\Z)", subject):
        return ""
    return "; if %s is a name, write name:%s" % (subject, subject)


def _permission_advice(operation: Operation) -> str:
    also = ""
    if operation.action == "ssm:StartSession":
        also = " and on the session document"
    elif operation.action.startswith("kms:"):
        also = ", in the key's policy too"
    on = " on " + operation.subject if operation.subject else ""
    return "the credentials need the permission %s%s%s" % (operation.action, on, also)


def _clock_advice(code: str, skew: Optional[float]) -> str:
    if skew is None or abs(skew) <= _SKEW_LIMIT:
        if code in _EXPIRED:
            return _LOGIN_ADVICE
        return "check the secret access key, and the clock of this machine"
    return "%s: set it right" % skew_text(skew)


def skew_text(skew: float) -> str:
    side = "ahead of" if skew > 0 else "behind"
    return "the clock of this machine is %s %s the service's" % (_span(abs(skew)), side)


def _span(seconds: float) -> str:
    if seconds < 120:
        return "%.0f seconds" % seconds
    if seconds < 7200:
        return "%.0f minutes" % (seconds / 60)
    return "%.0f hours" % (seconds / 3600) if seconds < 172800 else "%.0f days" % (seconds / 86400)


# What the service says of a session that is over, or not ours to resume. Throttling, faults and an
# expired token (which the next attempt finds anew) may heal.
_FINAL_CODES = (
    "AccessDenied",
    "AccessDeniedException",
    "DoesNotExistException",
    "InvalidSessionId",
    "TargetNotConnected",
    "UnrecognizedClientException",
    "ValidationException",
)


def may_heal(error: Optional[BaseException]) -> bool:
    """Whether another attempt may succeed. A source of credentials that fails for the moment, or
    whose login has expired, may work again; where there is none, none will come."""
    if isinstance(error, ServiceError):
        return error.code.split(":")[0] not in _FINAL_CODES
    return not isinstance(error, (NoCredentialsError, UsageError))
