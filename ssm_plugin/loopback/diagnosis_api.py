"""What is asked before a session, to see why it would fail: SSM's connection status and session
preferences, and whose the credentials are (STS)."""

import json
from typing import Any, Callable, Container, Dict, Optional
from xml.sax.saxutils import escape

from ..wire.message import random_id
from .http import HttpResponse
from .json_api import ApiError, Fields, field
from .query_api import QueryApi
from .signatures import SignatureCheck

PREFERENCES = "SSM-SessionManagerRunShell"
ACCOUNT = "000000000000"

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Diagnosis:
    """The operations of SSM. ``targets`` are the nodes that are connected; None: any name is one.
    ``preferences`` are the inputs of the account's session document; None: it has none."""

    def __init__(self, targets: Optional[Container[str]] = None) -> None:
        self.preferences: Optional[Dict[str, Any]] = {}
        # Those of other documents, by name.
        self.contents: Dict[str, Dict[str, Any]] = {
            "AWS-StartNonInteractiveCommand": {
                "schemaVersion": "1.0",
                "sessionType": "NonInteractiveCommands",
            }
        }
        self._targets = targets

    @property
    def operations(self) -> Dict[str, Callable[[Fields], Fields]]:
        return {"GetConnectionStatus": self._connection_status, "GetDocument": self._document}

    def _connection_status(self, fields: Fields) -> Fields:
        target = field(fields, "Target")
        connected = self._targets is None or target in self._targets
        return {"Target": target, "Status": "connected" if connected else "notconnected"}

    def _document(self, fields: Fields) -> Fields:
        name = field(fields, "Name")
        if name in self.contents:
            return _answer(name, self.contents[name])
        if name != PREFERENCES or self.preferences is None:
            text = "Document with name %s does not exist." % name
            raise ApiError("InvalidDocument", text)
        content: Dict[str, Any] = {
            "schemaVersion": "1.0",
            "description": "Document to hold regional settings for Session Manager",
            "sessionType": "Standard_Stream",
            "inputs": self.preferences,
        }
        return _answer(name, content)


def _answer(name: str, content: Dict[str, Any]) -> Fields:
    return {
        "Name": name,
        "DocumentVersion": "1",
        "Status": "Active",
        "DocumentType": "Session",
        "DocumentFormat": "JSON",
        "Content": json.dumps(content),
    }


class StsApi(QueryApi):
    """GetCallerIdentity, in the spelling of STS."""

    def __init__(self, signatures: SignatureCheck) -> None:
        super().__init__("sts", signatures, {"GetCallerIdentity": self._identity})

    def _identity(self, fields: Fields) -> Fields:
        arn = "arn:aws:iam::%s:user/demo" % ACCOUNT
        return {"Arn": arn, "UserId": "AIDADEMO", "Account": ACCOUNT}

    def _answer(self, operation: str, fields: Fields) -> HttpResponse:
        text = (
            '<{0}Response xmlns="{1}"><{0}Result>{2}</{0}Result>'
            "<ResponseMetadata><RequestId>{3}</RequestId></ResponseMetadata></{0}Response>"
        )
        return _xml(200, text.format(operation, _NAMESPACE, _elements(fields), random_id()))

    def _error(self, error: ApiError) -> HttpResponse:
        said = _elements({"Type": "Sender", "Code": error.code, "Message": str(error)})
        inner = "<Error>%s</Error><RequestId>%s</RequestId>" % (said, random_id())
        text = '<ErrorResponse xmlns="%s">%s</ErrorResponse>' % (_NAMESPACE, inner)
        return _xml(error.status, text)


def _elements(fields: Fields) -> str:
    return "".join("<%s>%s</%s>" % (k, escape(str(v)), k) for k, v in fields.items())


def _xml(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, text.encode("utf-8"), (("Content-Type", "text/xml"),))
