"""The part of S3 that results are fetched by: GetObject, HeadObject, ListObjectsV2; path style.

Nothing can be put there by a request. The service's own nodes do it.
"""

import base64
import binascii
import re
import time
import uuid
from email.utils import formatdate
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import parse_qsl, quote, unquote

from .buckets import FORBIDDEN, MISSING, LocalBuckets, StoredObject
from .http import HttpResponse, Request
from .json_api import ApiError, Fault, JsonApi
from .query_api import xml_response
from .signatures import SignatureCheck

MOST_KEYS = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class S3Api(JsonApi):
    """Unlike the others, it has its operations in methods and paths."""

    codes = {
        "MissingAuthenticationTokenException": ("AccessDenied", 403),
        "UnrecognizedClientException": ("InvalidAccessKeyId", 403),
        "IncompleteSignatureException": ("AuthorizationHeaderMalformed", 400),
        "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
        "AccessDeniedException": ("AccessDenied", 403),
        "ThrottlingException": ("SlowDown", 503),
    }

    def __init__(self, buckets: LocalBuckets, signatures: SignatureCheck, fault: Fault) -> None:
        super().__init__("s3", signatures, {}, fault)
        self._buckets = buckets

    def _operation(self, request: Request) -> str:
        method = request.method.capitalize()
        if _place(request)[1]:
            return method + "Object"
        return "ListObjectsV2" if method == "Get" else method + "Bucket"

    def _perform(self, operation: str, request: Request) -> HttpResponse:
        bucket, key = _place(request)
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
        told: List[Tuple[str, Any]] = [
            ("Name", bucket),
            ("Prefix", encode(prefix)),
            ("MaxKeys", size),
            ("KeyCount", len(page)),
            ("IsTruncated", str(is_cut).lower()),
        ]
        told += [("Contents", _listed(encode(key), one)) for key, one in page if one]
        told += [("CommonPrefixes", {"Prefix": encode(name)}) for name, one in page if not one]
        for name, parameter in (("Delimiter", "delimiter"), ("EncodingType", "encoding-type")):
            if query.get(parameter):
                told.append((name, query[parameter]))
        if is_cut and page:
            token = base64.urlsafe_b64encode(page[-1][0].encode("utf-8"))
            told.append(("NextContinuationToken", token.decode("ascii")))
        return xml_response(200, "ListBucketResult", told, NAMESPACE)

    def _error(self, code: str, status: int, text: str, request: Request) -> HttpResponse:
        bucket, key = _place(request)
        told = {"Code": code, "Message": text, "BucketName": bucket, "Key": key}
        told.update(RequestId=uuid.uuid4().hex[:16].upper(), HostId="loopback")
        return xml_response(status, "Error", told.items())


def _place(request: Request) -> Tuple[str, str]:
    """The bucket and the key."""
    bucket, _, key = unquote(request.path[1:]).partition("/")
    return bucket, key


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
