"""What messages carry: payload types and their contents, most of them JSON.

Parsers take any bytes and raise :class:`MessageError`, nothing else. Unknown JSON keys are ignored.
"""

import json
import re
import struct
from typing import Any, Dict, List, Optional, Tuple

from ..errors import MessageError
from ..named_tuple import NamedTuple
from .message import Buffer

OUTPUT = 1
ERROR = 2
SIZE = 3
PARAMETER = 4
HANDSHAKE_REQUEST = 5
HANDSHAKE_RESPONSE = 6
HANDSHAKE_COMPLETE = 7
ENCRYPTION_CHALLENGE_REQUEST = 8
ENCRYPTION_CHALLENGE_RESPONSE = 9
FLAG = 10
STDERR = 11
EXIT_CODE = 12

# What is sealed once a session is encrypted; everything else stays plain.
SEALED = frozenset((OUTPUT, STDERR, EXIT_CODE))

DISCONNECT_TO_PORT = 1
TERMINATE_SESSION = 2
CONNECT_TO_PORT_ERROR = 3

SUCCESS = 1
FAILED = 2
UNSUPPORTED = 3

TERMINATING = "Terminating"  # a session's state

SESSION_TYPE_ACTION = "SessionType"
KMS_ENCRYPTION_ACTION = "KMSEncryption"


class RequestedAction(NamedTuple):
    action_type: str
    parameters: Dict[str, Any]


class HandshakeRequest(NamedTuple):
    agent_version: str
    actions: Tuple[RequestedAction, ...]


class ProcessedAction(NamedTuple):
    action_type: str
    status: int
    result: Optional[Dict[str, Any]] = None
    error: str = ""


class HandshakeResponse(NamedTuple):
    client_version: str
    actions: Tuple[ProcessedAction, ...]
    errors: Tuple[str, ...] = ()


class HandshakeComplete(NamedTuple):
    """``duration`` is in nanoseconds, as the agent measured it."""

    duration: int
    customer_message: str


def open_message(
    request_id: str, token_value: str, client_id: str, client_version: str
) -> str:
    """The first frame of a connection, the only text, and the only place of the token."""
    return _compact(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": request_id,
            "TokenValue": token_value,
            "ClientId": client_id,
            "ClientVersion": client_version,
        }
    )


# Every data message costs one of these: the text is made by hand, and read by a pattern for what
# AWS's clients and agents send, whatever the order of the first three fields. Any other valid JSON
# takes the longer way.
_ACKNOWLEDGEMENT = (
    b'{"AcknowledgedMessageType":"%b","AcknowledgedMessageId":"%08x-%04x-%04x-%04x-%012x",'
    b'"AcknowledgedMessageSequenceNumber":%d,"IsSequentialMessage":true}'
)
_USUAL_ACKNOWLEDGEMENT = re.compile(
    br'\{(?:"AcknowledgedMessage'
    br'(?:Type":"[a-z_]+"|Id":"[0-9a-fA-F-]{36}"|SequenceNumber":([0-9]{1,18})),){3}'
    br'"IsSequentialMessage":(?:true|false)\}\Z'
).match


def build_acknowledgement(message_type: str, id_high: int, id_low: int, sequence: int) -> bytes:
    return _ACKNOWLEDGEMENT % (
        message_type.encode("ascii"),
        id_high >> 32,
        id_high >> 16 & 0xFFFF,
        id_high & 0xFFFF,
        id_low >> 48,
        id_low & 0xFFFFFFFFFFFF,
        sequence,
    )


def acknowledged_sequence(payload: Buffer) -> int:
    """The number that an acknowledgement names: the JSON's, as the header's is always 0."""
    usual = _USUAL_ACKNOWLEDGEMENT(payload)
    if usual and usual.group(1):
        return int(usual.group(1))
    return int(_field(_object(payload), "AcknowledgedMessageSequenceNumber", int))


def parse_channel_closed(payload: Buffer) -> str:
    """The service's reason in words; empty when the session ended normally."""
    return _field(_object(payload), "Output", str, "")


def build_channel_closed(
    session_id: str, message_id: str, created: int, destination: str, reason: str
) -> bytes:
    return _compact(
        {
            "MessageId": message_id,
            "CreatedDate": str(created),
            "DestinationId": destination,
            "SessionId": session_id,
            "MessageType": "channel_closed",
            "SchemaVersion": 1,
            "Output": reason,
        }
    ).encode("utf-8")


def build_handshake_request(request: HandshakeRequest) -> bytes:
    actions = [
        {"ActionType": action.action_type, "ActionParameters": action.parameters}
        for action in request.actions
    ]
    fields = {"AgentVersion": request.agent_version, "RequestedClientActions": actions}
    return _compact(fields).encode("utf-8")


