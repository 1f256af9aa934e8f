"""The calling convention of AWS's Query services: a form that names its action, answers in XML.

Calls are recorded and made to fail as those of a :class:`JsonApi` are: only the spelling differs.
"""

from typing import Any, Dict, Iterator
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ..wire.message import random_id
from .http import HttpResponse, Request
from .json_api import ApiError, Fields, JsonApi

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
        inner = "".join(_written(dict(fields, requestId=random_id())))
        name = operation + "Response"
        return _xml(200, '<%s xmlns="%s">%s</%s>' % (name, self.namespace, inner, name))

    def _error(self, error: ApiError) -> HttpResponse:
        said = {"Code": error.code, "Message": str(error)}
        fields: Fields = {"Errors": {"Error": said}, "RequestID": random_id()}
        return _xml(error.status, "<Response>%s</Response>" % "".join(_written(fields)))


def _written(fields: Fields) -> Iterator[str]:
    for name, value in fields.items():
        yield "<%s>%s</%s>" % (name, _content(value), name)


def _content(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_written(value))
    if isinstance(value, list):
        return "".join("<item>%s</item>" % _content(one) for one in value)
    # What XML cannot hold, EC2 does not hold either.
    text = str(value)
    return escape("".join(one if one >= " " or one in "\t\n\r" else "?" for one in text))


def _xml(status: int, text: str) -> HttpResponse:
    data = '<?xml version="1.0" encoding="UTF-8"?>\n' + text
    headers = (("Content-Type", "text/xml;charset=UTF-8"),)
    return HttpResponse(status, data.encode("utf-8", "replace"), headers)
