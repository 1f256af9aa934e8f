"""Host name to addresses, under a time limit that the resolver itself does not have."""

import queue
import socket
import threading
from typing import Any, List, Tuple, Union

from ..errors import LocalError, NameResolutionError
from ..shortage import start_thread
from .timing import Deadline

# family, type, protocol, canonical name, address: as getaddrinfo gives them
AddressInfo = Tuple[int, int, int, str, Any]


def addresses(host: str, port: int, role: str, deadline: Deadline) -> List[AddressInfo]:
    """Where to connect, IPv6 and IPv4 in turn. ``role`` says in an error what ``host`` is.

    NameResolutionError if there is no such name, DeadlineError if the answer does not come in time.
    """
    try:
        return _getaddrinfo(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _interleaved(_look_up(host, port, role, deadline))


def _look_up(host: str, port: int, role: str, deadline: Deadline) -> List[AddressInfo]:
    step = "looking up the name %s" % host
    answers = queue.Queue()  # type: queue.Queue[Union[List[AddressInfo], OSError]]
    # getaddrinfo cannot be interrupted, so this thread cannot be joined under a time limit. It is a
    # daemon that ends by itself, and not one of the workers, which are always joined.
    thread = threading.Thread(
        target=_answer, args=(host, port, answers), name="name-lookup", daemon=True
    )
    try:
        start_thread(thread)
    except LocalError:  # no thread is left: look it up here, without our time limit
        _answer(host, port, answers)
    try:
        answer = answers.get(timeout=deadline.remaining(step))
    except queue.Empty:
        raise deadline.error(step) from None
    if isinstance(answer, OSError):
        error = NameResolutionError(
            "the name of %s, %s, does not resolve: %s; check its spelling, the region "
            "and the DNS settings"
            % (role, host, answer.strerror)
        )
        error.temporary = answer.errno == socket.EAI_AGAIN
        raise error from answer
    return answer


def _answer(
    host: str, port: int, answers: "queue.Queue[Union[List[AddressInfo], OSError]]"
) -> None:
    try:
        answers.put(_getaddrinfo(host, port, 0))
    except OSError as error:
        answers.put(error)


def _getaddrinfo(host: str, port: int, flags: int) -> List[AddressInfo]:
    # Bytes: for text, Python loads its tables of all alphabets first. Hosts of URLs are ASCII.
    name = host.encode("ascii")
    return list(socket.getaddrinfo(name, port, 0, socket.SOCK_STREAM, 0, flags))


def _interleaved(found: List[AddressInfo]) -> List[AddressInfo]:
    """The resolver's order, but families alternate, so that a broken one costs one attempt."""
    first = [info for info in found if info[0] == found[0][0]]
    others = [info for info in found if info[0] != found[0][0]]
    mixed = [info for pair in zip(first, others) for info in pair]
    shorter = min(len(first), len(others))
    return mixed + first[shorter:] + others[shorter:]
