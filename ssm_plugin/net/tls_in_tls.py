"""TLS inside TLS, for an https proxy in front of an https host: Python's sockets cannot nest.

One thread may receive while another sends, as with any socket. The TLS state is touched under one
lock that is never held while the network is waited for; a second lock keeps records in order.
"""

import socket
import ssl
from threading import Lock
from typing import Any, Callable, Optional, Union, cast

_CHUNK = 65536

Buffer = Union[bytes, bytearray, memoryview]


class TlsInTls:
    """The part of a socket's interface that is used here, over the TLS socket ``outer``."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_name: str) -> None:
        self._outer = outer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._state = Lock()
        self._sending = Lock()

    def do_handshake(self, remaining: Callable[[], float]) -> None:
        """``remaining()`` gives the seconds left before each wait, and raises when none are."""
        while True:
            self._outer.settimeout(remaining())
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive_records()
            else:
                self._flush()
                return

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = bytearray(size)
        count = self.recv_into(data)
        return bytes(data[:count])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As of a socket: blocks for at least one byte; 0 at the end; timeout as of ``outer``."""
        view = memoryview(buffer).cast("B")
        wanted = nbytes or len(view)
        while True:
            with self._state:
                try:
                    return cast(int, self._tls.read(wanted, view[:wanted]))
                except ssl.SSLWantReadError:
                    answer_due = self._outgoing.pending
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    return 0
            if answer_due:  # TLS answers some records by itself, such as a key update
                self._flush()
            self._receive_records()

    def send(self, data: Buffer, flags: int = 0) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        view = memoryview(data).cast("B")
        with self._sending:
            while view:
                with self._state:
                    count = self._tls.write(view[:_CHUNK])
                    records = self._outgoing.read()
                self._outer.sendall(records)
                view = view[count:]

    def pending(self) -> int:
        return self._tls.pending() + self._outer.pending()

    def settimeout(self, seconds: Optional[float]) -> None:
        self._outer.settimeout(seconds)

    def gettimeout(self) -> Optional[float]:
        return self._outer.gettimeout()

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self._outer.setsockopt(level, name, value)

    def getsockopt(self, level: int, name: int) -> int:
        return self._outer.getsockopt(level, name)

    def fileno(self) -> int:
        return self._outer.fileno()

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        self._outer.shutdown(how)

    def close(self) -> None:
        self._outer.close()

    def _flush(self) -> None:
        with self._sending:
            with self._state:
                records = self._outgoing.read()
            if records:
                self._outer.sendall(records)

    def _receive_records(self) -> None:
        data = self._outer.recv(_CHUNK)
        with self._state:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
