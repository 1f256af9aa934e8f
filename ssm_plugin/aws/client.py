"""Signed calls of the AWS APIs that we need: SSM's, KMS's, ECS's and EC2 Instance Connect's (AWS
JSON 1.1), EC2's and STS's (Query, XML), and S3's.

Each call has one time limit over all its attempts. It is repeated when the service throttles it or
has a fault, when the connection failed or no name server answered, and once with new credentials
when the old ones have expired or are not known. But what starts a session is not sent again after
anything that leaves open whether it made one (a fault, a lost or unreadable answer): nobody would
know of that session, so nobody could end it. Such an error is ``uncertain``. Nor is it sent again
when it was throttled: all threads that start sessions share a ``pacer``, and wait for their turn.
"""

import os
import time
from base64 import b64decode
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Union

from .. import logs
from ..config import NetworkSettings
from ..errors import (
    ConnectError,
    ConnectionLost,
    CredentialsError,
    NameResolutionError,
    NetworkError,
    ServiceError,
    SsmPluginError,
)
from ..named_tuple import NamedTuple
from ..net.address import parse, path_of
from ..net.connect import open_socket
from ..net.exchange import Response, exchange
from ..net.route import service_route
from ..net.timing import Deadline, delays
from ..version import __version__
from .call import Call, entries_of, text_of
from .credentials import CredentialProvider
from .endpoints import check_region, endpoint_url, given_for, is_presigned, session_region_of
from .keys import Credentials
from .pacer import shared_pacer
from .service_errors import (
    Operation,
    is_refusal,
    is_throttled,
    is_throttling_or_fault,
    may_be_stale,
    service_error,
)
from .sigv4 import sign

if TYPE_CHECKING:
    from .s3 import GetPart
    from .xml_answer import Element

CALL_TIMEOUT = 15.0  # s
_RETRIES = 3
_DATA_KEY_SIZE = 64

_DEFAULTS = NetworkSettings()

_log = logs.logger(__name__)


class StartedSession(NamedTuple):
    session_id: str
    stream_url: str
    token_value: str

    def __repr__(self) -> str:
        return "StartedSession(%s)" % self.session_id


class ResumedSession(NamedTuple):
    """An empty ``token_value``: the session is over. An empty ``stream_url``: it is the old one."""

    stream_url: str
    token_value: str

    def __repr__(self) -> str:
        return "ResumedSession(over=%s)" % (not self.token_value)


class DataKey(NamedTuple):
    """``plaintext``: 64 bytes. ``ciphertext``: base64, as KMS gives it."""

    plaintext: bytes
    ciphertext: str

    def __repr__(self) -> str:
        return "DataKey(...)"


