"""The way to a service: name, proxy, TCP, TLS and whose certificate; each with its time. And its
clock against ours."""

import socket
import time
from typing import Any, List, Mapping, cast

from ..aws.endpoints import endpoint_url, given_for
from ..aws.service_errors import clock_skew, skew_text
from ..errors import NetworkError, SsmPluginError
from ..named_tuple import NamedTuple
from ..net.address import Address, parse
from ..net.connect import open_socket
from ..net.exchange import exchange
from ..net.lookup import addresses
from ..net.proxy import passed_over
from ..net.route import Route, service_route, stream_route
from ..net.timing import Deadline
from ..session.environment import given_endpoint
from .finding import NOTE, OK, PROBLEM, Finding, Findings, from_error
from .settings import Known

CLOCK = "clock"
TIME_LIMIT = 8.0  # s for all steps to one service

_SKEW_LIMIT = 240.0  # s; the service refuses a signature beyond 300
_SKEW_NOTE = 30.0
_ANSWER_LIMIT = 1 << 20  # bytes


class _Way(NamedTuple):
    name: str
    address: Address
    route: Route


def check_way(name: str, known: Known, environ: Mapping[str, str]) -> Findings:
    """The way to ``ssm``, whose clock is read as well, or to ``ssmmessages``."""
    check = "way to " + name
    deadline = Deadline(TIME_LIMIT, "the way to %s" % name)
    findings: Findings = []
    try:
        way = _way(name, known, environ)
        findings += _passed_over(check, way, known, environ)
        _walk(check, way, deadline, findings)
    except SsmPluginError as error:
        findings.append(from_error(check, error))
    return findings


def _way(name: str, known: Known, environ: Mapping[str, str]) -> _Way:
    settings, ca_bundle = known.settings, known.profile.get("ca_bundle")
    assert known.region is not None, "without a region nothing is connected to"
    given = given_for(name, given_endpoint(settings, environ))
    url = endpoint_url(name, known.region, given, environ, known.profile)
    address = parse(url, ("https", "http"), "the endpoint URL")
    if name == "ssm":
        return _Way(name, address, service_route(url, settings.network, environ, ca_bundle))
    stream = "ws" + url[len("http") :]
    return _Way(name, address, stream_route(stream, settings.network, environ, ca_bundle))


def _passed_over(check: str, way: _Way, known: Known, environ: Mapping[str, str]) -> Findings:
    """Said once: it is the same for both ways."""
    variable = passed_over(way.address.scheme, environ, known.settings.network)
    if not variable or way.name != "ssm":
        return []
    text = "the SOCKS proxy in %s is passed over, as by the AWS CLI" % variable
    remedy = "if no other way leads out, set HTTPS_PROXY to an http:// one"
    return [Finding(check, NOTE, text, remedy)]


def _walk(check: str, way: _Way, deadline: Deadline, findings: Findings) -> None:
    route = way.route
    clock = _Clock()
    dialled = route.proxy or route
    role = "the host" if route.proxy is None else "the %s" % (route.proxy,)
    found = addresses(dialled.host, dialled.port, role, deadline)
    resolved = [str(one[4][0]) for one in found]
    if resolved != [dialled.host]:
        text = "%s is %s" % (dialled.host, _some(resolved))
        findings.append(Finding(check, OK, text, seconds=clock.lap()))

    left = deadline.remaining("connecting")
    sock = open_socket(route._replace(tls=False), left)
    try:
        findings.append(Finding(check, OK, "connected to %s" % (route,), seconds=clock.lap()))
        if route.tls:
            from ..net.tls import start_tls

            sock = start_tls(sock, route.ca_bundle, route.server_name, deadline)
            text = "TLS: %s" % _whose(cast(Any, sock).peer_certificate())
            findings.append(Finding(check, OK, text, seconds=clock.lap()))
        if way.name == "ssm":
            findings += _clock(sock, way.address, deadline)
    finally:
        sock.close()


class _Clock:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last one."""
        before, self._last = self._last, time.monotonic()
        return self._last - before


def _some(texts: List[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    return ", ".join(distinct[:4]) + (" ..." if len(distinct) > 4 else "")


def _whose(certificate: Mapping[str, Any]) -> str:
    """``subject``, ``issuer``: tuples of tuples of pairs, as ``ssl`` gives them."""
    named = [_named(certificate.get(key)) for key in ("subject", "issuer")]
    text = "the certificate is of %s, from %s" % (named[0], named[1])
    until = certificate.get("notAfter")
    return text + (", until %s" % until if until else "")


def _named(name: Any) -> str:
    fields = {key: value for part in name or () for key, value in part}
    words = [fields.get("commonName"), fields.get("organizationName")]
    return " / ".join(str(word) for word in words if word) or "an unnamed one"


def _clock(sock: socket.socket, address: Address, deadline: Deadline) -> Findings:
    """Compare the clocks. Any answer has the time: the request is not signed, and asks for
    nothing."""
    try:
        response = exchange(sock, "GET", "/", address, {}, b"", deadline, _ANSWER_LIMIT)
    except NetworkError as error:
        return [from_error("way to ssm", error)]
    skew = clock_skew(response, time.time())
    if skew is None:
        return [Finding(CLOCK, NOTE, "the answer of %s has no date" % address.authority)]
    if abs(skew) <= _SKEW_NOTE:
        return [Finding(CLOCK, OK, "within %d s of the service's" % max(1, round(abs(skew))))]
    mark = PROBLEM if abs(skew) > _SKEW_LIMIT else NOTE
    return [Finding(CLOCK, mark, skew_text(skew), "set it right, by NTP for instance")]
