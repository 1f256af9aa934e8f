"""One HTTP/1.1 request over an open socket, and its answer, bounded in size and time."""

import io
import re
import socket
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, cast

from ..errors import ConnectionLost, NetworkError
from .address import Address
from .deadline import Deadline

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK = 65536
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")


class Response(NamedTuple):
    """Header names are in lower case. Bodies hold tokens and keys, so ``repr`` leaves them out."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


def exchange(
    sock: socket.socket,
    method: str,
    target: str,
    address: Address,
    headers: Mapping[str, str],
    body: bytes,
    deadline: Deadline,
    limit: int,
) -> Response:
    """Sends the request, reads the answer; the connection is of no further use afterwards.

    ``target`` is path and query. NetworkError for an answer over ``limit`` bytes or not HTTP,
    ConnectionLost if the connection ends early, DeadlineError.
    """
    # It takes long to load, and most sessions make no such request.
    from http.client import HTTPException, HTTPResponse

    step = f"waiting for the answer of {address.authority}"
    try:
        sock.settimeout(deadline.remaining(step))
        sock.sendall(_head(method, target, address, headers, body) + body)
        response = HTTPResponse(cast(socket.socket, _Source(sock, deadline, step)), method=method)
        response.begin()
        return _read(response, address, limit)
    except socket.timeout as error:
        raise deadline.error(step) from error
    except (OSError, HTTPException) as error:
        raise _broken(error, address) from error


def _head(
    method: str, target: str, address: Address, headers: Mapping[str, str], body: bytes
) -> bytes:
    fields = {
        "Host": address.authority,
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(body)),
    }
    fields.update(headers)
    for name, value in fields.items():
        if not (_TOKEN.match(name) and _VALUE.match(value)):
            raise NetworkError(f"cannot send the header {name!r}: it holds a forbidden character")
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {fields[name]}" for name in fields]
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


def _read(response: "HTTPResponse", address: Address, limit: int) -> Response:
    body = bytearray()
    while len(body) <= limit:
        data = response.read(min(_CHUNK, limit + 1 - len(body)))
        if not data:
            break
        body += data
    if len(body) > limit:
        raise NetworkError(
            f"the answer of {address.authority} is larger than {limit} bytes: "
            "check that the endpoint is the right one"
        )
    if response.length:  # http.client does not report an early end to read(n)
        raise ConnectionLost(f"{address.authority} closed the connection within its answer")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, headers, bytes(body))


def _broken(error: Exception, address: Address) -> NetworkError:
    from http.client import IncompleteRead

    if isinstance(error, (OSError, IncompleteRead)):
        why = getattr(error, "strerror", None) or "it was closed before the answer was complete"
        return ConnectionLost(f"lost the connection to {address.authority}: {why}")
    return NetworkError(
        f"{address.authority} does not answer in HTTP ({type(error).__name__}): "
        "check the endpoint URL"
    )


class _Source:
    """What HTTPResponse reads from: each read waits no longer than the deadline allows."""

    def __init__(self, sock: socket.socket, deadline: Deadline, step: str) -> None:
        self._reader = _Reader(sock, deadline, step)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline, step: str) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.remaining(self._step))
        return self._sock.recv_into(buffer)