class ServiceClient:
    """Calls for one identity in one region; threads may share it.

    ``endpoint_url`` is SSM's; without it, and for KMS, environment and ``profile`` (the plain
    settings of an AWS profile) say where. ``timeout`` (s) is for a call with its retries, and
    ``retry_delays`` gives the seconds before each of these. Calls raise ServiceError, NetworkError,
    CredentialsError, and UsageError for settings. ``unsigned`` is why the latest stream was opened
    without a signature of ours; empty if it had one.
    """

    def __init__(
        self,
        credentials: CredentialProvider,
        region: str,
        endpoint_url: Optional[str] = None,
        network: NetworkSettings = _DEFAULTS,
        environ: Mapping[str, str] = os.environ,
        profile: Mapping[str, str] = {},
        kms_endpoint_url: Optional[str] = None,
        timeout: float = CALL_TIMEOUT,
        now: Callable[[], float] = time.time,
        retry_delays: Callable[[], Iterator[float]] = lambda: islice(delays(), 1, 1 + _RETRIES),
    ) -> None:
        check_region(region)
        self.region = region
        self._credentials = credentials
        self._endpoint, self._kms_endpoint = endpoint_url, kms_endpoint_url
        self._network = network
        self._environ = environ
        self._profile = profile
        self._timeout = timeout
        self._now = now
        self._retry_delays = retry_delays
        self.unsigned = ""
        self.before_start: Callable[[], object] = lambda: None
        self.pacer = shared_pacer(region, endpoint_url or "")

    def start_session(
        self,
        target: str,
        document_name: Optional[str] = None,
        parameters: Optional[Mapping[str, Sequence[str]]] = None,
        reason: Optional[str] = None,
    ) -> StartedSession:
        """Starts a session with ``target``. ``parameters`` are those of the document. What
        ``before_start`` raises is raised."""
        self.before_start()
        request = {
            "Target": target,
            "DocumentName": document_name,
            "Parameters": parameters,
            "Reason": reason,
        }
        given = {key: value for key, value in request.items() if value}
        operation = Operation("ssm:StartSession", target)
        answer = self.perform(Call(operation, given, repeatable=False, paced=True))
        return started_session(answer, ("SessionId", "StreamUrl", "TokenValue"), operation)

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        subject: str = "",
        repeatable: bool = True,
        paced: bool = False,
    ) -> Dict[str, Any]:
        """Any other call of a JSON service. ``action`` as IAM calls it
        (``ssm:DescribeInstanceInformation``), ``subject`` for messages. ``repeatable`` is False for
        a call that must not be done twice; ``paced`` is True for one that has waited for its
        turn."""
        answer: Dict[str, Any] = self.perform(
            Call(Operation(action, subject), request, repeatable, paced)
        )
        return answer

    def query(self, action: str, request: Mapping[str, Any]) -> "Element":
        """As :meth:`call`, for a service with a Query API: ``ec2:DescribeInstances``."""
        found: "Element" = self.perform(Call(Operation(action, ""), request))
        return found

    def resume_session(self, session_id: str) -> ResumedSession:
        """A new token, and usually a new URL, for a session whose connection was lost."""
        answer = self.call("ssm:ResumeSession", {"SessionId": session_id}, session_id)
        return ResumedSession(text_of(answer, "StreamUrl"), text_of(answer, "TokenValue"))

    def is_over(self, session_id: str) -> bool:
        """Whether the session is among those that have ended. Changes nothing."""
        filters = [{"key": "SessionId", "value": session_id}]
        request = {"State": "History", "Filters": filters}
        answer = self.call("ssm:DescribeSessions", request, session_id)
        return any(one.get("SessionId") == session_id for one in entries_of(answer, "Sessions"))

    def terminate_session(self, session_id: str, timeout: Optional[float] = None) -> None:
        """Ends the session on the node as well. ``timeout`` (s) in place of the client's own.

        CredentialsError at once for a stream that was opened without our signature, unless
        credentials have turned up since: the end is no time to search for them.
        """
        operation = Operation("ssm:TerminateSession", session_id)
        found = self._credentials
        if not found.are_known and (self.unsigned or found.are_sought):
            raise CredentialsError("%s needs AWS credentials, and none are known" % (operation,))
        self.perform(Call(operation, {"SessionId": session_id}), timeout)

    def generate_data_key(self, key_id: str, encryption_context: Mapping[str, str]) -> DataKey:
        """64 bytes from KMS that are good under ``encryption_context`` only."""
        operation = Operation("kms:GenerateDataKey", key_id)
        request = {
            "KeyId": key_id,
            "NumberOfBytes": _DATA_KEY_SIZE,
            "EncryptionContext": dict(encryption_context),
        }
        answer = self.perform(Call(operation, request))
        ciphertext = text_of(answer, "CiphertextBlob")
        try:
            plaintext = b64decode(text_of(answer, "Plaintext"), validate=True)
        except ValueError:
            plaintext = b""
        if len(plaintext) != _DATA_KEY_SIZE or not ciphertext:
            raise NetworkError(
                "the answer to %s holds no key of %d bytes" % (operation, _DATA_KEY_SIZE)
            )
        return DataKey(plaintext, ciphertext)

    def upgrade_headers(self, stream_url: str) -> Dict[str, str]:
        """The signature for opening ``stream_url``, as it is dialled, once and now.

        Empty for a presigned URL, for which no credentials are sought, and, with a warning in the
        log, where there are none: the gateway then decides by the token alone.
        """
        if is_presigned(stream_url):
            self.unsigned = "the URL brings its own signature, which may have expired"
            return {}
        try:
            credentials = self._credentials.resolve()
        except CredentialsError as error:
            if not self.unsigned:
                _log.warning("opening the stream unsigned, which the gateway may refuse: %s", error)
            self.unsigned = str(error)
            return {}
        self.unsigned = ""
        region = session_region_of(stream_url) or self.region
        return sign("GET", stream_url, {}, b"", credentials, region, "ssmmessages", self._now())

    def perform(self, call: "Union[Call, GetPart]", timeout: Optional[float] = None) -> Any:
        """A call, with its retries: what it reads in the answer."""
        deadline = Deadline(timeout or self._timeout, str(call.operation))
        waits = self._retry_delays()
        renewed = False
        while True:
            try:
                return self._attempt(call, deadline)
            except (ConnectError, ConnectionLost, NameResolutionError, ServiceError) as error:
                if error.uncertain and not call.repeatable:
                    raise
                if call.paced and is_throttled(error):
                    raise
                if isinstance(error, ServiceError) and may_be_stale(error) and not renewed:
                    renewed = True
                    self._credentials.forget()
                    continue
                if isinstance(error, ServiceError):
                    final = not is_throttling_or_fault(error)
                else:
                    final = isinstance(error, NameResolutionError) and not error.temporary
                if final or not self._wait(next(waits, None), deadline):
                    raise

    def _attempt(self, call: "Union[Call, GetPart]", deadline: Deadline) -> Any:
        service, region = call.operation.service, call.region or self.region
        given = self._kms_endpoint if service == "kms" else given_for(service, self._endpoint)
        url = endpoint_url(service, region, given, self._environ, self._profile)
        route = service_route(url, self._network, self._environ, self._profile.get("ca_bundle"))
        address = parse(url, ("https", "http"), "the endpoint URL")
        target = call.target(path_of(url))
        body = call.body
        credentials = self._credentials.resolve()
        left = deadline.remaining("finding credentials")
        sock = open_socket(route, min(left, self._network.connect_timeout))
        try:
            # Signed after connecting, for the time in a signature is checked.
            signed_url = "%s://%s%s" % (address.scheme, address.authority, target)
            headers = self._headers(call, signed_url, body, credentials)
            with _once_sent():
                response = exchange(
                    sock, call.method, target, address, headers, body, deadline, call.answer_limit
                )
                _log.debug(
                    "%s at %s: status %d", call.operation, address.authority, response.status
                )
                return self._answer(call, response)
        finally:
            sock.close()

    def _answer(self, call: "Union[Call, GetPart]", response: Response) -> Any:
        if not call.accepts(response.status):
            raise service_error(call.operation, response, self._now())
        return call.read(response)

    def _headers(
        self, call: "Union[Call, GetPart]", url: str, body: bytes, credentials: Credentials
    ) -> Dict[str, str]:
        headers = call.headers
        region, service = call.region or self.region, call.operation.service
        signature = sign(call.method, url, headers, body, credentials, region, service, self._now())
        headers.update(signature)
        headers["User-Agent"] = "ssm-plugin/%s" % __version__
        return headers

    def _wait(self, delay: Optional[float], deadline: Deadline) -> bool:
        """Wait before a retry. False if no retry is due."""
        if delay is None or delay >= deadline.left:
            return False
        Event().wait(delay)
        return True


@contextmanager
def _once_sent() -> Iterator[None]:
    """A call that fails in here may have been done all the same, unless the service said no."""
    try:
        yield
    except SsmPluginError as error:
        error.uncertain = not (isinstance(error, ServiceError) and is_refusal(error))
        raise


def started_session(answer: object, keys: Sequence[str], operation: Operation) -> StartedSession:
    """The session that was started, of an answer in which its three parts are called so."""
    fields = [text_of(answer, key) for key in keys]
    if not all(fields):
        error = NetworkError(
            "the answer to %s lacks a field: check the endpoint URL" % (operation,)
        )
        error.uncertain = True
        raise error
    return StartedSession(*fields)
