"""From settings to what a session needs: credentials, the service, the network."""

import os
from typing import Mapping, Optional

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..aws.endpoints import find_region
from ..aws.profiles import read_profile
from ..config import Settings
from .environment import Environment
from .streams import Streams


def make_environment(
    settings: Settings,
    streams: Optional[Streams] = None,
    aside: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Environment:
    """The environment of a session in the settings' profile and region."""
    profile = read_profile(settings.profile, environ).plain()
    region = find_region(settings.region, environ, profile)
    service = ServiceClient(
        CredentialProvider(settings.profile, environ, region=region),
        region,
        _given_endpoint(settings, environ),
        settings.network,
        environ,
        profile,
    )
    return Environment(
        service,
        settings.network,
        streams or Streams(),
        aside or settings.quiet,
        environ=environ,
        profile_ca_bundle=profile.get("ca_bundle"),
    )


def _given_endpoint(settings: Settings, environ: Mapping[str, str]) -> Optional[str]:
    """The SSM endpoint from the command line, the AWS CLI or our file. One that only stands in the
    environment is found there again by the client, which knows when it is to be ignored."""
    names = ("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL")
    in_environment = next((environ[name] for name in names if environ.get(name)), None)
    return None if settings.endpoint_url == in_environment else settings.endpoint_url
