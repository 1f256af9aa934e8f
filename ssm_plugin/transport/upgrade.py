"""The opening handshake of a WebSocket (RFC 6455, 4.1), on the client's side.

websocket-client could do it, but what it imports to that end (http.client, email, ssl) takes as
long to load as the rest of a session, and each session would wait for it.
"""

import os
import socket
import time
from base64 import b64encode
from hashlib import sha1
from typing import Mapping, Tuple
from urllib.parse import urlsplit

from ..errors import ConnectError, ConnectionLost, DeadlineError, SsmPluginError, UpgradeError
from .stream import Stream

_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST_ANSWER = 65536  # bytes
_ADVICE = {
    403: "the credentials need ssmmessages:OpenDataChannel, and a clock that is right",
    401: "the request was not signed, or the credentials are not valid",
    410: "the session is over; start a new one",
}


def upgrade(stream: Stream, url: str, headers: Mapping[str, str], timeout: float) -> None:
    """Ask for a WebSocket; afterwards the stream carries frames. ``timeout`` (s) is for all of it.

    UpgradeError when the service answers with anything but 101, ConnectError when that is no
    WebSocket, DeadlineError when no answer comes.
    """
    host = urlsplit(url).netloc
    key = b64encode(os.urandom(16))
    deadline = time.monotonic() + timeout
    try:
        stream.sendall(_request(url, headers, key))
        answer = _read_answer(stream, deadline)
    except ConnectionLost as error:
        raise _no_answer(host, error, timeout) from error
    status, fields = _parse(host, answer)
    if status != 101:
        advice = _ADVICE.get(status, "check the stream URL and the proxy")
        text = "%s refused the data channel with HTTP status %d: %s" % (host, status, advice)
        raise UpgradeError(text, status)
    expected = b64encode(sha1(key + _ACCEPT_SUFFIX).digest()).decode("ascii")
    if fields.get("sec-websocket-accept") != expected:
        raise ConnectError("%s did not open a WebSocket: its answer does not fit" % host)


def _request(url: str, headers: Mapping[str, str], key: bytes) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    fields = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key.decode("ascii"),
        "Sec-WebSocket-Version": "13",
    }
    fields.update((name, value) for name, value in headers.items() if name.lower() != "host")
    lines = ["GET %s HTTP/1.1" % target] + ["%s: %s" % field for field in fields.items()]
    return "\r\n".join(lines + ["", ""]).encode("utf-8")


def _read_answer(stream: Stream, deadline: float) -> bytes:
    """Up to the empty line. What follows stays in the stream."""
    while True:
        stop = stream.buffered.find(b"\r\n\r\n")
        if stop >= 0:
            stream.consume(stop + 4)
            return stream.buffered[:stop]
        if len(stream.buffered) > _LONGEST_ANSWER:
            raise ConnectionLost("the answer has no end")
        left = deadline - time.monotonic()
        if left <= 0:
            raise ConnectionLost("the answer is late") from socket.timeout()
        stream.settimeout(left)
        stream.fill()


def _parse(host: str, answer: bytes) -> Tuple[int, Mapping[str, str]]:
    first, *lines = answer.decode("latin-1").split("\r\n")
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise ConnectError("%s did not open a WebSocket: its answer is not HTTP" % host)
    pairs = (line.partition(":") for line in lines)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _no_answer(host: str, error: ConnectionLost, timeout: float) -> SsmPluginError:
    if isinstance(error.__cause__, socket.timeout):
        return DeadlineError(
            "%s did not answer the WebSocket request within %g s" % (host, timeout)
        )
    return ConnectError("%s did not open a WebSocket: %s" % (host, error))
