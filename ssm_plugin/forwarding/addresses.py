"""What a local end is called, and who can reach it."""

from typing import List, NamedTuple, Union

from ..net.local_end import LocalEnd, is_loopback


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
    return LocalAddress(*local_end.sockets[0].getsockname()[:2])


def exposed_addresses(local_end: LocalEnd) -> List[LocalAddress]:
    """Those that other machines can reach."""
    if local_end.path is not None:
        return []
    found = [LocalAddress(*sock.getsockname()[:2]) for sock in local_end.sockets]
    return [one for one in found if not is_loopback(one.host)]
