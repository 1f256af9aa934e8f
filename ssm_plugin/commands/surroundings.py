"""From settings to what a session needs: credentials, the service, the network."""

import os
from typing import Mapping, Optional

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..aws.endpoints import find_region
from ..aws.profiles import read_profile
from ..config import Settings
from ..session.environment import Environment
from ..session.streams import Streams


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
        settings.endpoint_url,
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