def parse_handshake_request(payload: Buffer) -> HandshakeRequest:
    fields = _object(payload)
    actions = []
    for entry in _field(fields, "RequestedClientActions", list, []):
        if not isinstance(entry, dict):
            raise MessageError("a requested action is not a JSON object")
        parameters = _field(entry, "ActionParameters", dict, {})
        actions.append(RequestedAction(_field(entry, "ActionType", str), parameters))
    return HandshakeRequest(_field(fields, "AgentVersion", str, ""), tuple(actions))


def build_handshake_response(response: HandshakeResponse) -> bytes:
    actions = [
        {
            "ActionType": action.action_type,
            "ActionStatus": action.status,
            "ActionResult": action.result,
            "Error": action.error,
        }
        for action in response.actions
    ]
    fields = {
        "ClientVersion": response.client_version,
        "ProcessedClientActions": actions,
        "Errors": list(response.errors) or None,
    }
    return _compact(fields).encode("utf-8")


def parse_handshake_response(payload: Buffer) -> HandshakeResponse:
    fields = _object(payload)
    actions = []
    for entry in _field(fields, "ProcessedClientActions", list, []):
        if not isinstance(entry, dict):
            raise MessageError("a processed action is not a JSON object")
        actions.append(
            ProcessedAction(
                _field(entry, "ActionType", str),
                _field(entry, "ActionStatus", int),
                entry.get("ActionResult"),
                _field(entry, "Error", str, ""),
            )
        )
    errors: List[Any] = _field(fields, "Errors", list, [])
    if not all(isinstance(error, str) for error in errors):
        raise MessageError("an error of the handshake response is not text")
    return HandshakeResponse(
        _field(fields, "ClientVersion", str, ""), tuple(actions), tuple(errors)
    )


def build_handshake_complete(complete: HandshakeComplete) -> bytes:
    fields = {
        "HandshakeTimeToComplete": complete.duration,
        "CustomerMessage": complete.customer_message,
    }
    return _compact(fields).encode("utf-8")


def parse_handshake_complete(payload: Buffer) -> HandshakeComplete:
    fields = _object(payload)
    return HandshakeComplete(
        _field(fields, "HandshakeTimeToComplete", int, 0),
        _field(fields, "CustomerMessage", str, ""),
    )


def build_challenge(challenge: str) -> bytes:
    """Both ways of the encryption challenge: base64 text of a sealed value."""
    return _compact({"Challenge": challenge}).encode("ascii")


def parse_challenge(payload: Buffer) -> str:
    return _field(_object(payload), "Challenge", str)


def build_size(columns: int, rows: int) -> bytes:
    return _compact({"cols": columns, "rows": rows}).encode("ascii")


def parse_size(payload: Buffer) -> Tuple[int, int]:
    fields = _object(payload)
    return _field(fields, "cols", int), _field(fields, "rows", int)


def build_flag(flag: int) -> bytes:
    return struct.pack(">I", flag)


def parse_flag(payload: Buffer) -> int:
    if len(payload) != 4:
        raise MessageError("a flag has %d bytes, not 4" % len(payload))
    return int.from_bytes(payload, "big")


def build_exit_code(status: int) -> bytes:
    return b"EXIT_CODE: %d" % status


def parse_exit_code(payload: Buffer) -> int:
    found = re.match(br"\s*EXIT_CODE:\s*(-?[0-9]{1,10})\s*\Z", payload)
    if not found:
        raise MessageError("an exit code message holds no exit code")
    return int(found.group(1))


def build_session_state(session_id: str, state: str) -> bytes:
    """``agent_session_state``; ``state`` is ``Connected`` or ``Terminating``."""
    fields = {"SchemaVersion": 1, "SessionState": state, "SessionId": session_id}
    return _compact(fields).encode("utf-8")


def parse_session_state(payload: Buffer) -> str:
    return str(_field(_object(payload), "SessionState", str))


def _compact(fields: Dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))


# Bytes. What both ends send has some hundreds; and a number takes time by the square of its length.
_LONGEST_OBJECT = 65536


def _object(payload: Buffer) -> Dict[str, Any]:
    if len(payload) > _LONGEST_OBJECT:
        raise MessageError("a payload of %d bytes is too long to be read as JSON" % len(payload))
    try:
        value = json.loads(bytes(payload).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageError("a payload is not JSON") from error
    if not isinstance(value, dict):
        raise MessageError("a payload is not a JSON object")
    return value


_REQUIRED: Any = object()


def _field(fields: Dict[str, object], name: str, kind: type, default: object = _REQUIRED) -> Any:
    """``fields[name]``, checked; missing and null mean ``default`` where there is one."""
    value = fields.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MessageError("field %s is missing or not of type %s" % (name, kind.__name__))
    return value
