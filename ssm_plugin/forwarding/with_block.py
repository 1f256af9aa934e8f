"""Tunnels for programs that embed us::

    import ssm_plugin
    with ssm_plugin.forward("i-0123456789abcdef0", 5432) as address:
        connection = socket.create_connection(address)

From any thread, and several at once in one process. Signals stay the program's.
"""

import queue
from contextlib import ExitStack, contextmanager
from typing import Iterator, Optional, Union

from .. import config, logs
from ..errors import UsageError
from ..nodes.targets import check_target, find_one
from ..session.environment import Environment, make_environment
from ..transport.worker import WorkerFailed
from ..units import PLAIN, check_speed
from .fast import SharedRelay
from .reports import ENDED, READY, LocalAddress, Notice, Report
from .specification import Forward, check_host
from .tunnel import Tunnel

log = logs.logger(__name__)


class _Opening:
    """How the opening went. What is told later is of no interest here."""

    def __init__(self) -> None:
        self._told: "queue.Queue[Optional[BaseException]]" = queue.Queue()

    def tell(self, event: Union[Report, Notice, WorkerFailed]) -> None:
        if isinstance(event, WorkerFailed):
            self._told.put(event.as_error())
        elif isinstance(event, Report) and event.kind in (READY, ENDED):
            self._told.put(event.error)

    def wait(self) -> None:
        """Wait until the tunnel is open; raises what prevented it."""
        error = self._told.get()
        if error is not None:
            raise error


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
    speed: Optional[str] = None,
    config_file: Optional[str] = None
) -> Iterator[Union[LocalAddress, str]]:
    """A tunnel to ``remote_port`` of a node, or of ``host`` behind it. Settings come as for
    ``ssm-plugin forward``: what is given here, the environment, the configuration file.

    Yields the local address, ``(host, port)`` or the path of ``unix_socket``, once a session is
    open: connections are served from then on. ``local_port`` 0 is any that is free; it is on
    loopback unless ``bind`` names another address. When the session ends, a new one is started
    behind the same address. At the end of the block it is closed, and all threads have ended.

    ``speed`` is ``plain``, ``auto`` or ``fast``, as of ``--speed``. What it warns of, and why
    ``auto`` is plain, is in the log.

    :raises UsageError: for a port, a host or a speed that cannot be, and for a target that means no
        node, or several
    :raises LocalError: if the local address cannot be had; nothing was started then
    :raises SsmPluginError: if the first session could not be started or opened; see
        :mod:`ssm_plugin.errors`
    """
    wanted = _checked(Forward(remote_port, host, local_port, bind, unix_socket))
    settings = config.load(config_file).override(
        profile=profile, region=region, endpoint_url=endpoint_url, document_name=document_name
    )
    check_target(target, settings)
    speed = check_speed(speed or settings.speed_for(target))

    def environment() -> Environment:
        return make_environment(settings)

    # Errors in the settings or the target are found before anything is bound.
    node = find_one(target, settings, environment().service)
    request = wanted.request(node, settings.document_name, reason)
    opening = _Opening()
    with ExitStack() as exits:
        local_end = exits.enter_context(wanted.listen())
        relay = None
        if speed != PLAIN:
            relay = exits.enter_context(SharedRelay(node, environment, speed, _warn, reason))
        tunnel = Tunnel(
            request, wanted.destination(target), local_end, environment, opening.tell, relay=relay
        )
        tunnel.start()
        exits.callback(tunnel.join)
        exits.callback(tunnel.stop, 0)
        opening.wait()
        yield tunnel.address


def _warn(text: str) -> None:
    log.warning("%s", text)


def _checked(wanted: Forward) -> Forward:
    for port, lowest in ((wanted.remote_port, 1), (wanted.local_port, 0)):
        if isinstance(port, bool) or not isinstance(port, int) or not lowest <= port < 65536:
            raise UsageError("%r is not a port: it is an int from %d to 65535" % (port, lowest))
    if wanted.host is not None:
        check_host(wanted.host)
    if wanted.path is not None and (wanted.local_port or wanted.bind):
        raise UsageError("a unix socket has no local port and no address to bind to")
    return wanted
