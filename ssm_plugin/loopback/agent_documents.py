"""Which session document starts which kind of session, in one table."""

import shlex
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import UsageError
from .session import SessionRequest

STANDARD_STREAM = "Standard_Stream"
INTERACTIVE = "InteractiveCommands"
NON_INTERACTIVE = "NonInteractiveCommands"
PORT = "Port"


class Document(NamedTuple):
    """``properties`` are fixed ones of a port session; ``separate_output`` is for commands:
    None leaves it to the session's parameter ``separateOutputStream``."""

    session_type: str
    properties: Mapping[str, str] = {}
    separate_output: Optional[bool] = None


_FORWARDING = {"type": "LocalPortForwarding"}
_SOCKET = dict(_FORWARDING, localConnectionType="unix")

DOCUMENTS: Mapping[str, Document] = {
    "": Document(STANDARD_STREAM),
    "SSM-SessionManagerRunShell": Document(STANDARD_STREAM),
    "AWS-StartInteractiveCommand": Document(INTERACTIVE),
    "AWS-StartNonInteractiveCommand": Document(NON_INTERACTIVE),
    "AWS-StartSSHSession": Document(PORT, {"portNumber": "22"}),
    "AWS-StartPortForwardingSession": Document(PORT, _FORWARDING),
    "AWS-StartPortForwardingSessionToRemoteHost": Document(PORT, _FORWARDING),
    "AWS-StartPortForwardingSessionToSocket": Document(PORT, _SOCKET),
}

# What a port session's parameters may say.
PORT_PARAMETERS = (
    "portNumber",
    "host",
    "localPortNumber",
    "localConnectionType",
    "localUnixSocket",
)


class Assignment(NamedTuple):
    """What an agent is to do. ``properties`` is what the handshake tells of it: None but for
    ports. ``argv`` is empty for a shell."""

    session_type: str
    properties: Optional[Dict[str, Any]]
    argv: Tuple[str, ...]
    separate_output: bool

    @property
    def wants_handshake(self) -> bool:
        """Whether a session of that type begins with a handshake even if nothing is encrypted."""
        return self.session_type in (NON_INTERACTIVE, PORT)


def assign(request: SessionRequest, documents: Mapping[str, Document]) -> Assignment:
    """:class:`UsageError` if there is no such document, or a parameter is missing."""
    document = documents.get(request.document_name)
    if document is None:
        raise UsageError("the document %s does not exist" % request.document_name)
    return Assignment(
        document.session_type,
        _port(document, request.parameters) if document.session_type == PORT else None,
        _argv(document, request.parameters),
        _separate(document, request.parameters),
    )


def _port(document: Document, parameters: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    properties: Dict[str, Any] = dict(document.properties)
    for name in PORT_PARAMETERS:
        if _first(parameters, name):
            properties[name] = _first(parameters, name)
    return properties


def _argv(document: Document, parameters: Mapping[str, Sequence[str]]) -> Tuple[str, ...]:
    """On a terminal a shell runs the command line; without one it is only split like one would."""
    if document.session_type not in (INTERACTIVE, NON_INTERACTIVE):
        return ()
    line = " ".join(parameters.get("command", ()))
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError("the command cannot be split into words: %s" % error) from error
    if not words:
        raise UsageError("the session type %s needs a command" % document.session_type)
    return words if document.session_type == NON_INTERACTIVE else ("sh", "-c", line)


def _separate(document: Document, parameters: Mapping[str, Sequence[str]]) -> bool:
    if document.separate_output is not None:
        return document.separate_output
    return _first(parameters, "separateOutputStream").lower() == "true"


def _first(parameters: Mapping[str, Sequence[str]], name: str) -> str:
    values = parameters.get(name) or ("",)
    return values[0]
