"""Fetches the output and the exit status of a command on one node, once it has ended there.

GetCommandInvocation gives the beginning of each stream alone, as text. The whole is in S3, if the
command was told to put it there: it is fetched from there where the beginning is not all, or where
text cannot hold what the command wrote. A stream that is whole needs no second call.
"""

import re
import threading
from typing import Any, Callable, Mapping, Optional, Tuple

from ..aws.keys import parse_time
from ..aws.s3 import S3Object, is_absent
from ..errors import NetworkError, ServiceError, SsmPluginError
from ..named_tuple import NamedTuple
from ..session.streams import Streams
from .patience import PatientCalls
from .script import TAIL, own_part
from .sending import Bucket
from .statuses import OVER, normal

GET = "ssm:GetCommandInvocation"

# What an agent puts at the end of what it cuts. The limits are of bytes there.
_SUFFIX = b"--output truncated--"
STDOUT_LIMIT, STDERR_LIMIT = 24000, 8000

# So many more looks, with pauses (s): the invocation may be older than the list, and an object may
# not be there yet.
_LOOKS = 8
_PAUSE = 0.5

_UNREADABLE = "\ufffd".encode("utf-8")


class Fetched(NamedTuple):
    """``code`` is the command's own status, ``said`` why there is none. ``cut`` names the streams
    whose end is missing. Times are seconds since the epoch, 0 where there is none."""

    details: str
    code: int
    said: str
    stdout_bytes: int
    stderr_bytes: int
    cut: Tuple[str, ...] = ()
    started_at: float = 0.0
    ended_at: float = 0.0

    @property
    def ran(self) -> bool:
        return bool(self.started_at)


class OutputFetcher:
    """Any thread may fetch. ``bucket`` is where the whole output is."""

    def __init__(self, calls: PatientCalls, bucket: Optional[Bucket] = None) -> None:
        self._calls = calls
        self._bucket = bucket
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def fetch(
        self, command_id: str, node_id: str, open_streams: Callable[[], Streams]
    ) -> Fetched:
        """Writes it to the streams, which are opened for what has begun. Raises what they raise;
        errors of the service, too: what was written then is not all."""
        answer = self._invocation(command_id, node_id)
        told = _told(answer)
        if told.details == "Cancelled" and not told.ran:
            return told
        streams = open_streams()
        try:
            return self._write(answer, told, streams)
        finally:
            streams.flush()
            streams.finish()

    def _write(self, answer: Mapping[str, Any], told: Fetched, streams: Streams) -> Fetched:
        out, out_cut = _kept(answer.get("StandardOutputContent"), STDOUT_LIMIT)
        err, err_cut = _kept(answer.get("StandardErrorContent"), STDERR_LIMIT)
        code, said = told.code, ""
        if not err_cut and told.details == "Failed":
            err, code, said = own_part(err, code)
        counts, cut = [], []
        failure: Optional[SsmPluginError] = None
        for name, data, is_cut, url, write in (
            ("stdout", out, out_cut, answer.get("StandardOutputUrl"), streams.output),
            ("stderr", err, err_cut, answer.get("StandardErrorUrl"), streams.error),
        ):
            key = self._key(url)
            if key and (is_cut or _UNREADABLE in data):
                agents = told.code if name == "stderr" and told.details == "Failed" else None
                source = self._object(key)
                try:
                    counts.append(copy_object(source, write, agents))
                    continue
                except SsmPluginError as error:
                    if source.at:
                        raise _unfetched(error) from error
                    # Nothing was written: the beginning stands in for it.
                    failure = failure or _unfetched(error)
            counts.append(len(data))
            if data:
                write(data)
            if is_cut:
                cut.append(name)
        if failure is not None:
            raise failure
        return told._replace(
            code=code, said=said, stdout_bytes=counts[0], stderr_bytes=counts[1], cut=tuple(cut)
        )

    def _invocation(self, command_id: str, node_id: str) -> Mapping[str, Any]:
        request = {"CommandId": command_id, "InstanceId": node_id}
        subject = "%s on %s" % (command_id, node_id)
        answer: Mapping[str, Any] = {}
        for _ in range(_LOOKS):
            try:
                answer = self._calls.call(GET, request, subject)
                if answer.get("Status") in OVER:
                    return answer
            except ServiceError as error:
                if error.code != "InvocationDoesNotExist":
                    raise
            if self._stopped.wait(_PAUSE):
                break
        return answer

    def _key(self, url: object) -> str:
        """The key of the object that a URL names. Only the URL's path is used: we know ourselves
        where S3 is."""
        if self._bucket is None or not isinstance(url, str):
            return ""
        _, slash, key = url.partition("/%s/" % self._bucket.name)
        fits = slash and key.startswith(self._bucket.prefix) and re.match(r"[^\0-\x1f]+\Z", key)
        return key if fits else ""

    def _object(self, key: str) -> S3Object:
        assert self._bucket is not None
        service, calls = self._calls.service, self._calls
        return S3Object(
            lambda call: calls.perform(lambda: service.perform(call)), self._bucket.name, key
        )


def _unfetched(error: SsmPluginError) -> SsmPluginError:
    text = "the whole output cannot be fetched: %s%s" % (error, _also(error))
    failure: SsmPluginError = NetworkError(text)
    if isinstance(error, ServiceError):
        failure = ServiceError(text, error.code, error.status)
    failure.__cause__ = error
    return failure


def _also(error: SsmPluginError) -> str:
    if is_absent(error):
        return "; the node's role needs the permission s3:PutObject on the bucket"
    if isinstance(error, ServiceError) and error.code == "AccessDenied":
        return ", and the node's role s3:PutObject"
    return ""


def copy_object(
    source: S3Object, write: Callable[[bytes], object], code: Optional[int] = None
) -> int:
    """Write the whole object, part by part. With the ``code`` of the agent it is the standard
    error, whose end may be the agent's own and is left out. The number of bytes written."""
    held, count = b"", 0
    while True:
        part = source.read()
        data = held + part
        keep = TAIL if code is not None and part else 0
        held = data[max(0, len(data) - keep) :] if keep else b""
        data = data[: len(data) - len(held)]
        if not part and code is not None:
            data = own_part(data, code)[0]
        if data:
            write(data)
            count += len(data)
        if not part:
            return count


def _told(answer: Mapping[str, Any]) -> Fetched:
    """The result, without the output."""
    details = normal(answer.get("StatusDetails"))
    code = answer.get("ResponseCode")
    times = [_moment(answer.get("Execution%sDateTime" % which)) for which in ("Start", "End")]
    return Fetched(details, code if isinstance(code, int) else -1, "", 0, 0, (), times[0], times[1])


def _kept(content: object, limit: int) -> Tuple[bytes, bool]:
    """What the command wrote, and whether there was more."""
    text = content if isinstance(content, str) else ""
    data = text.encode("utf-8", "replace")
    if data.endswith(_SUFFIX) and len(data) >= limit:
        return data[: -len(_SUFFIX)], True
    return data, len(text) >= limit


def _moment(text: object) -> float:
    """Seconds since the epoch of a time in ISO 8601; 0 for anything else."""
    fraction = re.search(r"\.[0-9]{1,6}", str(text))
    try:
        return parse_time(str(text)) + float(fraction.group() if fraction else 0)
    except (ValueError, OverflowError):
        return 0.0


