"""One HTTP/1.1 request over an open socket, and its answer, bounded in size and time."""

import re
import socket
from typing import Mapping

from ..errors import ConnectionLost, NetworkError
from ..named_tuple import NamedTuple
from .address import Address
from .answer import HEADER_NAME, EndedEarly, Malformed, TooLarge, read_answer
from .timing import Deadline

_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")


class Response(NamedTuple):
    """Header names are in lower case. Bodies hold tokens and keys, so ``repr`` leaves them out."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return "Response(%s, %s bytes)" % (self.status, len(self.body))


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
    step = "waiting for the answer of %s" % address.authority

    def receive(most: int) -> bytes:
        sock.settimeout(deadline.remaining(step))
        return sock.recv(most)

    try:
        sock.settimeout(deadline.remaining(step))
        sock.sendall(_head(method, target, address, headers, body) + body)
        return Response(*read_answer(receive, limit))
    except socket.timeout as error:
        raise deadline.error(step) from error
    except TooLarge as error:
        raise NetworkError(
            "the answer of %s is larger than %s bytes: "
            "check that the endpoint is the right one"
            % (address.authority, limit)
        ) from error
    except Malformed as error:
        raise NetworkError(
            "%s does not answer in HTTP (%s): check the endpoint URL" % (address.authority, error)
        ) from error
    except (OSError, EndedEarly) as error:
        why = getattr(error, "strerror", None) or "it was closed before the answer was complete"
        raise ConnectionLost("lost the connection to %s: %s" % (address.authority, why)) from error


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
        if not (HEADER_NAME.match(name) and _VALUE.match(value)):
            raise NetworkError("cannot send the header %r: it holds a forbidden character" % name)
    lines = ["%s %s HTTP/1.1" % (method, target)]
    lines += ["%s: %s" % field for field in fields.items()]
    return "\r\n".join(lines + ["", ""]).encode("latin-1")
