"""One HTTP/1.1 request over an open socket, and its answer, bounded in size and time."""

import re
import socket
from typing import Mapping

from ..errors import ConnectionLost, NetworkError
from ..named_tuple import NamedTuple
from .address import Address
from .answer import EndedEarly, Malformed, TooLarge, read_answer
from .timing import Deadline

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
    step = f"waiting for the answer of {address.authority}"

    def receive(most: int) -> bytes:
        sock.settimeout(deadline.remaining(step))
        return sock.recv(most)

    try:
        sock.settimeout(deadline.remaining(step))
        sock.sendall(_head(method, target, address, headers, body) + body)
        return Response(*read_answer(receive, method, limit))
    except socket.timeout as error:
        raise deadline.error(step) from error
    except TooLarge as error:
        raise NetworkError(
            f"the answer of {address.authority} is larger than {limit} bytes: "
            "check that the endpoint is the right one"
        ) from error
    except Malformed as error:
        raise NetworkError(
            f"{address.authority} does not answer in HTTP ({error}): check the endpoint URL"
        ) from error
    except (OSError, EndedEarly) as error:
        why = getattr(error, "strerror", None) or "it was closed before the answer was complete"
        raise ConnectionLost(f"lost the connection to {address.authority}: {why}") from error


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
