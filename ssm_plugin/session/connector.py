"""Makes the connections of one session: the first, and one for each resumption."""

import socket
import threading
from itertools import islice
from typing import TYPE_CHECKING, Callable, Collection, Mapping, Optional, Union
from urllib.parse import urlsplit

from .. import logs
from ..aws.endpoints import check_stream_url, is_presigned
from ..aws.sigv4 import encoded_query
from ..channel.protocol import ChannelProtocol
from ..errors import (
    ConnectError,
    ConnectionLost,
    NameResolutionError,
    SessionLost,
    SsmPluginError,
    UpgradeError,
)
from ..net.connect import load_tls, open_socket
from ..net.route import Route, stream_route
from ..net.timing import delays
from ..shortage import LOADING
from ..transport.data_channel import ChannelEvent, DataChannel
from ..version import PROTOCOL_VERSION
from ..wire.message import Role, random_id
from ..wire.payloads import open_message
from .environment import Environment
from .protocols import IDataChannel
from .types import SessionConfig

log = logs.logger(__name__)

if TYPE_CHECKING:
    from ..transport.websocket import WebSocketConnection

_UNAUTHORIZED = (401, 403)
_THROTTLED = 429

# More attempts to make the first connection. A later one has the whole reconnect_timeout.
_RETRIES = 2


class OwnDataChannel(DataChannel, IDataChannel):
    """Our data channel as an ``IDataChannel``, a name that the transport layer must not import."""


class Connector:
    """Holds the URL and the token that are valid now: each resumption brings new ones.

    :meth:`dial` and :meth:`resume` block, in a thread of their own. A connection belongs to the
    connector until it is :meth:`taken`, so that one which comes too late is closed as well.
    """

    def __init__(self, environment: Environment, config: SessionConfig, client_id: str) -> None:
        self.stream_url = config.stream_url
        self.token_value = config.token_value
        self._environment = environment
        self._session_id = config.session_id
        self._client_id = client_id
        self._lock = threading.Lock()
        self._socket: Optional[socket.socket] = None
        self._connection: "Optional[WebSocketConnection]" = None
        self._closed = threading.Event()

    def load(self) -> None:
        """Load websocket-client and the certificates: 20 to 80 ms, for a thread that has nothing
        to do while :meth:`dial` waits for the network in another."""
        try:
            load_tls(self._route(self.stream_url))
        except SsmPluginError:
            pass  # dialling meets the same error, and reports it
        with LOADING:
            from ..transport import websocket  # noqa: F401

    def dial(self) -> "WebSocketConnection":
        """Connect, upgrade, and send the open message with the token: to a host of AWS only."""
        environment, network = self._environment, self._environment.network
        check_stream_url(self.stream_url, network.stream_hosts)
        url = encoded_query(self.stream_url)
        sock = open_socket(self._route(url), network.connect_timeout)
        try:
            self._own(sock, None)
            # Signed only now: a signature is good for a few minutes.
            headers = environment.service.upgrade_headers(url) if environment.service else {}
        except BaseException:  # a safety net: whatever it is, the socket must not stay open
            sock.close()
            raise
        connection = self._upgrade(url, headers, sock)
        try:
            connection.send_text(
                open_message(random_id(), self.token_value, self._client_id, PROTOCOL_VERSION)
            )
            self._own(None, connection)
        except (ConnectionLost, SessionLost):
            connection.close()
            raise
        return connection

    def new_channel(
        self,
        supported: Collection[str],
        tell: Callable[[ChannelEvent], object],
        waiting: Callable[[], int],
    ) -> OwnDataChannel:
        """A data channel that dials by this connector. The node may choose a session type that is
        ``supported``; for ``tell`` and ``waiting`` see :class:`DataChannel`."""
        network = self._environment.network
        protocol = ChannelProtocol(Role.CLIENT, supported, network.window, network.pace)
        return OwnDataChannel(
            protocol,
            tell,
            waiting,
            self._dial_for_channel,
            ping_interval=network.ping_interval,
        )

    def _dial_for_channel(self) -> "WebSocketConnection":
        """The first connection: nobody has seen the token before it is open, so what may pass by
        itself is tried again."""
        waits = islice(delays(), 1, 1 + _RETRIES)
        while True:
            try:
                connection = self.dial()
                break
            except (ConnectError, NameResolutionError, UpgradeError) as error:
                wait = next(waits, None) if _may_pass(error) else None
                if wait is None or self._closed.wait(wait):
                    raise
                log.info("the data channel did not open, and is tried again: %s", error)
        self.taken()
        return connection

    def _route(self, url: str) -> Route:
        used = self._environment
        return stream_route(url, used.network, used.environ, used.profile_ca_bundle)

    def taken(self) -> None:
        """Whoever asked for the last connection has it now."""
        with self._lock:
            self._connection = None

    def close(self) -> None:
        """Break off a connection that is being made, close one that nobody has taken."""
        with self._lock:
            self._closed.set()
            if self._connection:
                self._connection.close()
            elif self._socket:
                _shut_down(self._socket)

    def _own(
        self, sock: Optional[socket.socket], connection: "Optional[WebSocketConnection]"
    ) -> None:
        with self._lock:
            if self._closed.is_set():
                raise SessionLost("the session ended while it was being connected")
            self._socket, self._connection = sock, connection

    def _upgrade(
        self, url: str, headers: Mapping[str, str], sock: socket.socket
    ) -> "WebSocketConnection":
        with LOADING:  # not needed earlier, nor by a caller that brings its own channel
            from ..transport.websocket import open_websocket

        try:
            return open_websocket(url, headers, sock, self._environment.network.connect_timeout)
        except UpgradeError as error:
            service = self._environment.service
            why = service.unsigned if service else "there are no AWS credentials"
            if error.status not in _UNAUTHORIZED or not why:
                raise
            host = urlsplit(url).netloc
            raise UpgradeError(
                "%s refused the data channel with HTTP status %d: the request was not signed by "
                "us: %s" % (host, error.status, why),
                error.status,
            ) from error

    def why_not_resumable(self) -> str:
        """Empty if :meth:`resume` can be tried."""
        if self._environment.service is None:
            return "without AWS credentials it cannot be resumed"
        if is_presigned(self.stream_url):
            return "a session with a presigned URL cannot be resumed"
        return ""

    def resume(self) -> "Optional[WebSocketConnection]":
        """A connection with a new token; None if the service says that the session is over."""
        assert self._environment.service is not None
        resumed = self._environment.service.resume_session(self._session_id)
        if not resumed.token_value:
            return None
        self.stream_url = resumed.stream_url or self.stream_url
        self.token_value = resumed.token_value
        return self.dial()


def _may_pass(error: Union[ConnectError, NameResolutionError, UpgradeError]) -> bool:
    if isinstance(error, UpgradeError):
        return error.status >= 500 or error.status == _THROTTLED
    if isinstance(error, NameResolutionError):
        return error.temporary
    # With any other cause there was an answer, and it was no WebSocket's.
    return isinstance(error.__cause__, (type(None), OSError, ConnectionLost))


def _shut_down(sock: socket.socket) -> None:
    """Wakes the thread that waits for it, which then closes it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it failed at the same moment, and is closed already
