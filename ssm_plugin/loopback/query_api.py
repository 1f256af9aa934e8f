"""The calling convention of AWS's Query services: a form that names its action, answers in XML.

Calls are recorded and made to fail as those of a :class:`JsonApi` are: only the spelling differs.
"""

from typing import Any, Dict, Iterable, Tuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ..wire.message import random_id
from .diagnosis_api import ACCOUNT, USER
from .http import HttpResponse, Request
from .json_api import Fault, Fields, JsonApi
from .signatures import SignatureCheck

CONTENT_TYPE = "application/x-www-form-urlencoded"


def action_of(request: Request) -> str:
    """The action of a Query request; empty for any other request."""
    if not request.headers.get("content-type", "").startswith(CONTENT_TYPE):
        return ""
    return form_of(request.body).get("Action", "")


def form_of(body: bytes) -> Dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


class QueryApi(JsonApi):
    """A Query API as EC2 has it: lists are written as elements called ``item``."""

    namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

    def _operation(self, request: Request) -> str:
        return action_of(request)

    def _fields(self, request: Request) -> Fields:
        return dict(form_of(request.body))

    def _answer(self, operation: str, fields: Fields) -> HttpResponse:
        told = dict(fields, requestId=random_id())
        return xml_response(200, operation + "Response", told.items(), self.namespace)

    def _error(self, code: str, status: int, text: str, request: Request) -> HttpResponse:
        errors = {"Error": {"Code": code, "Message": text}}
        told = {"Errors": errors, "RequestID": random_id()}
        return xml_response(status, "Response", told.items())


class StsApi(QueryApi):
    """GetCallerIdentity, in the spelling of STS."""

    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

    def __init__(self, signatures: SignatureCheck, fault: Fault) -> None:
        super().__init__("sts", signatures, {"GetCallerIdentity": self._identity}, fault)

    def _identity(self, fields: Fields) -> Fields:
        return {"Arn": USER, "UserId": "AIDADEMO", "Account": ACCOUNT}

    def _answer(self, operation: str, fields: Fields) -> HttpResponse:
        told = {operation + "Result": fields, "ResponseMetadata": {"RequestId": random_id()}}
        return xml_response(200, operation + "Response", told.items(), self.namespace)

    def _error(self, code: str, status: int, text: str, request: Request) -> HttpResponse:
        error = {"Type": "Sender", "Code": code, "Message": text}
        told = {"Error": error, "RequestId": random_id()}
        return xml_response(status, "ErrorResponse", told.items(), self.namespace)


def xml_response(
    status: int, name: str, told: Iterable[Tuple[str, Any]], namespace: str = ""
) -> HttpResponse:
    """``told`` are pairs: a name may come again."""
    root = '%s xmlns="%s"' % (name, namespace) if namespace else name
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<%s>%s</%s>' % (root, _written(told), name)
    headers = (("Content-Type", "text/xml;charset=UTF-8"),)
    return HttpResponse(status, text.encode("utf-8", "replace"), headers)


def _written(told: Iterable[Tuple[str, Any]]) -> str:
    return "".join("<%s>%s</%s>" % (name, _content(value), name) for name, value in told)


def _content(value: Any) -> str:
    if isinstance(value, dict):
        return _written(value.items())
    if isinstance(value, list):
        return "".join("<item>%s</item>" % _content(one) for one in value)
    # What XML cannot hold, no service gives as it is.
    return escape("".join(one if one >= " " or one in "\t\n\r" else "?" for one in str(value)))
