"""A TLS connection that one thread may read while another writes, over any stream socket.

OpenSSL's connections are not made for two threads, and up to Python 3.12 ``ssl.SSLSocket`` lets
both in at once: under traffic both ways it corrupts records ("bad record mac") or ends for no
reason. Here the TLS state is touched under one lock, which is never held while the network is
waited for. It also nests, which ``ssl.SSLSocket`` cannot: TLS to a host inside TLS to a proxy.
"""

import socket
import ssl
import sys
from contextlib import suppress
from errno import ECONNRESET
from threading import Lock
from typing import Any, Callable, Optional, Union, cast

_CHUNK = 65536  # bytes that are sealed at a time

# Bytes of records that are received at a time. Few connections ever need the most.
_LEAST_RECORDS = 16384
_MOST_RECORDS = 131072

Buffer = Union[bytes, bytearray, memoryview]


class TlsSocket:
    """What is used here of a socket's interface, over ``sock``, which it takes over.

    Without a ``server_name`` it is the accepting side. Call ``do_handshake`` first. Other errors
    than of ``sock`` are of ``ssl``, and are OSErrors too.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, server_name: Optional[str]
    ) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name and _as_ssl_takes_it(server_name),
        )
        self._records = memoryview(bytearray(_LEAST_RECORDS))  # of the receiving thread alone
        self._ended = False  # the peer has said that nothing more comes
        self._state = Lock()
        self._sending = Lock()  # keeps records in order; taken before the other, never after it

    def peer_certificate(self) -> Any:
        """The peer's certificate as ``ssl`` gives it, once the handshake is done."""
        return self._tls.getpeercert()

    def __enter__(self) -> "TlsSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do_handshake(self, remaining: Callable[[], float]) -> None:
        """``remaining()`` gives the seconds left before each wait, and raises when none are."""
        while True:
            self._sock.settimeout(remaining())
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._receive_records():
                    raise ConnectionResetError(ECONNRESET, "the connection was closed") from None
            except ssl.SSLError:
                with suppress(OSError):  # tell the peer why, if it can still be reached
                    self._flush()
                raise
            else:
                self._flush()
                return

    def recv(self, size: int, flags: int = 0) -> bytes:
        view = memoryview(bytearray(size))
        return bytes(view[:self.recv_into(view)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Blocks for at least one byte, then takes all that is there; 0 at the end."""
        view = memoryview(buffer).cast("B")[: nbytes or None]
        while True:
            with self._state:
                count = self._read(view)
                answer_due = self._outgoing.pending
            if answer_due:  # TLS answers some records by itself, such as a key update
                self._answer(count)
            if count is not None:
                return count
            if not self._receive_records():
                return 0

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
                self._sock.sendall(records)
                view = view[count:]

    def pending(self) -> int:
        """Bytes that ``recv`` would give at once, as far as is known."""
        with self._state:
            return self._tls.pending() or self._incoming.pending

    def version(self) -> Optional[str]:
        return self._tls.version()

    def settimeout(self, seconds: Optional[float]) -> None:
        self._sock.settimeout(seconds)

    def gettimeout(self) -> Optional[float]:
        return self._sock.gettimeout()

    def setsockopt(self, level: int, name: int, value: Union[int, bytes]) -> None:
        self._sock.setsockopt(level, name, value)

    def fileno(self) -> int:
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()

    def _read(self, view: memoryview) -> Optional[int]:
        """Decrypts what has come in, up to the size of ``view``; None if nothing has, 0 at the
        peer's orderly end."""
        count = 0
        try:
            # One record at most a call: go on, for each return to the caller costs more. Where
            # nothing is left, OpenSSL says so by an exception, which costs more than to ask.
            while count < len(view) and (self._incoming.pending or self._tls.pending()):
                got = cast(int, self._tls.read(len(view) - count, view[count:]))
                self._ended = not got
                if not got:
                    break
                count += got
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        return count if count or self._ended else None

    def _answer(self, received: Optional[int]) -> None:
        try:
            self._flush()
        except OSError:
            if not received:  # else that comes first; the next call meets the error again
                raise

    def _flush(self) -> None:
        with self._sending:
            with self._state:
                records = self._outgoing.read()
            if records:
                self._sock.sendall(records)

    def _receive_records(self) -> bool:
        """Waits for something; False at the end of the connection below."""
        count = self._sock.recv_into(self._records)
        with self._state:
            self._incoming.write(self._records[:count])
        if count == len(self._records) < _MOST_RECORDS:
            self._records = memoryview(bytearray(2 * count))
        return count > 0


def _as_ssl_takes_it(server_name: str) -> Union[str, bytes]:
    # Bytes, as in ``lookup``: it saves 0.4 MiB and a millisecond. But Python 3.6 compares the name
    # with the certificate's itself, and finds bytes unlike any.
    return server_name if sys.version_info < (3, 7) else server_name.encode("ascii")
