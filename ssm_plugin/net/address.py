"""Scheme, host and port of a URL, read strictly: nothing that parsers may take differently.

No error shows a URL's query or password, since presigned URLs and proxy URLs carry secrets there.
"""

import re
from ipaddress import ip_address
from typing import Optional, Tuple
from urllib.parse import SplitResult, urlsplit

from ..errors import UsageError
from ..named_tuple import NamedTuple

DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

_PLAIN = re.compile(r"[!-\[\]-~]+\Z")  # printable ASCII, no space, no backslash
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")


class Address(NamedTuple):
    """``host`` is in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int

    @property
    def tls(self) -> bool:
        return self.scheme in ("https", "wss")

    @property
    def authority(self) -> str:
        """``host`` or ``host:port``, as a ``Host`` header says it."""
        if self.port == DEFAULT_PORTS.get(self.scheme):
            return bracketed(self.host)
        return join(self.host, self.port)


def parse(url: str, schemes: Tuple[str, ...], what: str) -> Address:
    """The address in ``url``. ``what`` names the URL in a UsageError ("the endpoint URL")."""
    parts = split(url, what)
    scheme = parts.scheme.lower()
    if scheme not in schemes:
        wanted = " or ".join("%s://" % name for name in schemes)
        raise UsageError("%s must begin with %s%s" % (what, wanted, _found(url, parts.scheme)))
    if "@" in parts.netloc:
        raise UsageError("%s must not hold a user name or a password" % what)
    host, port = host_and_port(parts, what)
    return Address(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)


def _found(url: str, scheme: str) -> str:
    """What it begins with; without a scheme, all that can be no password and no signature."""
    if "://" in url:
        return ", not %r" % (scheme + "://")
    return "" if "@" in url else ", not %r" % re.split("[?#]", url)[0][:100]


def split(url: str, what: str) -> SplitResult:
    """``urlsplit`` that refuses what it would otherwise strip or guess at."""
    if not _PLAIN.match(url):
        raise UsageError("%s is empty, or holds a space or a character not allowed in a URL" % what)
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UsageError("%s is not a valid URL: check its brackets and its port" % what) from error


def host_and_port(parts: SplitResult, what: str) -> Tuple[str, Optional[int]]:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(
            "%s has no valid port number: check what follows the host" % what
        ) from error
    if port == 0 or not (_HOST_NAME.match(host.rstrip(".")) or _is_ipv6(host)):
        raise UsageError("%s names no valid host and port" % what)
    return host, port


def split_host(text: str, what: str) -> Tuple[str, Optional[int]]:
    """``host``, ``host:port`` or ``[v6]:port`` from a setting, the host in lower case."""
    if _is_ipv6(text):
        return text.lower(), None
    parts = split("//" + text, what)
    if parts.netloc != text or "@" in text:
        raise UsageError("%s must be a host name, with or without a port: %r" % (what, text[:100]))
    return host_and_port(parts, what)


def path_of(url: str) -> str:
    """Path and query, as a request names them."""
    parts = urlsplit(url)
    return (parts.path or "/") + ("?" + parts.query if parts.query else "")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is ``localhost`` or an address of the loopback network."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    return "[%s]" % host if ":" in host else host


def join(host: str, port: int) -> str:
    return "%s:%s" % (bracketed(host), port)


def _is_ipv6(host: str) -> bool:
    try:
        return "%" not in host and ip_address(host).version == 6
    except ValueError:
        return False
