"""Makes the connections of one session: the first, and one for each resumption."""

import socket
import uuid
from typing import Mapping, Optional
from urllib.parse import urlsplit

from ..aws.endpoints import check_stream_url, is_presigned
from ..aws.sigv4 import encoded_query
from ..errors import UpgradeError
from ..net.connect import open_socket
from ..net.route import stream_route
from ..transport.websocket import WebSocketConnection, open_websocket
from ..version import PROTOCOL_VERSION
from ..wire.payloads import open_message
from .environment import Environment
from .types import SessionConfig

_UNAUTHORIZED = (401, 403)


class Connector:
    """Holds the URL and the token that are valid now: each resumption brings new ones."""

    def __init__(self, environment: Environment, config: SessionConfig, client_id: str) -> None:
        self.stream_url = config.stream_url
        self.token_value = config.token_value
        self._environment = environment
        self._session_id = config.session_id
        self._client_id = client_id

    def dial(self) -> WebSocketConnection:
        """Connect, upgrade, and send the open message with the token: to a host of AWS only."""
        environment, network = self._environment, self._environment.network
        check_stream_url(self.stream_url, network.stream_hosts)
        url = encoded_query(self.stream_url)
        route = stream_route(url, network, environment.environ, environment.profile_ca_bundle)
        sock = open_socket(route, network.connect_timeout)
        try:
            # Only now, as a signature is good for a few minutes only.
            headers = environment.service.upgrade_headers(url) if environment.service else {}
        except BaseException:  # a safety net: whatever it is, the socket must not stay open
            sock.close()
            raise
        connection = self._upgrade(url, headers, sock)
        connection.send_text(
            open_message(str(uuid.uuid4()), self.token_value, self._client_id, PROTOCOL_VERSION)
        )
        return connection

    def _upgrade(
        self, url: str, headers: Mapping[str, str], sock: socket.socket
    ) -> WebSocketConnection:
        try:
            return open_websocket(url, headers, sock, self._environment.network.connect_timeout)
        except UpgradeError as error:
            service = self._environment.service
            why = service.unsigned if service else "without AWS credentials it cannot be"
            if error.status not in _UNAUTHORIZED or not why:
                raise
            host = urlsplit(url).netloc
            raise UpgradeError(
                f"{host} refused the data channel with HTTP status {error.status}: "
                f"the request was not signed by us: {why}",
                error.status,
            ) from error

    def why_not_resumable(self) -> str:
        """Empty if :meth:`resume` can be tried."""
        if self._environment.service is None:
            return "without AWS credentials it cannot be resumed"
        if is_presigned(self.stream_url):
            return "a session with a presigned URL cannot be resumed"
        return ""

    def resume(self) -> Optional[WebSocketConnection]:
        """A connection with a new token; None if the service says that the session is over."""
        assert self._environment.service is not None
        resumed = self._environment.service.resume_session(self._session_id)
        if not resumed.token_value:
            return None
        self.stream_url = resumed.stream_url or self.stream_url
        self.token_value = resumed.token_value
        return self.dial()
