"""Small HTTP requests to the services beside us that hand out credentials: no proxy, short limits.

They answer in JSON. Redirects are not followed: the answer must come from the address asked.
"""

import json
from typing import Any, Mapping
from urllib.parse import urlsplit

from ..errors import CredentialsError
from ..net.address import parse
from ..net.connect import open_socket
from ..net.deadline import Deadline
from ..net.exchange import Response, exchange
from ..net.route import Route

_LIMIT = 65536  # bytes; real answers have about 2000


def request(
    method: str, url: str, what: str, headers: Mapping[str, str], seconds: float, deadline: Deadline
) -> Response:
    """One request, within ``seconds`` and ``deadline``. NetworkError, or UsageError for the URL."""
    address = parse(url, ("https", "http"), what)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = Deadline(min(seconds, deadline.remaining(what)), f"asking {address.authority}")
    route = Route(address.host, address.port, address.tls, address.host)
    sock = open_socket(route, own.remaining(what))
    try:
        return exchange(sock, method, target, address, headers, b"", own, _LIMIT)
    finally:
        sock.close()


def document(response: Response, what: str) -> Any:
    """The JSON value of an answer. The answer itself is never shown: it holds keys."""
    try:
        return json.loads(response.body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise CredentialsError(f"the answer of {what} is not JSON") from None
