"""How to reach the host of a URL: address, proxy, TLS name, CA bundle. Nothing is opened here."""

from typing import Mapping, Optional

from ..config import NetworkSettings
from ..named_tuple import NamedTuple
from .address import SECURE_SCHEMES, Address, join, parse, split_host
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
    tls = address.scheme in SECURE_SCHEMES
    # A broken CA setting is no reason to fail where no certificate will be checked.
    ca_bundle = None
    if tls or (proxy is not None and proxy.tls):
        from .tls import ca_bundle_path  # ssl takes long to load

        ca_bundle = ca_bundle_path(network, environ, profile_ca_bundle)
    return Route(address.host, address.port, tls, server_name, proxy, ca_bundle)
