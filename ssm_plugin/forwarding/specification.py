"""Forwards as they are written: ``[BIND:]LOCAL:[HOST:]PORT``, IPv6 addresses in brackets."""

import ipaddress
import re
from typing import List, Optional

from ..errors import UsageError
from ..named_tuple import NamedTuple
from ..net.local_end import LocalEnd, bind_tcp, bind_unix
from ..session.starting import SessionRequest
from ..session.types import SessionType

NODE_DOCUMENT = "AWS-StartPortForwardingSession"
HOST_DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"

_FORM = "[BIND:]LOCAL:[HOST:]PORT"
_FORM_WITH_SOCKET = "[HOST:]PORT"
_FIELD = re.compile(r"\[([^\[\]]*)\]|([^:\[\]]*)")
_NUMBER = re.compile(r"[0-9]+\Z")


class Forward(NamedTuple):
    """``bind`` None is loopback, ``local_port`` 0 any that is free, ``path`` a unix socket in
    place of both. ``host`` None is the node itself."""

    remote_port: int
    host: Optional[str] = None
    local_port: int = 0
    bind: Optional[str] = None
    path: Optional[str] = None

    def listen(self) -> LocalEnd:
        """LocalError says what is in the way."""
        if self.path is not None:
            return bind_unix(self.path)
        return bind_tcp(self.local_port, self.bind)

    def request(
        self, target: str, document_name: Optional[str] = None, reason: Optional[str] = None
    ) -> SessionRequest:
        """What is asked of the service. The local port is our own business."""
        parameters = {"portNumber": [str(self.remote_port)]}
        if self.host is not None:
            parameters["host"] = [self.host]
        document = document_name or (NODE_DOCUMENT if self.host is None else HOST_DOCUMENT)
        return SessionRequest(target, SessionType.PORT, document, parameters, reason)

    def destination(self, target: str) -> str:
        """The destination in words, for messages."""
        if self.host is None:
            return "port %d of %s" % (self.remote_port, target)
        return "%s port %d behind %s" % (self.host, self.remote_port, target)


def parse_forward(
    text: str, bind: Optional[str] = None, path: Optional[str] = None
) -> Forward:
    """``bind`` is for forwards that name none. With ``path`` a local port is left out, or 0.

    UsageError says what is wrong, and how it is written.
    """
    fields = _split(text)
    if path is not None:
        return _with_socket(text, fields, path)
    if len(fields) == 2:
        local, remote = fields
        return _checked(text, Forward(_port(text, remote), None, _local(text, local), bind))
    if len(fields) == 3:
        return _of_three(text, fields, bind)
    if len(fields) == 4:
        bind, local, host, remote = fields
        return _checked(text, Forward(_port(text, remote), host, _local(text, local), bind))
    if len(fields) > 1:
        raise _wrong(text, "it has %d parts" % len(fields))
    port = _port(text, text)
    raise UsageError(
        "forward '%d' names one port: write %d:%d for the same number at both ends, or 0:%d for "
        "any free one here" % (port, port, port, port)
    )


def check_host(host: str) -> None:
    """UsageError for what cannot be a host. Which hosts are forbidden is for the node to say."""
    if not host or re.search(r"[\s/]", host):
        raise UsageError("%r is not a host name" % host)


def advice_for(host: Optional[str]) -> str:
    """What may help if the node refuses to connect to ``host``; empty where we know nothing."""
    if host is None or not (host.lower().rstrip(".") == "localhost" or _is_own(host)):
        return ""
    return (
        "some nodes refuse their own address: leave the host out to reach a port of the node itself"
    )


def _of_three(text: str, fields: List[str], bind: Optional[str]) -> Forward:
    """A number in the first place is a local port, for no address or name is one."""
    first, second, remote = fields
    if not _NUMBER.match(first):
        return _checked(text, Forward(_port(text, remote), None, _local(text, second), first))
    return _checked(text, Forward(_port(text, remote), second, _local(text, first), bind))


def _with_socket(text: str, fields: List[str], path: str) -> Forward:
    if fields and fields[0] == "0" and len(fields) > 1:
        fields = fields[1:]
    if len(fields) > 1 and _NUMBER.match(fields[0]):
        raise UsageError(
            "forward %r names a local port, and --unix a socket in place of it; write %s"
            % (text, _FORM_WITH_SOCKET)
        )
    if len(fields) not in (1, 2):
        raise UsageError("forward %r with --unix is written %s" % (text, _FORM_WITH_SOCKET))
    host = fields[0] if len(fields) == 2 else None
    return _checked(text, Forward(_port(text, fields[-1]), host, path=path))


def _checked(text: str, forward: Forward) -> Forward:
    if forward.host is not None:
        if _NUMBER.match(forward.host):
            raise _wrong(text, "%s is not a host" % forward.host)
        try:
            check_host(forward.host)
        except UsageError as error:
            raise UsageError("forward %r: %s" % (text, error)) from error
    if forward.bind is not None and (not forward.bind or _NUMBER.match(forward.bind)):
        raise _wrong(text, "%r is not an address to listen on" % forward.bind)
    return forward


def _split(text: str) -> List[str]:
    fields, at = [], 0
    while True:
        matched = _FIELD.match(text, at)
        assert matched is not None, "the second form matches an empty text, too"
        fields.append(matched.group(1) if matched.group(1) is not None else matched.group(2))
        at = matched.end()
        if at == len(text):
            return fields
        if text[at] != ":":
            raise _wrong(text, "its brackets do not match")
        at += 1


def _local(text: str, field: str) -> int:
    if field == "0":
        return 0
    return _port(text, field)


def _port(text: str, field: str) -> int:
    if not re.match(r"[0-9]{1,5}\Z", field) or not 0 < int(field) < 65536:
        raise _wrong(text, "%r is not a port" % field)
    return int(field)


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(
        "forward %r is not %s: %s; IPv6 addresses stand in brackets" % (text[:100], _FORM, why)
    )


def _is_own(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
