"""What tunnels tell whoever watches them, as events in one queue; and their local addresses."""

from typing import Optional, Union

from ..errors import SsmPluginError
from ..named_tuple import NamedTuple
from ..net.local_end import LocalEnd
from ..session.starting import SessionRequest


class LocalAddress(NamedTuple):
    """Good for ``socket.create_connection``. ``str()`` of it is ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)


def local_address(local_end: LocalEnd) -> Union[LocalAddress, str]:
    """The first address, or the path of a unix socket."""
    if local_end.path is not None:
        return local_end.path
    return LocalAddress(local_end.addresses[0], local_end.port)


READY = "ready"
LOST = "lost"
RECONNECTED = "reconnected"
CONNECTION = "connection"
ERROR = "error"
ENDED = "ended"


class ReportedTunnel:
    """What reports tell of a tunnel. ``destination`` is what it leads to, in words; ``patience``
    (s) is how long new connections wait while nobody serves them."""

    request: SessionRequest
    destination: str
    local_end: LocalEnd
    address: Union[LocalAddress, str]
    patience: float


class Report(NamedTuple):
    """``kind`` is one of the above.

    READY and RECONNECTED: connections are served, the first time and again. LOST: the session is
    there but the connection to the service is not, for the reason in ``message``; it is being
    resumed. CONNECTION: the ``number``-th of this session was accepted. ERROR: ``message`` says
    what; with ``retry_in`` there is no session, and a new one is started in so many seconds. ENDED,
    once for each tunnel: with what ``status``, and ``error`` if one ended it.
    """

    kind: str
    tunnel: ReportedTunnel
    session_id: str = ""
    message: str = ""
    retry_in: Optional[float] = None
    number: int = 0
    status: int = 0
    error: Optional[SsmPluginError] = None


class Notice(NamedTuple):
    """A line for people, with its line ends."""

    text: str
