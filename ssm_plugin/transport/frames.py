"""WebSocket frames in bulk: the accelerator beneath websocket-client (RFC 6455, 5.2).

Nearly all traffic is complete, final binary frames of about a kilobyte, a hundred to a receive
buffer. This cuts those out of the buffer in one loop, and joins many messages into one send. Any
other frame is left to websocket-client; only its header is looked at here, so that no length is
believed before it has been checked.

A client masks what it sends and a server does not; ``masked`` says which of the two is meant.
"""

import os
import struct
from typing import Dict, List, Optional, Tuple

from ..errors import RemoteError
from ..named_tuple import NamedTuple
from ..wire.message import Buffer

# Bytes in one frame, and in one message of many fragments. Messages carry about a kilobyte: what
# is longer than this is an attack or a mistake.
MAXIMUM_MESSAGE = 1024 * 1024

# Bytes. A longer frame is left to websocket-client.
_LONGEST_CUT = 65536

# RFC 6455, 5.5: pings, pongs and closes.
_MAXIMUM_CONTROL = 125

_FINAL_BINARY = 0x82
_CONTROL = 0x08  # the bit of the opcode that tells control frames
_MASKED = 0x80
_LENGTH_16 = 126
_LENGTH_64 = 127
_MASK_SIZE = 4


class Extent(NamedTuple):
    """Indexes into the buffer: where a frame's payload begins, and where the frame ends."""

    payload: int
    end: int


def cut_messages(buffer: bytes, start: int, masked: bool) -> Tuple[List[Buffer], int]:
    """The payloads of all complete, final binary frames from ``start`` on, and the index at which
    the first other thing begins. RemoteError for a frame that no peer may send."""
    messages: List[Buffer] = []
    view = memoryview(buffer)
    size = len(buffer)
    usual = _LENGTH_16 | (_MASKED if masked else 0)
    to_payload = 4 + (_MASK_SIZE if masked else 0)
    while start + 1 < size and buffer[start] == _FINAL_BINARY:
        if buffer[start + 1] == usual and start + 4 <= size:
            # Nearly all messages, without a call for each.
            begin = start + to_payload
            end = begin + (buffer[start + 2] << 8 | buffer[start + 3])
        else:
            try:
                extent = extent_of(buffer, start, masked)
            except RemoteError:
                if messages:
                    break  # what came before it counts; the next call meets it again
                raise
            if extent is None:
                break
            begin, end = extent
        if end > size:
            break
        payload: Buffer = view[begin:end]
        if masked:
            payload = _xor(payload, int.from_bytes(buffer[begin - _MASK_SIZE:begin], "big"))
        messages.append(payload)
        start = end
    return messages, start


def extent_of(buffer: bytes, start: int, masked: bool) -> Optional[Extent]:
    """How far the frame at ``start`` reaches, by its header; None until all of that is here.

    RemoteError for a frame that is too long, or that is masked where it must not be.
    """
    here = len(buffer) - start
    if here < 2:
        return None
    length = buffer[start + 1]
    if bool(length & _MASKED) != masked:
        raise RemoteError("a WebSocket frame is %s" % ("not masked" if masked else "masked"))
    length &= ~_MASKED
    payload = start + 2
    if length >= _LENGTH_16:
        size = 2 if length == _LENGTH_16 else 8
        if here < 2 + size:
            return None
        length = int.from_bytes(buffer[payload:payload + size], "big")
        payload += size
    limit = _MAXIMUM_CONTROL if buffer[start] & _CONTROL else MAXIMUM_MESSAGE
    if length > limit:
        raise RemoteError("a WebSocket frame of %d bytes is too long: %d may be" % (length, limit))
    if masked:
        payload += _MASK_SIZE
    return Extent(payload, payload + length)


def is_unfinished(buffer: bytes, start: int, masked: bool, in_fragments: bool = False) -> bool:
    """Whether to receive more before looking again at ``start``. Else a frame begins there that is
    not for :func:`cut_messages`: of another kind, or so long that it had better be collected in
    pieces than be copied with each of them. ``in_fragments``: no frame is for it."""
    extent = extent_of(buffer, start, masked)
    if extent is None:
        return True
    is_one_message = buffer[start] == _FINAL_BINARY and not in_fragments
    return is_one_message and extent.end - start <= _LONGEST_CUT


def join_messages(messages: List[bytes], masked: bool) -> bytes:
    """Each message as one binary frame, all of them joined. Each has a fresh mask (5.3)."""
    parts: List[bytes] = []
    if not masked:
        for message in messages:
            parts += (_header(len(message), 0), message)
        return b"".join(parts)
    masks = struct.unpack(">%dI" % len(messages), os.urandom(_MASK_SIZE * len(messages)))
    for message, mask in zip(messages, masks):
        length = len(message)
        repeater = _repeaters.get(length)
        if repeater and length >= _LENGTH_16:  # nearly all, without a call for each
            key = mask * repeater
            if length & 3:
                key >>= 8 * (-length % 4)
            payload = (_from_bytes(message, "big") ^ key).to_bytes(length, "big")
            parts += (_usual_header(_FINAL_BINARY, _MASKED | _LENGTH_16, length, mask), payload)
        else:
            header = _header(length, _MASKED)
            parts += (header, mask.to_bytes(_MASK_SIZE, "big"), _xor(message, mask))
    return b"".join(parts)


_from_bytes = int.from_bytes
_usual_header = struct.Struct(">BBHI").pack  # with the mask


def _header(length: int, mask_bit: int) -> bytes:
    if length < _LENGTH_16:
        return bytes((_FINAL_BINARY, mask_bit | length))
    if length < 65536:
        return struct.pack(">BBH", _FINAL_BINARY, mask_bit | _LENGTH_16, length)
    return struct.pack(">BBQ", _FINAL_BINARY, mask_bit | _LENGTH_64, length)


# A number with a 1 in every 32-bit word: times a mask, it is that mask repeated. By the length of
# the message, which it covers, with up to three bytes more. Our messages are at most some 1200
# bytes long; a peer's may have any length, and must not make us keep a number for each.
_repeaters: Dict[int, int] = {}
_LONGEST_KEPT = 1280


def _repeater(length: int) -> int:
    repeater = _repeaters.get(length)
    if repeater is None:
        repeater = int.from_bytes(b"\0\0\0\1" * ((length + 3) // 4), "big")
        if length <= _LONGEST_KEPT:
            _repeaters[length] = repeater
    return repeater


def _xor(message: Buffer, mask: int) -> bytes:
    """Mask or unmask: XOR as one operation on two long integers."""
    length = len(message)
    key = mask * _repeater(length) >> 8 * (-length % 4)  # the mask's first bytes are the front's
    return (_from_bytes(message, "big") ^ key).to_bytes(length, "big")
