"""The part of S3 that results are fetched by: GetObject, HeadObject, ListObjectsV2; path style.

Nothing can be put there by a request. The service's own nodes do it.
"""

import base64
import binascii
import re
import threading
import time
import uuid
from collections import deque
from email.utils import formatdate
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from .buckets import FORBIDDEN, MISSING, LocalBuckets, StoredObject
from .http import HttpResponse, Request
from .json_api import HISTORY, ApiError, Call
from .signatures import SignatureCheck

MOST_KEYS = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# What the other services say, in S3's words.
_CODES: Mapping[str, Tuple[str, int]] = {
    "MissingAuthenticationTokenException": ("AccessDenied", 403),
    "UnrecognizedClientException": ("InvalidAccessKeyId", 403),
    "IncompleteSignatureException": ("AuthorizationHeaderMalformed", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "AccessDeniedException": ("AccessDenied", 403),
    "ThrottlingException": ("SlowDown", 503),
}


class S3Api:
    """Calls are recorded and made to fail as those of a :class:`JsonApi` are."""

    def __init__(
        self,
        buckets: LocalBuckets,
        signatures: SignatureCheck,
        fault: Callable[[str], Optional[ApiError]] = lambda operation: None,
    ) -> None:
        self._buckets = buckets
        self._signatures = signatures
        self._fault = fault
        self._lock = threading.Lock()
        self._calls: Deque[Call] = deque(maxlen=HISTORY)

    def calls(self, operation: str = "") -> List[Call]:
        """All calls so far, or those of one operation, the oldest first."""
        with self._lock:
            return [call for call in self._calls if operation in ("", call.operation)]

    def handle(self, request: Request) -> HttpResponse:
        bucket, _, key = unquote(request.path[1:]).partition("/")
        operation = _operation(request.method, key)
        judgement = self._signatures.check(request, "s3")
        error = ""
        try:
            if judgement.error is not None:
                raise ApiError(*judgement.error)
            answer = self._perform(operation, bucket, key, request)
        except ApiError as failed:
            code, status = _CODES.get(failed.code, (failed.code, failed.status))
            error, answer = code, _error(code, status, str(failed), bucket, key)
        with self._lock:
            self._calls.append(Call(operation, judgement.verdict, error))
        return answer

    def _perform(self, operation: str, bucket: str, key: str, request: Request) -> HttpResponse:
        error = self._fault(operation)
        if error is not None:
            raise error
        if bucket == FORBIDDEN:
            raise ApiError("AccessDenied", "Access Denied", 403)
        if bucket == MISSING:
            raise ApiError("NoSuchBucket", "The specified bucket does not exist", 404)
        if operation == "ListObjectsV2":
            return self._list(bucket, dict(parse_qsl(request.query, True)))
        if operation not in ("GetObject", "HeadObject"):
            raise ApiError("MethodNotAllowed", "The specified method is not allowed.", 405)
        stored = self._buckets.get(bucket, key)
        if stored is None:
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404)
        return _object(stored, request.headers.get("range", ""))

    def _list(self, bucket: str, query: Mapping[str, str]) -> HttpResponse:
        if query.get("list-type") != "2":
            raise ApiError("NotImplemented", "Only the second version of lists is there.", 501)
        encode: Callable[[str], str] = str
        if query.get("encoding-type") == "url":
            encode = quote
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        size = min(MOST_KEYS, _number(query.get("max-keys", str(MOST_KEYS))))
        after = _after(query)
        entries = [
            (name, stored)
            for name, stored in _folded(self._buckets.keys(bucket, prefix), prefix, delimiter)
            if name.encode("utf-8") > after.encode("utf-8")
        ]
        page, is_cut = entries[:size], len(entries) > size
        told: Dict[str, Any] = {
            "Name": bucket,
            "Prefix": encode(prefix),
            "MaxKeys": size,
            "KeyCount": len(page),
            "IsTruncated": str(is_cut).lower(),
            "Contents": [_listed(encode(key), one) for key, one in page if one],
            "CommonPrefixes": [{"Prefix": encode(name)} for name, one in page if not one],
        }
        for name, parameter in (("Delimiter", "delimiter"), ("EncodingType", "encoding-type")):
            if query.get(parameter):
                told[name] = query[parameter]
        if is_cut and page:
            token = base64.urlsafe_b64encode(page[-1][0].encode("utf-8"))
            told["NextContinuationToken"] = token.decode("ascii")
        inner = "".join(_elements(told))
        return _xml(200, '<ListBucketResult xmlns="%s">%s</ListBucketResult>' % (NAMESPACE, inner))


