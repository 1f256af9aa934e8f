"""One call of an AWS API: what is sent, and how the answer is read.

The Query APIs (EC2's, STS's) get forms with dotted, numbered names, the others JSON.
"""

import json
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping
from urllib.parse import urlencode

from ..errors import NetworkError
from ..named_tuple import NamedTuple
from .service_errors import Operation

if TYPE_CHECKING:
    from ..net.exchange import Response
    from .xml_answer import Element

_TARGET_PREFIXES = {
    "ssm": "AmazonSSM",
    "kms": "TrentService",
    "ec2-instance-connect": "AWSEC2InstanceConnectService",
    "ecs": "AmazonEC2ContainerServiceV20141113",
}
# The versions of the Query APIs, which every request of theirs names.
_VERSIONS = {"ec2": "2016-11-15", "sts": "2011-06-15"}
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_ANSWER_LIMIT = 1 << 20  # bytes
_QUERY_ANSWER_LIMIT = 16 << 20  # EC2 writes up to 10 KiB for each instance

# 100,000 nodes. A service that never stops giving pages is broken.
PAGES = 2000


class Call(NamedTuple):
    """``repeatable``: it may be sent again where nobody knows whether it was done. ``paced``: its
    caller keeps to the pace, so a throttled call fails at once and is not tried again here."""

    operation: Operation
    request: Mapping[str, Any]
    repeatable: bool = True
    paced: bool = False
    region: str = ""  # the client's
    method: str = "POST"

    def target(self, base: str) -> str:
        return base

    def accepts(self, status: int) -> bool:
        return 200 <= status < 300

    @property
    def is_query(self) -> bool:
        return self.operation.service not in _TARGET_PREFIXES

    @property
    def body(self) -> bytes:
        if not self.is_query:
            return json.dumps(self.request).encode("ascii")
        return form(self.operation.service, self.operation.name, self.request)

    @property
    def headers(self) -> Dict[str, str]:
        if self.is_query:
            return {"Content-Type": _FORM}
        target = "%s.%s" % (_TARGET_PREFIXES[self.operation.service], self.operation.name)
        return {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}

    @property
    def answer_limit(self) -> int:
        return _QUERY_ANSWER_LIMIT if self.is_query else _ANSWER_LIMIT

    def read(self, response: "Response") -> Any:
        """The fields of an answer in JSON, the root of one in XML. NetworkError for neither."""
        return (_elements if self.is_query else _fields)(response, self.operation)


def form(service: str, action: str, request: Mapping[str, object]) -> bytes:
    """The body. ``{"Filter": [{"Name": "x", "Value": ["1"]}]}`` becomes ``Filter.1.Name=x`` and
    ``Filter.1.Value.1=1``."""
    fields = {"Action": action, "Version": _VERSIONS[service]}
    for name, value in request.items():
        _add(fields, name, value)
    return urlencode(fields).encode("ascii")


def _add(fields: Dict[str, str], name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _add(fields, "%s.%s" % (name, key), inner)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value, 1):
            _add(fields, "%s.%d" % (name, number), inner)
    else:
        fields[name] = str(value)


def _fields(response: "Response", operation: Operation) -> Dict[str, Any]:
    try:
        answer = json.loads(response.body.decode("utf-8") or "{}")
    except (ValueError, RecursionError) as error:
        raise _not_aws(operation) from error
    if not isinstance(answer, dict):
        raise _not_aws(operation)
    return answer


def _elements(response: "Response", operation: Operation) -> "Element":
    from .xml_answer import XmlError, parse_xml

    try:
        return parse_xml(response.body)
    except XmlError as error:
        raise _not_aws(operation) from error


def pages(
    ask: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    request: Mapping[str, Any],
    action: str,
    token: str = "NextToken",
    most: int = PAGES,
) -> Iterator[Mapping[str, Any]]:
    """The answers to a call whose list comes in pages. NetworkError for more than so many."""
    for _ in range(most):
        answer = ask(request)
        yield answer
        if not answer.get(token):
            return
        request = dict(request, **{token: answer[token]})
    raise NetworkError("%s has no end: more than %d pages" % (action, most))


def entries_of(answer: object, key: str, kind: type = dict) -> List[Any]:
    """The entries of this kind in a list of an answer; none where it has no such list."""
    value = answer.get(key) if isinstance(answer, Mapping) else None
    return [one for one in value if isinstance(one, kind)] if isinstance(value, list) else []


def text_of(answer: object, key: str) -> str:
    """A text of an answer; empty where it has none."""
    value = answer.get(key) if isinstance(answer, Mapping) else None
    return value if isinstance(value, str) else ""


def _not_aws(operation: Operation) -> NetworkError:
    return NetworkError(
        "%s got an answer that is not from AWS: check the endpoint URL, and whether a "
        "proxy or a login page stands in between" % (operation,)
    )
