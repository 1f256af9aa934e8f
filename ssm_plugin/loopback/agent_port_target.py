"""Where a port session leads to, and the connection to it."""

import ipaddress
import re
import socket
from typing import Mapping, Tuple

from ..errors import LocalError
from ..named_tuple import NamedTuple
from ..net.connect import send_at_once

CONNECT_LIMIT = 5.0  # seconds
OWN_HOST = "127.0.0.1"

# Nodes reach their metadata and other services of AWS there, with rights of their own.
_AWS_SERVICES = ipaddress.ip_network("fd00:ec2::/32")


class Target(NamedTuple):
    """``host`` is empty for the node itself; ``addresses`` are what it meant at the start."""

    host: str
    port: int
    addresses: Tuple[str, ...] = (OWN_HOST,)

    @classmethod
    def of(cls, properties: Mapping[str, object]) -> "Target":
        """The target in a session's properties. Blocks. LocalError if the port is not a valid
        number, or the host is not found, or not allowed."""
        host, text = str(properties.get("host") or ""), str(properties.get("portNumber") or "")
        if not re.match(r"[0-9]{1,5}\Z", text) or not 0 < int(text) < 65536:
            raise LocalError("portNumber %r is not a port" % text)
        return cls(host, int(text), _allowed_addresses(host) if host else (OWN_HOST,))

    def __str__(self) -> str:
        return "%s port %d" % (self.host or "the node's", self.port)


def open_target(target: Target) -> socket.socket:
    """Connect, and wait for it; the socket is non-blocking then. LocalError says why it failed."""
    for address in target.addresses:
        try:
            sock = socket.create_connection((address, target.port), CONNECT_LIMIT)
        except OSError as error:
            cause = error
            continue
        sock.setblocking(False)
        send_at_once(sock)
        return sock
    raise LocalError("unable to connect to %s: %s" % (target, cause)) from cause


def _allowed_addresses(host: str) -> Tuple[str, ...]:
    """Looked up once for the whole session."""
    try:
        found = socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LocalError("lookup %s: no such host" % host) from error
    addresses = tuple(str(entry[4][0]) for entry in found)
    if any(map(_is_forbidden, addresses)):
        raise LocalError("Forwarding to IP address %s is forbidden." % host)
    return addresses


def _is_forbidden(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    special = parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified
    return special or parsed.is_multicast or (parsed.version == 6 and parsed in _AWS_SERVICES)
