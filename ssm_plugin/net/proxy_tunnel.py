"""CONNECT: asks an HTTP proxy for a connection to a host (RFC 9110, 9.3.6), with Basic login."""

import re
import socket
from base64 import b64encode
from typing import List

from ..errors import ProxyError
from ..version import __version__
from .address import join
from .proxy import Proxy
from .timing import Deadline

_HEAD_LIMIT = 65536
_ENDS = (b"\r\n\r\n", b"\n\n")  # a line feed alone ends a line, too (RFC 9112, 2.2)


def open_tunnel(
    sock: socket.socket, proxy: Proxy, host: str, port: int, deadline: Deadline
) -> None:
    """Makes ``sock``, connected to ``proxy``, lead to ``host``; ProxyError if it refuses."""
    step = "waiting for the answer of the %s" % (proxy,)
    try:
        sock.settimeout(deadline.remaining(step))
        sock.sendall(_request(proxy, join(host, port)))
        head = _read_head(sock, deadline, step)
    except socket.timeout as error:
        raise deadline.error(step) from error
    except OSError as error:
        raise ProxyError(
            "the %s closed the connection: %s" % (proxy, error.strerror or error)
        ) from error
    _check(head, proxy, join(host, port))


def _request(proxy: Proxy, target: str) -> bytes:
    lines = [
        "CONNECT %s HTTP/1.1" % target,
        "Host: %s" % target,
        "User-Agent: ssm-plugin/%s" % __version__,
    ]
    if proxy.username is not None:
        login = ("%s:%s" % (proxy.username, proxy.password or "")).encode("utf-8")
        lines.append("Proxy-Authorization: Basic " + b64encode(login).decode("ascii"))
    return "\r\n".join(lines + ["", ""]).encode("ascii")


def _read_head(sock: socket.socket, deadline: Deadline, step: str) -> bytes:
    """Up to the empty line or the end. Byte by byte, for what follows is the host's already."""
    head = bytearray()
    while not head.endswith(_ENDS) and len(head) < _HEAD_LIMIT:
        sock.settimeout(deadline.remaining(step))
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return bytes(head)


def _check(head: bytes, proxy: Proxy, target: str) -> None:
    lines = re.split("\r?\n", head.decode("latin-1"))
    found = re.match(r"HTTP/1\.[0-9] ([0-9]{3})\b ?([ -~]{0,100})", lines[0])
    if found is None or not head.endswith(_ENDS):
        raise ProxyError(
            "the %s does not answer like an HTTP proxy: check its host, port and scheme" % (proxy,)
        )
    status, reason = found.groups()
    if status.startswith("2"):
        return
    if status == "407":
        raise ProxyError(_login_advice(lines[1:], proxy))
    raise ProxyError(
        ("the %s refused to connect to %s: %s %s" % (proxy, target, status, reason)).rstrip()
        + "; allow that host at the proxy, or list it in NO_PROXY to go around it"
    )


def _login_advice(headers: List[str], proxy: Proxy) -> str:
    offers = [
        value.split()[0]
        for name, _, value in (line.partition(":") for line in headers)
        if name.lower() == "proxy-authenticate" and value.split()
    ]
    if offers and not any(offer.lower() == "basic" for offer in offers):
        offered = ", ".join(offers)
        return "the %s wants a login (407) by %s: only Basic is supported" % (proxy, offered)
    if proxy.username is None:
        return (
            "the %s wants a user name and a password (407): "
            "put them into its URL, before the host: USER:PASSWORD@HOST:PORT" % (proxy,)
        )
    return (
        "the %s refused the user name or the password (407): check them, and that special "
        "characters of the password are percent-encoded" % (proxy,)
    )
