"""Opens a connection along a route, everything under one deadline.

Lookup; TCP to all addresses, a new attempt every 250 ms so that a silent one does not hold up the
rest (RFC 8305); TLS to an https proxy; CONNECT; TLS to the host.
"""

import errno
import os
import selectors
import socket
from contextlib import ExitStack, suppress
from typing import List, Optional, cast

from ..errors import ConnectError
from ..shortage import LOADING, explain
from .address import join
from .lookup import AddressInfo, addresses
from .proxy_tunnel import open_tunnel
from .route import Route
from .timing import Deadline

_NEXT_ATTEMPT = 0.25  # s
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


def load_tls(route: Route) -> None:
    """Load what TLS along the route takes, ssl and the certificates: up to 50 ms. UsageError if
    the CA bundle cannot be used."""
    if route.tls or (route.proxy is not None and route.proxy.tls):
        with LOADING:
            from .tls import client_context

        client_context(route.ca_bundle)


def _start_tls(
    sock: socket.socket, route: Route, server_name: str, deadline: Deadline
) -> socket.socket:
    with LOADING:  # ssl takes long to load; nobody needs it for a plain connection
        from .tls import start_tls

    return start_tls(sock, route.ca_bundle, server_name, deadline)


def open_socket(route: Route, timeout: float) -> socket.socket:
    """A connected blocking socket without a timeout. ``timeout`` (s) is for all steps together.

    NameResolutionError, ConnectError, ProxyError, CertificateError or DeadlineError says what
    failed; UsageError if the CA bundle cannot be used.
    """
    deadline = Deadline(timeout, "connecting to %s" % (route,))
    with ExitStack() as undo:
        sock = _dial(route, deadline)
        undo.callback(sock.close)  # what is laid over it holds nothing else
        if route.proxy is not None:
            if route.proxy.tls:
                sock = _start_tls(sock, route, route.proxy.host, deadline)
            open_tunnel(sock, route.proxy, route.host, route.port, deadline)
        if route.tls:
            sock = _start_tls(sock, route, route.server_name, deadline)
        sock.settimeout(None)
        undo.pop_all()
    return sock


def _dial(route: Route, deadline: Deadline) -> socket.socket:
    if route.proxy is None:
        sock = _connect(route.host, route.port, "the host", deadline)
    else:
        sock = _connect(route.proxy.host, route.proxy.port, "the %s" % (route.proxy,), deadline)
    send_at_once(sock)
    return sock


def send_at_once(sock: socket.socket) -> None:
    """Small messages, each waited for: never hold one back to fill a packet."""
    with suppress(OSError):  # of a Unix socket; on macOS, where the peer has reset it already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _connect(host: str, port: int, role: str, deadline: Deadline) -> socket.socket:
    waiting = addresses(host, port, role, deadline)
    failures = []  # type: List[int]
    with _Attempts() as attempts:
        while waiting or attempts:
            if waiting:
                attempts.start(waiting.pop(0), failures)
            left = deadline.remaining("no answer from %s" % join(host, port))
            sock = attempts.wait(min(left, _NEXT_ATTEMPT) if waiting else left, failures)
            if sock is not None:
                return sock
    raise ConnectError(
        "cannot connect to %s: %s; check the network, "
        "the firewall, and whether a proxy is needed or wrongly set (HTTPS_PROXY, NO_PROXY)"
        % (join(host, port) if role == "the host" else role, _reasons(failures))
    )


class _Attempts:
    """Connections under way; on leaving, all that were not taken are closed."""

    def __init__(self) -> None:
        # Unlike epoll and kqueue, it takes no descriptor: there may be only one left.
        self._selector = selectors.PollSelector()

    def __enter__(self) -> "_Attempts":
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            cast(socket.socket, key.fileobj).close()
        self._selector.close()

    def __len__(self) -> int:
        return len(self._selector.get_map())

    def start(self, info: AddressInfo, failures: List[int]) -> None:
        family, kind, protocol, _, address = info
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # this machine does not have the family
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise explain(error) or error from error
            failures.append(error.errno or errno.EAFNOSUPPORT)
            return
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in _UNDER_WAY:
            self._selector.register(sock, selectors.EVENT_WRITE)
        else:
            sock.close()
            failures.append(code)

    def wait(self, seconds: float, failures: List[int]) -> Optional[socket.socket]:
        """The first that is connected, or None when ``seconds`` passed or attempts failed."""
        if not self:
            return None
        for key, _ in self._selector.select(seconds):
            sock = cast(socket.socket, key.fileobj)
            self._selector.unregister(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return sock
            sock.close()
            failures.append(code)
        return None


def _reasons(failures: List[int]) -> str:
    return ", ".join(sorted({os.strerror(code).lower() for code in failures}))
