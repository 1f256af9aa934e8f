"""An object in S3, part by part, by GETs that we sign. Parts keep memory small; one that is lost on
the way can be asked for again."""

import hashlib
import re
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional
from urllib.parse import quote

from ..errors import NetworkError, ServiceError
from ..named_tuple import NamedTuple
from .service_errors import Operation

if TYPE_CHECKING:
    from ..net.exchange import Response

ACTION = "s3:GetObject"
PART = 1 << 20  # bytes

_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_ROOM = 65536  # bytes, for a server that sends an error in its place
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]{1,20}){1,3}-[0-9]{1,2}\Z")


class Part(NamedTuple):
    """``total`` is the size of the whole object. ``region`` is where the bucket is, if it is not
    where it was looked for; there is no data then."""

    data: bytes
    total: int
    region: str = ""


class GetPart(NamedTuple):
    """The call, as :class:`ServiceClient` performs it."""

    operation: Operation
    path: str
    start: int
    region: str = ""
    repeatable: bool = True
    paced: bool = False
    method: str = "GET"
    body: bytes = b""

    @property
    def headers(self) -> Dict[str, str]:
        return {
            "Range": "bytes=%d-%d" % (self.start, self.start + PART - 1),
            "X-Amz-Content-SHA256": _OF_NOTHING,
        }

    @property
    def answer_limit(self) -> int:
        return PART + _ROOM

    def target(self, base: str) -> str:
        """Path and query, below those of the endpoint."""
        return base.rstrip("/") + self.path

    def accepts(self, status: int) -> bool:
        """The bucket is elsewhere; nothing is there from ``start`` on."""
        return 200 <= status < 300 or status in (301, 307, 416)

    def read(self, response: "Response") -> Part:
        if response.status in (301, 307):
            region = response.headers.get("x-amz-bucket-region", "")
            if not _REGION.match(region) or region == self.region:
                raise NetworkError("%s: the service says that it is elsewhere" % (self.operation,))
            return Part(b"", 0, region)
        if response.status == 416:
            return Part(b"", self.start)
        return Part(response.body, _total(response.headers, self.start + len(response.body)))


def _total(headers: Mapping[str, str], least: int) -> int:
    found = re.match(r"bytes [0-9]{1,18}-[0-9]{1,18}/([0-9]{1,18})\Z",
                     headers.get("content-range", ""))
    return int(found.group(1)) if found else least


class S3Object:
    """``read`` gives part after part, b"" at the end; ``at`` is how many bytes it gave. ``perform``
    makes the calls, and raises what those of :class:`ServiceClient` do. One thread."""

    def __init__(self, perform: "Callable[[GetPart], Part]", bucket: str, key: str) -> None:
        self._perform = perform
        self._operation = Operation(ACTION, "s3://%s/%s" % (bucket, key))
        self._path = "/" + quote(bucket, safe="") + "/" + quote(key, safe="/~")
        self._region = ""
        self.at = 0
        self._total: Optional[int] = None

    def read(self) -> bytes:
        if self._total is not None and self.at >= self._total:
            return b""
        part = self._part()
        if part.region:
            self._region = part.region
            part = self._part()
        self._total = part.total
        self.at += len(part.data)
        return part.data

    def _part(self) -> Part:
        return self._perform(GetPart(self._operation, self._path, self.at, self._region))


def is_absent(error: Exception) -> bool:
    """Whether the error says that the object does not exist. Callers without the right to list the
    bucket get another error: access denied."""
    return isinstance(error, ServiceError) and error.code == "NoSuchKey"
