"""What a session uses of the world around it: credentials, the service, the network, streams."""

import os
from typing import TYPE_CHECKING, Mapping, Optional

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..aws.endpoints import find_region
from ..aws.profiles import read_profile
from ..config import NetworkSettings, Settings
from ..named_tuple import NamedTuple
from .streams import Streams
from .waiting import Waiting

if TYPE_CHECKING:
    from ..net.local_end import LocalEnd


class Environment(NamedTuple):
    """Whoever makes a session decides what it is to use.

    Attributes:
        service: without it, connections are not signed, and the session can be neither resumed nor
            terminated at the service
        network: limits, proxies, certificates
        streams: where input comes from and output goes
        aside: notices go to stderr
        silent: notices are dropped: a library writes to neither stream
        tells_end: the end is said in a notice; else the owner says it
        environ: the environment variables that are looked at
        profile_ca_bundle: the CA file that the AWS profile names
        listener: the local end of a port session, where it was bound before the session started
        port_signal_status: the exit status of a port session that a signal ends; None is 128 and
            the signal's number
        may_listen: the node may choose a port session, which listens here, even if the caller did
            not say that a port session was asked for
        waiting: for a node that is not connected yet; None: that is an error at once
        start_line_first: no stream can be on stdout, so the start line need not wait for the node
    """

    service: Optional[ServiceClient] = None
    network: NetworkSettings = NetworkSettings()
    streams: Streams = Streams()
    aside: bool = False
    silent: bool = False
    tells_end: bool = True
    environ: Mapping[str, str] = os.environ
    profile_ca_bundle: Optional[str] = None
    listener: "Optional[LocalEnd]" = None
    port_signal_status: Optional[int] = None
    may_listen: bool = False
    start_line_first: bool = False
    waiting: Optional[Waiting] = None


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
        given_endpoint(settings, environ),
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


def given_endpoint(settings: Settings, environ: Mapping[str, str]) -> Optional[str]:
    """The SSM endpoint from the command line, the AWS CLI or our file. One that comes from the
    environment is left out: the client looks there itself, and knows when to ignore it."""
    names = ("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL")
    in_environment = next((environ[name] for name in names if environ.get(name)), None)
    return None if settings.endpoint_url == in_environment else settings.endpoint_url
