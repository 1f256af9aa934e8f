"""The credentials: from where they are, until when they are good, and whose they are."""

import re
import time
from datetime import datetime, timezone

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..errors import CredentialsError, NetworkError, ServiceError
from .finding import NOTE, OK, Finding, Findings, from_error

CREDENTIALS, IDENTITY = "credentials", "identity"

_SOON = 900.0  # s


def check_credentials(provider: CredentialProvider) -> Findings:
    try:
        found = provider.resolve()
    except CredentialsError as error:
        finding = from_error(CREDENTIALS, error)
        if not finding.remedy:
            text, _, remedy = finding.text.rpartition(": ")
            finding = finding._replace(text=text or remedy, remedy=remedy if text else "")
        return [finding]
    kind = "temporary" if found.token else "long-term"
    text = "%s...%s (%s), from the %s" % (
        found.access_key[:4], found.access_key[-4:], kind, provider.found_in
    )
    if found.expires_at is None:
        return [Finding(CREDENTIALS, OK, text)]
    left = found.expires_at - time.time()
    until = datetime.fromtimestamp(found.expires_at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    text += ", until %s" % until
    if left > _SOON:
        return [Finding(CREDENTIALS, OK, text)]
    return [Finding(CREDENTIALS, NOTE, "%s, in %d min" % (text, left / 60), "renew them soon")]


def check_identity(service: ServiceClient) -> Findings:
    """Nothing but the signature is judged there: no permission is needed."""
    try:
        answer = service.query("sts:GetCallerIdentity", {})
    except ServiceError as error:
        finding = from_error(IDENTITY, error)
        return [finding._replace(mark=NOTE) if finding.denied else finding]
    except NetworkError as error:
        # A private network may have no way to STS, and no session needs one.
        return [from_error(IDENTITY, error, NOTE)]
    arn = answer.value("GetCallerIdentityResult", "Arn")
    account = answer.value("GetCallerIdentityResult", "Account")
    if not re.match(r"arn:[!-~]{1,2000}\Z", arn):
        return [Finding(IDENTITY, NOTE, "the answer of sts:GetCallerIdentity names nobody")]
    return [Finding(IDENTITY, OK, "%s, account %s" % (arn, account))]
