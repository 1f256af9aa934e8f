"""What the configuration, the AWS profile and the environment say; nothing is connected to."""

from typing import Callable, Dict, Mapping, Optional, Tuple

from ..aws.endpoints import find_region, partition_of
from ..aws.profiles import profile_name, read_profile
from ..config import Settings
from ..errors import SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from .finding import NOTE, OK, PROBLEM, Finding, Findings, from_error

CONFIGURATION, PROFILE, REGION = "configuration", "profile", "region"


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
    text = "%s: %d targets, %d jobs" % (
        settings.source, len(settings.targets), len(settings.jobs)
    )
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