def _operation(method: str, key: str) -> str:
    if not key:
        return "ListObjectsV2" if method == "GET" else method.capitalize() + "Bucket"
    return method.capitalize() + "Object"


def _object(stored: StoredObject, wanted: str) -> HttpResponse:
    headers = [
        ("ETag", '"%s"' % stored.etag),
        ("Last-Modified", formatdate(stored.modified, usegmt=True)),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", "binary/octet-stream"),
    ]
    found = re.match(r"bytes=([0-9]{1,15})-([0-9]{0,15})\Z", wanted)
    if not found:
        return HttpResponse(200, stored.read(0, stored.size), headers)
    start, end = int(found.group(1)), int(found.group(2) or stored.size) + 1
    end = min(end, stored.size)
    if start >= end:
        raise ApiError("InvalidRange", "The requested range is not satisfiable", 416)
    headers.append(("Content-Range", "bytes %d-%d/%d" % (start, end - 1, stored.size)))
    return HttpResponse(206, stored.read(start, end), headers)


def _folded(
    found: List[Tuple[str, StoredObject]], prefix: str, delimiter: str
) -> Iterator[Tuple[str, Optional[StoredObject]]]:
    """The objects that a listing shows. With a delimiter, all keys with the same next part become
    one entry without an object."""
    last = ""
    for key, stored in found:
        name, cut, _ = key[len(prefix):].partition(delimiter) if delimiter else (key, "", "")
        if not cut:
            yield key, stored
        elif last != prefix + name + cut:
            last = prefix + name + cut
            yield last, None


def _after(query: Mapping[str, str]) -> str:
    token = query.get("continuation-token")
    if token is None:
        return query.get("start-after", "")
    try:
        return base64.urlsafe_b64decode(token.encode("utf-8")).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        text = "The continuation token provided is incorrect"
        raise ApiError("InvalidArgument", text) from error


def _number(text: str) -> int:
    if not re.match(r"[0-9]{1,9}\Z", text):
        raise ApiError("InvalidArgument", "Provided max-keys not an integer or within range")
    return int(text)


def _listed(key: str, stored: StoredObject) -> Dict[str, Any]:
    return {
        "Key": key,
        "LastModified": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified)),
        "ETag": '"%s"' % stored.etag,
        "Size": stored.size,
        "StorageClass": "STANDARD",
    }


def _elements(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            inner = "".join(_elements(one)) if isinstance(one, dict) else _text(str(one))
            yield "<%s>%s</%s>" % (name, inner, name)


def _text(text: str) -> str:
    """What XML cannot hold is asked for in URL encoding; else it becomes a question mark."""
    return escape("".join(one if one >= " " or one in "\t\n\r" else "?" for one in text))


def _error(code: str, status: int, message: str, bucket: str, key: str) -> HttpResponse:
    told = {"Code": code, "Message": message, "BucketName": bucket, "Key": key}
    told.update(RequestId=uuid.uuid4().hex[:16].upper(), HostId="loopback")
    return _xml(status, "<Error>%s</Error>" % "".join(_elements(told)))


def _xml(status: int, text: str) -> HttpResponse:
    data = '<?xml version="1.0" encoding="UTF-8"?>\n' + text
    headers = (("Content-Type", "application/xml"),)
    return HttpResponse(status, data.encode("utf-8", "replace"), headers)
