"""The session document: what it asks of a session, and whether its KMS key may be used."""

from typing import Any, List, Mapping, Optional

from ..aws.client import ServiceClient
from ..errors import ServiceError, SsmPluginError
from ..relay.choice import LOGS, PREFERENCES, document_inputs, is_missing
from .finding import OK, Finding, Findings, from_error

DOCUMENT, KMS = "document", "KMS key"

_DRY_RUN = "DryRunOperationException"
_DATA_KEY_SIZE = 64


def check_document(
    name: Optional[str], target: str, service: ServiceClient
) -> Findings:
    """``name``: None for the account's preferences. With a KMS key, also whether it may be used."""
    try:
        inputs = document_inputs(service, name or PREFERENCES)
    except SsmPluginError as error:
        if name is None and is_missing(error):
            return [Finding(DOCUMENT, OK, "the account has no preferences: the defaults count")]
        return [from_error(DOCUMENT, error)]
    findings = [Finding(DOCUMENT, OK, "%s: %s" % (name or PREFERENCES, _said(inputs)))]
    key_id = _text(inputs, "kmsKeyId")
    return findings + (check_key(key_id, target, service) if key_id else [])


def check_key(key_id: str, target: str, service: ServiceClient) -> Findings:
    """KMS is asked whether it would make a data key, and makes none."""
    request = {
        "KeyId": key_id,
        "NumberOfBytes": _DATA_KEY_SIZE,
        "EncryptionContext": {"aws:ssm:SessionId": "doctor", "aws:ssm:TargetId": target},
        "DryRun": True,
    }
    try:
        service.call("kms:GenerateDataKey", request, key_id)
    except ServiceError as error:
        if error.code != _DRY_RUN:
            return [from_error(KMS, error)]
    except SsmPluginError as error:
        return [from_error(KMS, error)]
    return [Finding(KMS, OK, "%s may be used" % key_id)]


def _said(inputs: Mapping[str, Any]) -> str:
    said: List[str] = []
    key_id = _text(inputs, "kmsKeyId")
    said.append("encrypted with the KMS key %s" % key_id if key_id else "no KMS key")
    logs = [
        what + " " + _text(inputs, name) for name, what in LOGS.items() if _text(inputs, name)
    ]
    said.append("logged to %s" % " and ".join(logs) if logs else "not logged")
    if str(inputs.get("runAsEnabled")).lower() == "true":
        said.append("run as %s" % (_text(inputs, "runAsDefaultUser") or "the user of a tag"))
    idle = _text(inputs, "idleSessionTimeout")
    said.append("ends when idle for %s min" % (idle or "20"))
    longest = _text(inputs, "maxSessionDuration")
    if longest:
        said.append("ends after %s min" % longest)
    return ", ".join(said)


def _text(inputs: Mapping[str, Any], name: str) -> str:
    value = inputs.get(name)
    return value[:2000] if isinstance(value, str) else ""
