"""Tunnels for programs that embed us::

    import ssm_plugin
    with ssm_plugin.forward("i-0123456789abcdef0", 5432) as address:
        connection = socket.create_connection(address)

From any thread, and several at once in one process. Signals stay the program's.
"""

import queue
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Union

from .. import config
from ..errors import UsageError
from ..session.environment import Environment, make_environment
from ..session.streams import CallableStreams
from ..transport.worker import WorkerFailed
from .addresses import LocalAddress
from .reports import ENDED, READY, Report
from .specification import Forward, check_host
from .tunnel import Tunnel


class _Opening(queue.Queue):
    """Takes reports until somebody has seen how the opening went."""

    def __init__(self) -> None:
        super().__init__()
        self.over = False

    def put(self, item: Any, block: bool = True, timeout: Optional[float] = None) -> None:
        if not self.over:
            super().put(item, block, timeout)


@contextmanager
def forward(
    target: str,
    remote_port: int,
    *,
    local_port: int = 0,
    host: Optional[str] = None,
    bind: Optional[str] = None,
    unix_socket: Optional[str] = None,
    profile: Optional[str] = None,
    region: Optional[str] = None,
    endpoint_url: Optional[str] = None,
    document_name: Optional[str] = None,
    reason: Optional[str] = None,
    config_file: Optional[str] = None
) -> Iterator[Union[LocalAddress, str]]:
    """A tunnel to ``remote_port`` of a node, or of ``host`` behind it. Settings come as for
    ``ssm-plugin forward``: what is given here, the environment, the configuration file.

    Yields the local address, ``(host, port)`` or the path of ``unix_socket``, once a session is
    open: connections are served from then on. ``local_port`` 0 is any that is free; it is on
    loopback unless ``bind`` names another address. When the session ends, a new one is started
    behind the same address. At the end of the block it is closed, and all threads have ended.

    :raises UsageError: for a port or a host that cannot be
    :raises LocalError: if the local address cannot be had; nothing was started then
    :raises SsmPluginError: if the first session could not be started or opened; see
        :mod:`ssm_plugin.errors`
    """
    wanted = _checked(Forward(remote_port, host, local_port, bind, unix_socket))
    settings = config.load(config_file).override(
        profile=profile, region=region, endpoint_url=endpoint_url, document_name=document_name
    )

    def environment() -> Environment:
        return make_environment(settings, CallableStreams(_drop, _drop))._replace(silent=True)

    request = wanted.request(settings.resolve_target(target), settings.document_name, reason)
    reports = _Opening()
    environment()  # what is wrong with the settings comes out before anything is bound
    with wanted.listen() as local_end:
        tunnel = Tunnel(request, wanted.destination(target), local_end, environment, reports)
        tunnel.start()
        try:
            _wait_until_ready(reports)
            yield tunnel.address
        finally:
            reports.over = True
            tunnel.stop(0)
            tunnel.join()


def _wait_until_ready(reports: "queue.Queue[Any]") -> None:
    while True:
        report = reports.get()
        if isinstance(report, WorkerFailed):
            raise report.error
        if isinstance(report, Report) and report.kind == ENDED:
            assert report.error is not None, "nobody has stopped it yet"
            raise report.error
        if isinstance(report, Report) and report.kind == READY:
            return


def _checked(wanted: Forward) -> Forward:
    for port, lowest in ((wanted.remote_port, 1), (wanted.local_port, 0)):
        if isinstance(port, bool) or not isinstance(port, int) or not lowest <= port < 65536:
            raise UsageError("%r is no port: it is an int from %d to 65535" % (port, lowest))
    if wanted.host is not None:
        check_host(wanted.host)
    if wanted.path is not None and (wanted.local_port or wanted.bind):
        raise UsageError("a unix socket has no local port and no address to bind to")
    return wanted


def _drop(data: bytes) -> None:
    pass
