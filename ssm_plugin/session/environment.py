"""What a session uses of the world around it."""

import os
import uuid
from typing import Any, Mapping, NamedTuple, Optional

from ..aws.endpoints import check_stream_url
from ..config import NetworkSettings
from ..net.connect import open_socket
from ..net.route import stream_route
from ..transport.websocket import WebSocketConnection, open_websocket
from ..version import PROTOCOL_VERSION
from ..wire.payloads import open_message
from .streams import Streams


class Environment(NamedTuple):
    """``service`` is an ``aws.client.ServiceClient``; without one, connections are not signed and
    the session can be neither resumed nor terminated at the service.

    ``aside`` sends the notices to stderr, ``silent`` drops them.
    """

    service: Optional[Any] = None
    network: NetworkSettings = NetworkSettings()
    streams: Streams = Streams()
    aside: bool = False
    silent: bool = False
    environ: Mapping[str, str] = os.environ
    profile_ca_bundle: Optional[str] = None


def dial(
    environment: Environment, stream_url: str, token_value: str, client_id: str
) -> WebSocketConnection:
    """Connect, upgrade, and send the open message with the token: to a host of AWS only."""
    network = environment.network
    check_stream_url(stream_url, network.stream_hosts)
    route = stream_route(stream_url, network, environment.environ, environment.profile_ca_bundle)
    sock = open_socket(route, network.connect_timeout)
    try:
        # After connecting, as a signature is good for a few minutes only; a presigned URL needs
        # none, and then nobody looks for credentials.
        headers = environment.service.upgrade_headers(stream_url) if environment.service else {}
    except BaseException:  # a safety net: whatever it is, the socket must not stay open
        sock.close()
        raise
    connection = open_websocket(stream_url, headers, sock, network.connect_timeout)
    connection.send_text(
        open_message(str(uuid.uuid4()), token_value, client_id, PROTOCOL_VERSION)
    )
    return connection
