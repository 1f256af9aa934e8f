"""How to reach the host of a URL: address, proxy, TLS name, CA bundle. Nothing is opened here."""

import os
from typing import Mapping, Optional

from ..config import NetworkSettings
from ..errors import UsageError
from ..named_tuple import NamedTuple
from .address import Address, join, parse, split_host
from .proxy import Proxy, choose_proxy


class Route(NamedTuple):
    """``host`` and ``port`` are dialled; ``server_name`` is what the certificate must be for."""

    host: str
    port: int
    tls: bool
    server_name: str
    proxy: Optional[Proxy] = None
    ca_bundle: Optional[str] = None

    def __str__(self) -> str:
        through = " through the %s" % (self.proxy,) if self.proxy else ""
        return join(self.host, self.port) + through


def service_route(
    url: str,
    network: NetworkSettings,
    environ: Mapping[str, str],
    profile_ca_bundle: Optional[str] = None,
) -> Route:
    """The route to an http or https URL. UsageError for a setting that cannot be used."""
    address = parse(url, ("https", "http"), "the endpoint URL")
    return _route(address, address.host, network, environ, profile_ca_bundle)


def stream_route(
    url: str,
    network: NetworkSettings,
    environ: Mapping[str, str],
    profile_ca_bundle: Optional[str] = None,
) -> Route:
    """The route to a stream's ws or wss URL, whose host must have been checked before.

    The configured ``stream_endpoint`` (``host`` or ``host:port``) is dialled in place of the URL's
    host, but the certificate must still be for the URL's host, and NO_PROXY sees the dialled one.
    """
    address = parse(url, ("wss", "ws"), "the stream URL")
    name = address.host
    if network.stream_endpoint:
        host, port = split_host(network.stream_endpoint, "network.stream_endpoint")
        address = Address(address.scheme, host, port or address.port)
    return _route(address, name, network, environ, profile_ca_bundle)


def _route(
    address: Address,
    server_name: str,
    network: NetworkSettings,
    environ: Mapping[str, str],
    profile_ca_bundle: Optional[str],
) -> Route:
    proxy = choose_proxy(address.scheme, address.host, address.port, environ, network)
    # A broken CA setting is no reason to fail where no certificate will be checked.
    ca_bundle = None
    if address.tls or (proxy is not None and proxy.tls):
        ca_bundle = ca_bundle_path(network, environ, profile_ca_bundle)
    return Route(address.host, address.port, address.tls, server_name, proxy, ca_bundle)


def ca_bundle_path(
    settings: NetworkSettings, environ: Mapping[str, str], profile_ca_bundle: Optional[str] = None
) -> Optional[str]:
    """The file or directory of CA certificates to use, or None for the system's. Of several
    settings the first wins and replaces the system's certificates.

    UsageError, which names the file and the setting, if it cannot be read.
    """
    candidates = (
        ("network.ca_bundle of the configuration", settings.ca_bundle),
        ("AWS_CA_BUNDLE", environ.get("AWS_CA_BUNDLE")),
        ("ca_bundle of the AWS profile", profile_ca_bundle),
        ("REQUESTS_CA_BUNDLE", environ.get("REQUESTS_CA_BUNDLE")),  # the AWS CLI takes it, too
        ("SSL_CERT_FILE", environ.get("SSL_CERT_FILE")),
    )
    for source, value in candidates:
        if value:
            return _readable(os.path.expanduser(value), source)
    return None


def _readable(path: str, source: str) -> str:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb"):
                pass
    except OSError as error:
        raise UsageError(
            "cannot read the CA bundle %r, set by %s: %s" % (path, source, error.strerror)
        ) from error
    return path
