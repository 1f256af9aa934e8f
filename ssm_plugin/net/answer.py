"""Reads one HTTP/1.1 answer, strictly: each length is checked before anything of it is kept.

``http.client`` takes long to load, and believes too much: ``-5`` is a chunk's size to it.
"""

import re
from typing import Callable, Dict, Optional, Tuple

_CHUNK = 65536
_HEAD_LIMIT = 65536  # bytes: the heads of all interim answers and the last one, or the trailers
_STATUS = re.compile(r"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?\Z")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\Z")
_NO_BODY = (204, 304)

Headers = Dict[str, str]


class Malformed(ValueError):
    """The answer is not HTTP. The text says what is wrong and repeats nothing of the answer."""


class TooLarge(ValueError):
    """The body has more bytes than were allowed."""


class EndedEarly(EOFError):
    """The connection ended within the answer."""


def read_answer(receive: Callable[[int], bytes], limit: int) -> Tuple[int, Headers, bytes]:
    """Status, headers with names in lower case, and body of at most ``limit`` bytes.

    ``receive`` returns up to so many bytes, none at the end. What it raises passes through.
    """
    source = _Source(receive)
    status, headers = _head(source)
    while status < 200:  # an interim answer, such as 100
        status, headers = _head(source)
    if status in _NO_BODY:
        return status, headers, b""
    return status, headers, _body(source, headers, limit)


class _Source:
    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self.lines_left = _HEAD_LIMIT  # bytes that lines may still have

    def line(self) -> bytes:
        """The next line without its end."""
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            size = len(self._buffer) if end < 0 else end + 1
            if size > self.lines_left:
                raise Malformed("its lines are too long")
            if end >= 0:
                break
            searched = size
            self._fill()
        line = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.lines_left -= size
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    def some(self, most: int) -> bytes:
        """Between 1 and ``most`` bytes; none at the end."""
        if not self._buffer:
            return self._receive(min(most, _CHUNK))
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def _fill(self) -> None:
        data = self._receive(_CHUNK)
        if not data:
            raise EndedEarly
        self._buffer += data


def _head(source: _Source) -> Tuple[int, Headers]:
    found = _STATUS.match(source.line().decode("latin-1"))
    if found is None:
        raise Malformed("its first line is not a status")
    return int(found.group(1)), _headers(source)


def _headers(source: _Source) -> Headers:
    headers: Headers = {}
    while True:
        line = source.line().decode("latin-1")
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon or not HEADER_NAME.match(name):
            raise Malformed("a header line is malformed")
        name, value = name.lower(), value.strip(" \t")
        if name == "content-length" and headers.get(name, value) != value:
            raise Malformed("it has two lengths")
        headers[name] = value


def _body(source: _Source, headers: Headers, limit: int) -> bytes:
    coding = headers.get("transfer-encoding", "identity").lower()
    if coding == "chunked":
        return _chunked(source, limit)
    if coding != "identity":
        raise Malformed("its transfer encoding is not known")
    length = headers.get("content-length")
    if length is not None and not _LENGTH.match(length):
        raise Malformed("its length is not a number")
    body = bytearray()
    _append(source, body, None if length is None else int(length), limit)
    return bytes(body)


def _chunked(source: _Source, limit: int) -> bytes:
    body = bytearray()
    while True:
        source.lines_left = _HEAD_LIMIT
        found = _CHUNK_SIZE.match(source.line())
        if found is None:
            raise Malformed("the size of a chunk is not a number")
        size = int(found.group(1), 16)
        if size == 0:
            _headers(source)
            return bytes(body)
        _append(source, body, size, limit)
        if source.line():
            raise Malformed("a chunk is longer than its size")


def _append(source: _Source, body: bytearray, size: Optional[int], limit: int) -> None:
    """Read ``size`` more bytes of the body; None stands for all up to the end."""
    if size is not None and size > limit - len(body):
        raise TooLarge
    while size is None or size:
        data = source.some(_CHUNK if size is None else min(size, _CHUNK))
        if not data:
            if size is None:
                return
            raise EndedEarly
        body += data
        if len(body) > limit:
            raise TooLarge
        size = None if size is None else size - len(data)
