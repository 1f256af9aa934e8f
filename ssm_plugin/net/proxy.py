"""Which proxy, if any, leads to a host: the configuration, else the usual environment variables.

``HTTPS_PROXY`` is for https and wss, ``HTTP_PROXY`` for http and ws, ``ALL_PROXY`` for all of them.
A SOCKS proxy in ``ALL_PROXY`` is passed over: it is for other programs, and the AWS CLI, which
starts us, does not look at that variable. Lower-case names win, and an empty one switches the proxy
off, as in curl and the AWS CLI. ``NO_PROXY`` alone exempts hosts; a loopback address is not exempt
unless it is listed there.
"""

import re
from ipaddress import ip_address, ip_network
from typing import Mapping, Optional, Tuple
from urllib.parse import unquote

from ..config import NetworkSettings
from ..errors import UsageError
from ..named_tuple import NamedTuple
from .address import host_and_port, join, split

_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """``tls``: speak TLS to the proxy itself. ``source``: the setting that named it."""

    host: str
    port: int
    username: Optional[str] = None
    password: Optional[str] = None
    tls: bool = False
    source: str = "HTTPS_PROXY"

    def __str__(self) -> str:
        return "proxy %s (%s)" % (join(self.host, self.port), self.source)

    def __repr__(self) -> str:
        scheme = "https" if self.tls else "http"
        user = "" if self.username is None else "***@"
        return "Proxy(%s://%s%s, %s)" % (scheme, user, join(self.host, self.port), self.source)


def choose_proxy(
    scheme: str, host: str, port: int, environ: Mapping[str, str], settings: NetworkSettings
) -> Optional[Proxy]:
    """The proxy for ``scheme://host:port``, or None to go there directly.

    A configured ``proxy`` wins over the environment; an empty one means none. UsageError for a
    proxy that cannot be used, such as a SOCKS one in HTTPS_PROXY.
    """
    url, source = _proxy_url(scheme, environ, settings)
    if not url or _is_passed_over(url, source):
        return None
    if bypasses(_no_proxy(environ, settings), host, port):
        return None
    return parse_proxy(url, source)


def passed_over(scheme: str, environ: Mapping[str, str], settings: NetworkSettings) -> str:
    """The variable with a proxy that is not taken for ``scheme``, or an empty text."""
    url, source = _proxy_url(scheme, environ, settings)
    return source if _is_passed_over(url, source) else ""


def parse_proxy(url: str, source: str) -> Proxy:
    """``[http[s]://][user[:password]@]host[:port]``, user and password percent-encoded."""
    what = "the proxy in %s" % source
    parts = split(url if "://" in url else "http://" + url, what)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise UsageError(
            "%s is a %s proxy, which is not supported: name an http:// or https:// one"
            % (what, scheme)
        )
    # Checked on the whole text: a bare "/" in a password would otherwise end the host part.
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(
            # Written so that what masks passwords leaves it alone.
            "%s must be [USER:PASSWORD@]HOST:PORT after http:// or https://, "
            "with special characters of the password percent-encoded"
            % what
        )
    host, port = host_and_port(parts, what)
    username, password = _login(parts.netloc)
    return Proxy(host, port or _PORTS[scheme], username, password, scheme == "https", source)


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Whether ``no_proxy`` (names, ``.suffix``, addresses, CIDR, ``:port``, ``*``) lists the host.

    A name stands for itself and its subdomains. Names are not looked up to match a network.
    """
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy.lower()))


def _proxy_url(
    scheme: str, environ: Mapping[str, str], settings: NetworkSettings
) -> Tuple[str, str]:
    if settings.proxy is not None:
        return settings.proxy, "network.proxy of the configuration"
    kind = "https_proxy" if scheme in ("https", "wss") else "http_proxy"
    for name in (kind, "all_proxy"):
        if name in environ:
            return environ[name].strip(), name
        if environ.get(name.upper()):
            return environ[name.upper()].strip(), name.upper()
    return "", ""


def _is_passed_over(url: str, source: str) -> bool:
    return source.lower() == "all_proxy" and re.match(r"(?i)socks\w*://", url) is not None


def _no_proxy(environ: Mapping[str, str], settings: NetworkSettings) -> str:
    if settings.no_proxy is not None:
        return settings.no_proxy
    return environ.get("no_proxy", environ.get("NO_PROXY", ""))


def _login(netloc: str) -> Tuple[Optional[str], Optional[str]]:
    login, at_sign, _ = netloc.rpartition("@")
    if not at_sign:
        return None, None
    username, _, password = login.partition(":")
    return unquote(username), unquote(password)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    pattern, wanted_port = _split_port(entry)
    if not pattern or wanted_port not in ("", str(port)):
        return False
    try:
        return ip_address(host) in ip_network(pattern, strict=False)
    except ValueError:
        return _is_within(host.rstrip("."), pattern)


def _split_port(entry: str) -> Tuple[str, str]:
    found = re.match(r"\[(?P<v6>[^\]]*)\](?::(?P<v6_port>\d+))?\Z", entry)
    if found:
        return found.group("v6"), found.group("v6_port") or ""
    # A bare IPv6 address has more than one colon, and no room for a port.
    if entry.count(":") != 1:
        return entry, ""
    pattern, _, port = entry.partition(":")
    return pattern, port


def _is_within(host: str, pattern: str) -> bool:
    name = pattern[1:] if pattern.startswith("*.") else pattern
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith("." + name))
