"""The calling convention of AWS's JSON 1.1 services: one POST, the operation named in a header.
Those of other services are spelt out in subclasses.

Errors are answered in AWS's shape; any call can be made to fail on request. Each call is recorded:
its operation, how it was signed, and the error code it was answered with. Never its contents. Long
answers come in pages, as AWS gives them: a token leads to the next one, and to no other.
"""

import hashlib
import json
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..named_tuple import NamedTuple
from ..wire.message import random_id
from .http import HttpResponse, Request
from .signatures import SignatureCheck

HISTORY = 10000  # calls that are remembered

Fields = Dict[str, object]
T = TypeVar("T")


class ApiError(Exception):
    """``code`` such as ``TargetNotConnected``; ``status`` is the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


# Tells for a service and an operation what the call is to fail with; None: it is not.
Fault = Callable[[str, str], Optional[ApiError]]


class Call(NamedTuple):
    """``signature`` is one of the verdicts in :mod:`signatures`; ``error`` is empty on success."""

    operation: str
    signature: str
    error: str


class JsonApi:
    """``operations`` by the name that follows the dot in ``X-Amz-Target``.

    ``service`` is the name that signatures must be made out to. ``fault`` gives the error that a
    call is to fail with. ``codes``: what this service calls an error of the others, and its status.
    """

    codes: Mapping[str, Tuple[str, int]] = {}

    def __init__(
        self,
        service: str,
        signatures: SignatureCheck,
        operations: Mapping[str, Callable[[Fields], Fields]],
        fault: Fault,
    ) -> None:
        self._service = service
        self._signatures = signatures
        self._operations = operations
        self._fault = fault
        self._lock = threading.Lock()
        self._prepared: Dict[str, Deque[ApiError]] = {}
        self._calls: Deque[Call] = deque(maxlen=HISTORY)

    def answer_with(
        self, operation: str, code: str, message: str = "", status: int = 400, times: int = 1
    ) -> None:
        """Let the next ``times`` calls of that operation fail in this way."""
        if operation not in self._operations:
            raise ValueError("no operation %s" % operation)
        with self._lock:
            prepared = self._prepared.setdefault(operation, deque())
            prepared.extend([ApiError(code, message, status)] * times)

    def calls(self, operation: str = "") -> List[Call]:
        """All calls so far, or those of one operation, the oldest first."""
        with self._lock:
            return [call for call in self._calls if operation in ("", call.operation)]

    def handle(self, request: Request) -> HttpResponse:
        operation = self._operation(request)
        judgement = self._signatures.check(request, self._service)
        code = ""
        try:
            if judgement.error is not None:
                raise ApiError(*judgement.error)
            self._fail_on_request(operation)
            answer = self._perform(operation, request)
        except ApiError as failed:
            code, status = self.codes.get(failed.code, (failed.code, failed.status))
            answer = self._error(code, status, str(failed), request)
        with self._lock:
            self._calls.append(Call(operation, judgement.verdict, code))
        return answer

    def _fail_on_request(self, operation: str) -> None:
        with self._lock:
            prepared = self._prepared.get(operation)
            if prepared:
                raise prepared.popleft()
        error = self._fault(self._service, operation)
        if error is not None:
            raise error

    def _perform(self, operation: str, request: Request) -> HttpResponse:
        if request.method != "POST" or operation not in self._operations:
            raise ApiError("UnknownOperationException", "")
        return self._answer(operation, self._operations[operation](self._fields(request)))

    # How calls are written

    def _operation(self, request: Request) -> str:
        return request.headers.get("x-amz-target", "").rpartition(".")[2]

    def _fields(self, request: Request) -> Fields:
        return _parse(request.body)

    def _answer(self, operation: str, fields: Fields) -> HttpResponse:
        return _json_response(200, fields)

    def _error(self, code: str, status: int, text: str, request: Request) -> HttpResponse:
        return _json_response(status, {"__type": code, "message": text})


def field(fields: Fields, name: str, kind: type = str, default: object = None) -> Any:
    """``fields[name]``; a missing one is ``default``, or an error where that is None."""
    value = fields.get(name, default)
    if value is None or not isinstance(value, kind):
        raise ApiError(
            "ValidationException", "field %s is missing or not of type %s" % (name, kind.__name__)
        )
    return value


def page_of(
    items: Sequence[T],
    size: int,
    token: object,
    question: str,
    key: str = "NextToken",
    invalid: str = "InvalidNextToken",
) -> Tuple[List[T], Fields]:
    """The items of this page, and by ``key`` the token of the next, unless this is the last. A
    token of another ``question`` is refused with the error ``invalid``."""
    start = 0
    if token is not None:
        number = str(token).partition("-")[0]
        if not number.isdecimal() or len(number) > 9 or token != _token(int(number), question):
            raise ApiError(invalid, "The specified token isn't valid.")
        start = int(number)
    end = start + size
    return list(items[start:end]), {key: _token(end, question)} if end < len(items) else {}


def _token(start: int, question: str) -> str:
    return "%d-%s" % (start, hashlib.sha256(question.encode("utf-8")).hexdigest()[:40])


def _parse(body: bytes) -> Fields:
    try:
        fields = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", "the body is not JSON") from error
    if not isinstance(fields, dict):
        raise ApiError("SerializationException", "the body is not a JSON object")
    return fields


def _json_response(status: int, fields: Fields) -> HttpResponse:
    headers: Tuple[Tuple[str, str], ...] = (
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-RequestId", random_id()),
        ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
    )
    return HttpResponse(status, json.dumps(fields).encode("utf-8"), headers)
