"""What a session uses of the world around it."""

import os
from typing import Any, Mapping, NamedTuple, Optional

from ..config import NetworkSettings
from .streams import Streams


class Environment(NamedTuple):
    """``service`` is an ``aws.client.ServiceClient``; without one, connections are not signed and
    the session can be neither resumed nor terminated at the service.

    ``aside`` sends the notices to stderr, ``silent`` drops them. ``listener`` is the local end of
    a port session, where it was bound before the session started.

    ``port_signal_status`` is the exit status of a port session that a signal ends; None: 128 and
    the signal's number. ``may_listen``: the node may open a port session that listens although
    nobody here knows that one was asked for. ``start_line_first``: no stream can be on stdout, so
    the start line need not wait for the node to say so.
    """

    service: Optional[Any] = None
    network: NetworkSettings = NetworkSettings()
    streams: Streams = Streams()
    aside: bool = False
    silent: bool = False
    environ: Mapping[str, str] = os.environ
    profile_ca_bundle: Optional[str] = None
    listener: Optional[Any] = None
    port_signal_status: Optional[int] = None
    may_listen: bool = False
    start_line_first: bool = False
