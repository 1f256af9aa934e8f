"""Our settings, and whose credentials they lead to.

For what the configuration, the AWS profile and the environment say, nothing is connected to. For
the credentials calls may be made: from where they are, until when they are good, and whose.
"""

import re
import time
from datetime import datetime, timezone
from typing import Callable, Dict, Mapping, Optional, Tuple

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..aws.endpoints import find_region, partition_of
from ..aws.profiles import profile_name, read_profile
from ..config import Settings
from ..errors import CredentialsError, NetworkError, ServiceError, SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from ..units import counted
from .finding import NOTE, OK, PROBLEM, Finding, Findings, from_error

CONFIGURATION, PROFILE, REGION = "configuration", "profile", "region"
CREDENTIALS, IDENTITY = "credentials", "identity"

_SOON = 900.0  # s


class Known(NamedTuple):
    """What the other checks go by. ``region`` is None where none was found."""

    settings: Settings
    profile: Mapping[str, str]
    region: Optional[str]


def check_settings(
    load: Callable[[], Settings], environ: Mapping[str, str]
) -> Tuple[Known, Findings]:
    settings, findings = _configuration(load)
    profile, of_profile = _profile(settings, environ)
    region, of_region = _region(settings, environ, profile)
    return Known(settings, profile, region), findings + of_profile + of_region


def _configuration(load: Callable[[], Settings]) -> Tuple[Settings, Findings]:
    try:
        settings = load()
    except UsageError as error:
        finding = from_error(CONFIGURATION, error)
        remedy = finding.remedy or "correct it; 'ssm-plugin help config' lists what it may say"
        return Settings(), [finding._replace(remedy=remedy)]
    if settings.source is None:
        return settings, [Finding(CONFIGURATION, OK, "no configuration file, and none is needed")]
    targets, jobs = counted(len(settings.targets), "target"), counted(len(settings.jobs), "job")
    text = "%s: %s, %s" % (settings.source, targets, jobs)
    return settings, [Finding(CONFIGURATION, OK, text)]


def _profile(
    settings: Settings, environ: Mapping[str, str]
) -> Tuple[Dict[str, str], Findings]:
    try:
        plain = read_profile(settings.profile, environ).plain()
    except SsmPluginError as error:
        return {}, [from_error(PROFILE, error)]
    name = profile_name(settings.profile, environ)
    return plain, [Finding(PROFILE, OK, "%r" % name if name else "none is named")]


def _region(
    settings: Settings, environ: Mapping[str, str], profile: Mapping[str, str]
) -> Tuple[Optional[str], Findings]:
    try:
        region = find_region(settings.region, environ, profile)
    except UsageError as error:
        text, _, remedy = str(error).partition(": ")
        remedy = remedy or "give --region, or set AWS_REGION"
        return None, [Finding(REGION, PROBLEM, text, remedy)]
    partition = partition_of(region).name
    mark = OK if partition == "aws" else NOTE
    return region, [Finding(REGION, mark, "%s, of the partition %s" % (region, partition))]


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
