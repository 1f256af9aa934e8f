"""AWS Signature Version 4 in the request's headers. Pure: the time is an argument.

Signed is an HMAC-SHA256 over algorithm, time, scope and the SHA-256 of the canonical request:
method, path, sorted query, headers, names of the signed headers, SHA-256 of the body, a line each.
The key is derived from the secret key through date, region, service and ``aws4_request``.
"""

import hashlib
import hmac
import time
from typing import Dict, Iterable, List, Mapping, Tuple, Union
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit, urlunsplit

from ..errors import UsageError
from ..named_tuple import NamedTuple
from ..net.address import DEFAULT_PORTS, bracketed, join
from .keys import Credentials

Headers = Union[Mapping[str, str], Iterable[Tuple[str, str]]]

ALGORITHM = "AWS4-HMAC-SHA256"
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
# Hop-by-hop headers and those that proxies and tracers add or rewrite on the way.
UNSIGNED_HEADERS = frozenset(
    "authorization baggage connection expect keep-alive proxy-authenticate proxy-authorization te "
    "traceparent tracestate trailer transfer-encoding upgrade user-agent x-amzn-trace-id".split()
)

_UNRESERVED = "-_.~"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class Scope(NamedTuple):
    """What a signature is good for. ``date`` is ``YYYYMMDD``."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return "%s/%s/%s/aws4_request" % (self.date, self.region, self.service)


def sign(
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now: float,
) -> Dict[str, str]:
    """The headers to add: Authorization, X-Amz-Date and, with a token, X-Amz-Security-Token.

    ``headers`` are the ones that will be sent, pairs if one comes twice. Without a ``Host`` among
    them, the URL's is signed. ``X-Amz-Content-SHA256`` stands for the body's hash if it is there.
    ``now`` is in seconds since the epoch. UsageError if the URL cannot be split.
    """
    parts = _split(url)
    timestamp = time.strftime(TIME_FORMAT, time.gmtime(now))
    added = {"X-Amz-Date": timestamp}
    if credentials.token:
        added["X-Amz-Security-Token"] = credentials.token
    signed = _signed_headers(headers, added, parts)
    body_hash = signed.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    request = canonical_request(method, parts.path, parts.query, signed, body_hash, service)
    scope = Scope(timestamp[:8], region, service)
    added["Authorization"] = (
        "%s Credential=%s/%s, SignedHeaders=%s, Signature=%s"
        % (
            ALGORITHM,
            credentials.access_key,
            scope,
            ";".join(sorted(signed)),
            signature(credentials.secret_key, scope, timestamp, request),
        )
    )
    return added


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body_hash: str,
    service: str = "",
) -> str:
    """``headers`` are those to sign, as ``canonical_headers`` gives them.

    The path is encoded once more than it is in the URL, but for ``s3``, which takes it as it is.
    The query stands as in the URL, but sorted.
    """
    names = sorted(headers)
    path = path if service == "s3" else _canonical_path(path)
    lines = [method.upper(), path or "/", _canonical_query(query)]
    lines += ["%s:%s" % (name, headers[name]) for name in names]
    return "\n".join(lines + ["", ";".join(names), body_hash])


def canonical_headers(headers: Headers) -> Dict[str, str]:
    """Lower-case name to value, white space reduced; values of one name joined by commas."""
    values: Dict[str, List[str]] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    return {name: ",".join(several) for name, several in values.items()}


def signature(secret_key: str, scope: Scope, timestamp: str, request: str) -> str:
    """The signature, in hex, of a canonical request at a ``timestamp`` in TIME_FORMAT."""
    digest = hashlib.sha256(request.encode("utf-8")).hexdigest()
    key = ("AWS4" + secret_key).encode("utf-8")
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = _hmac(key, part).digest()
    return _hmac(key, "%s\n%s\n%s\n%s" % (ALGORITHM, timestamp, scope, digest)).hexdigest()


def encoded_query(url: str) -> str:
    """``url`` with the reserved characters in names and values of its query percent-encoded.

    Sign and dial this form of a StreamUrl. The service puts base64 into ``cell-number`` as it is,
    and signers do not agree on what to make of a raw ``+``, ``/`` or ``=``.
    """
    parts = _split(url)
    return urlunsplit(parts._replace(query=encode_pairs(parts.query)))


def encode_pairs(query: str) -> str:
    return "&".join(
        "=".join(quote(unquote_to_bytes(text), safe=_UNRESERVED) for text in pair.split("=", 1))
        for pair in query.split("&")
    )


def _signed_headers(
    headers: Headers, added: Mapping[str, str], parts: SplitResult
) -> Dict[str, str]:
    signed = canonical_headers(headers)
    signed.setdefault("host", _authority(parts))
    signed.update(canonical_headers(added))
    return {name: value for name, value in signed.items() if name not in UNSIGNED_HEADERS}


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises for a bad one)
    except ValueError as error:
        raise UsageError("cannot sign a request to an invalid URL: check the endpoint") from error
    return parts


def _authority(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.port is None or parts.port == DEFAULT_PORTS.get(parts.scheme):
        return bracketed(host)
    return join(host, parts.port)


def _canonical_path(path: str) -> str:
    segments: List[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    last = "/" if segments and path.endswith("/") else ""
    return quote("/" + "/".join(segments) + last, safe="/~")


def _canonical_query(query: str) -> str:
    # What no URL may hold raw, whoever sends the request must encode, so it is encoded here too.
    pairs = [pair.partition("=") for pair in quote(query, safe=_PRINTABLE).split("&")]
    return "&".join("%s=%s" % (name, value) for name, _, value in sorted(pairs)) if query else ""


def _hmac(key: bytes, text: str) -> "hmac.HMAC":
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256)
