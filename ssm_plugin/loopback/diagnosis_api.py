"""What is asked before a session, to see why it would fail: connection status and preferences."""

import json
from typing import Any, Callable, Container, Dict, Optional

from .json_api import ApiError, Fields, field

PREFERENCES = "SSM-SessionManagerRunShell"
ACCOUNT = "000000000000"
USER = "arn:aws:iam::%s:user/demo" % ACCOUNT


class Diagnosis:
    """The operations of SSM. ``targets`` are the nodes that are connected; None: any name is one.
    ``preferences`` are the inputs of the account's session document; None: it has none."""

    def __init__(self, targets: Optional[Container[str]]) -> None:
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
