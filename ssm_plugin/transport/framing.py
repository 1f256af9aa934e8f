"""WebSocket frames in bulk: whole binary frames cut out of a buffer, many messages masked at once.

Nearly all traffic is complete, final, unmasked binary frames of about a kilobyte, some fifty to a
receive buffer. This handles only those; whatever else stands in the buffer is left to
websocket-client.
"""

import os
import struct
from typing import Dict, List, Optional, Tuple

from ..errors import RemoteError
from ..wire.message import Buffer

# The first byte: final, and the opcode.
TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
PING = 0x89

# Messages carry about a kilobyte. A frame this long is an attack or a mistake.
MAXIMUM_FRAME = 16 * 1024 * 1024

_MASKED = 0x80
_LENGTH_16 = 126
_LENGTH_64 = 127


def cut_binary_frames(buffer: bytes, start: int) -> Tuple[List[memoryview], int]:
    """The payloads of all complete binary frames from ``start`` on, and where the first other
    thing begins."""
    frames = []
    view = memoryview(buffer)
    end = len(buffer)
    while end - start >= 2 and buffer[start] == BINARY:
        payload, stop = _extent(buffer, start, end)
        if stop > end:
            break
        frames.append(view[payload:stop])
        start = stop
    return frames, start


def missing_bytes(buffer: bytes, start: int) -> Optional[int]:
    """How many bytes the binary frame at ``start`` lacks; None if no binary frame begins there."""
    end = len(buffer)
    if end == start:
        return 1
    if buffer[start] != BINARY:
        return None
    if end - start == 1:
        return 1
    return _extent(buffer, start, end)[1] - end


def _extent(buffer: bytes, start: int, end: int) -> Tuple[int, int]:
    """Where the payload of the frame at ``start`` begins and ends; if its header is not there yet,
    an end beyond ``end``."""
    length = buffer[start + 1]
    payload = start + 2
    if length == _LENGTH_16:
        payload = start + 4
        if payload > end:
            return payload, payload
        length = buffer[start + 2] << 8 | buffer[start + 3]
    elif length == _LENGTH_64:
        payload = start + 10
        if payload > end:
            return payload, payload
        length = int.from_bytes(buffer[start + 2:payload], "big")
        if length > MAXIMUM_FRAME:
            raise RemoteError("the service sent a frame of %d bytes" % length)
    elif length & _MASKED:
        raise RemoteError("the service sent a masked frame")
    return payload, payload + length


def binary_frames(messages: List[bytes]) -> bytes:
    """Each message as a masked binary frame, joined. Each has a fresh mask (RFC 6455, 5.3)."""
    masks = os.urandom(4 * len(messages))
    parts = []
    for index, message in enumerate(messages):
        mask = masks[4 * index:4 * index + 4]
        parts.append(_header(BINARY, len(message)))
        parts.append(mask)
        parts.append(_masked(message, mask))
    return b"".join(parts)


def other_frame(first: int, payload: bytes) -> bytes:
    """One masked frame of any kind: :data:`TEXT`, :data:`PING`, :data:`CLOSE`."""
    mask = os.urandom(4)
    return _header(first, len(payload)) + mask + _masked(payload, mask)


def _header(first: int, length: int) -> bytes:
    if length < _LENGTH_16:
        return bytes((first, _MASKED | length))
    if length < 65536:
        return struct.pack(">BBH", first, _MASKED | _LENGTH_16, length)
    return struct.pack(">BBQ", first, _MASKED | _LENGTH_64, length)


# 1 in every 32-bit word: times a mask, that mask repeated. By the number of words; messages are at
# most some 1200 bytes long, so few numbers occur.
_repeaters: Dict[int, int] = {}


def _masked(message: Buffer, mask: bytes) -> bytes:
    """XOR as one operation on two long integers."""
    length = len(message)
    words = (length + 3) // 4
    repeater = _repeaters.get(words)
    if repeater is None:
        repeater = _repeaters[words] = int.from_bytes(b"\0\0\0\1" * words, "big")
    key = int.from_bytes(mask, "big") * repeater
    if length & 3:
        key >>= 8 * (4 * words - length)  # the mask's first bytes belong to the front
    return (int.from_bytes(message, "big") ^ key).to_bytes(length, "big")
