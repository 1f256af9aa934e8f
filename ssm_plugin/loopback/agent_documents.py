"""Which session document starts which kind of session, in one table."""

import shlex
from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..errors import UsageError
from ..named_tuple import NamedTuple
from .gateway_session import StartRequest

STANDARD_STREAM = "Standard_Stream"
INTERACTIVE = "InteractiveCommands"
NON_INTERACTIVE = "NonInteractiveCommands"
PORT = "Port"


class Document(NamedTuple):
    """``properties`` are fixed ones of a port session; ``separate_output`` is for commands:
    None leaves it to the session's parameter ``separateOutputStream``. ``splits``: no shell reads
    the command, as in a container, which may lack the programs that ``withoutPrograms`` says."""

    session_type: str
    properties: Mapping[str, str] = {}
    separate_output: Optional[bool] = None
    splits: bool = False


_FORWARDING = {"type": "LocalPortForwarding"}
_SOCKET = dict(_FORWARDING, localConnectionType="unix")

DOCUMENTS: Mapping[str, Document] = {
    "": Document(STANDARD_STREAM),
    "SSM-SessionManagerRunShell": Document(STANDARD_STREAM),
    "AWS-StartInteractiveCommand": Document(INTERACTIVE),
    "AWS-StartNonInteractiveCommand": Document(NON_INTERACTIVE),
    "AmazonECS-ExecuteInteractiveCommand": Document(INTERACTIVE, splits=True),
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
    ports. ``argv`` is empty for a shell. ``mistake``: why the command cannot be split into words,
    which an agent finds out only once the session is open."""

    session_type: str
    properties: Optional[Dict[str, object]]
    argv: Tuple[str, ...]
    separate_output: bool
    mistake: str = ""

    @property
    def wants_handshake(self) -> bool:
        """Whether a session of that type begins with a handshake even if nothing is encrypted."""
        return self.session_type in (NON_INTERACTIVE, PORT)


def assign(request: StartRequest, documents: Mapping[str, Document]) -> Assignment:
    """:class:`UsageError` if there is no such document, or a parameter is missing."""
    document = documents.get(request.document_name)
    if document is None:
        raise UsageError("the document %s does not exist" % request.document_name)
    argv, mistake = _argv(document, request.parameters)
    return Assignment(
        document.session_type,
        _port(document, request.parameters) if document.session_type == PORT else None,
        argv,
        _separate(document, request.parameters),
        mistake,
    )


def _port(document: Document, parameters: Mapping[str, Sequence[str]]) -> Dict[str, object]:
    properties: Dict[str, object] = dict(document.properties)
    for name in PORT_PARAMETERS:
        if _first(parameters, name):
            properties[name] = _first(parameters, name)
    return properties


def _argv(
    document: Document, parameters: Mapping[str, Sequence[str]]
) -> Tuple[Tuple[str, ...], str]:
    """The words, or why there are none. On a terminal a shell runs the command line; without one
    it is only split like one would."""
    if document.session_type not in (INTERACTIVE, NON_INTERACTIVE):
        return (), ""
    line = " ".join(parameters.get("command", ()))
    if not line.strip():
        raise UsageError("the session type %s needs a command" % document.session_type)
    if document.session_type == INTERACTIVE and not document.splits:
        return ("sh", "-c", line), ""
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        return (), "Unable to start command: Failed to parse commands input: %s\n" % error
    if words and words[0] in parameters.get("withoutPrograms", ()):
        text = 'Unable to start command: exec: "%s": executable file not found in $PATH'
        return (), text % words[0]
    return words, ""


def _separate(document: Document, parameters: Mapping[str, Sequence[str]]) -> bool:
    if document.separate_output is not None:
        return document.separate_output
    return _first(parameters, "separateOutputStream").lower() == "true"


def _first(parameters: Mapping[str, Sequence[str]], name: str) -> str:
    values = parameters.get(name) or ("",)
    return values[0]
