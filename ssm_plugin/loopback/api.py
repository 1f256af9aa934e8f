"""The SSM API: what sessions need (start, resume, terminate, describe), and what others add."""

from functools import partial
from typing import Any, Callable, Container, Dict, List, Mapping, Optional, Tuple

from .diagnosis_api import Diagnosis
from .gateway import Gateway
from .gateway_session import GatewaySession, StartRequest
from .json_api import ApiError, Fault, Fields, JsonApi, field
from .node_api import describe_instance_information
from .nodes import LocalNodes
from .run_command import RunCommand
from .signatures import SignatureCheck

# By what DescribeSessions can choose. AWS knows more: times, owners, kinds of access.
_FILTERS: Mapping[str, Callable[[GatewaySession], str]] = {
    "SessionId": lambda session: session.session_id,
    "Status": lambda session: session.state,
    "Target": lambda session: session.request.target,
}


class SsmApi(JsonApi):
    """``targets`` are the nodes that are connected; None: any name is one. ``nodes`` are those that
    can be looked up. ``documents`` are those that exist; None: any name may be one."""

    def __init__(
        self,
        gateway: Gateway,
        signatures: SignatureCheck,
        targets: Optional[Container[str]],
        nodes: LocalNodes,
        run_command: RunCommand,
        fault: Fault,
        documents: Optional[Container[str]],
    ) -> None:
        operations: Dict[str, Callable[[Fields], Fields]] = {
            "StartSession": self._start_session,
            "ResumeSession": self._resume_session,
            "TerminateSession": self._terminate_session,
            "DescribeSessions": self._describe_sessions,
            "DescribeInstanceInformation": partial(describe_instance_information, nodes),
        }
        self.diagnosis = Diagnosis(targets)
        operations.update(self.diagnosis.operations)
        operations.update(run_command.operations)
        super().__init__("ssm", signatures, operations, fault)
        self._gateway = gateway
        self._targets = targets
        self._documents = documents

    def _start_session(self, fields: Fields) -> Fields:
        target = field(fields, "Target")
        if not target or (self._targets is not None and target not in self._targets):
            raise ApiError("TargetNotConnected", "%s is not connected." % target)
        document = field(fields, "DocumentName", str, "")
        if self._documents is not None and document not in self._documents:
            text = "Document with name %s does not exist." % document
            raise ApiError("InvalidDocument", text)
        session = self._gateway.start_session(
            StartRequest(
                target,
                document,
                _parameters(field(fields, "Parameters", dict, {})),
                field(fields, "Reason", str, ""),
            )
        )
        return _opening(session, self._gateway.stream_url(session))

    def _resume_session(self, fields: Fields) -> Fields:
        session = self._session(fields)
        if session.is_over:
            return {"SessionId": session.session_id, "TokenValue": "", "StreamUrl": ""}
        session.renew_token()
        return _opening(session, self._gateway.resumed_stream_url(session))

    def _terminate_session(self, fields: Fields) -> Fields:
        session = self._session(fields)
        session.terminate()
        return {"SessionId": session.session_id}

    def _describe_sessions(self, fields: Fields) -> Fields:
        wanted = field(fields, "State")
        if wanted not in ("Active", "History"):
            raise ApiError("ValidationException", "State is Active or History")
        filters = _filters(field(fields, "Filters", list, []))
        return {
            "Sessions": [
                _description(session)
                for session in self._gateway.sessions()
                if session.is_over == (wanted == "History")
                and all(_FILTERS[key](session) == value for key, value in filters)
            ]
        }

    def _session(self, fields: Fields) -> GatewaySession:
        session_id = field(fields, "SessionId")
        session = self._gateway.find(session_id)
        if session is None:
            raise ApiError("DoesNotExistException", "Session %s does not exist" % session_id)
        return session


def _opening(session: GatewaySession, stream_url: str) -> Fields:
    return {
        "SessionId": session.session_id,
        "TokenValue": session.token,
        "StreamUrl": stream_url,
    }


def _description(session: GatewaySession) -> Fields:
    return {
        "SessionId": session.session_id,
        "Target": session.request.target,
        "Status": session.state,
        "StartDate": session.created,
        "DocumentName": session.request.document_name,
        "Reason": session.request.reason,
    }


def _filters(given: List[Any]) -> List[Tuple[str, str]]:
    """Their names are in lower case, unlike those of most filters of SSM."""
    if not all(isinstance(one, dict) for one in given):
        raise ApiError("ValidationException", "a filter is not an object")
    filters = [(field(one, "key"), field(one, "value")) for one in given]
    if not all(key in _FILTERS for key, _ in filters):
        raise ApiError("InvalidFilterKey", "The specified key isn't valid.")
    return filters


def _parameters(fields: Mapping[str, Any]) -> Mapping[str, List[str]]:
    for name, values in fields.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ApiError("ValidationException", "Parameters.%s is not a list of strings" % name)
    return dict(fields)
