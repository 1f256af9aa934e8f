"""One message of a data channel: a 120-byte big-endian prefix, then the payload.

The same layout goes both ways. A message id is a UUID whose two 8-byte halves travel swapped, low
half first; here it is kept as the pair of integers that the prefix holds, because only the text in
an acknowledgement ever needs the usual form.
"""

import enum
import os
import struct
from hashlib import sha256
from typing import Tuple, Union

from ..errors import MessageError
from ..named_tuple import NamedTuple

Buffer = Union[bytes, bytearray, memoryview]

INPUT_STREAM_DATA = "input_stream_data"
OUTPUT_STREAM_DATA = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"
START_PUBLICATION = "start_publication"
PAUSE_PUBLICATION = "pause_publication"
AGENT_SESSION_STATE = "agent_session_state"

FLAG_SYN = 1
FLAG_FIN = 2

# HeaderLength, MessageType, SchemaVersion, CreatedDate (ms), SequenceNumber, Flags,
# MessageId (low half, high half), PayloadDigest, PayloadType, PayloadLength
PREFIX = struct.Struct(">I32sIQqQQQ32sII")

_HEADER_LENGTH = PREFIX.size - 4  # everything before PayloadLength
_SCHEMA_VERSION = 1

PADDED = {
    name: name.encode("ascii").ljust(32)
    for name in (
        INPUT_STREAM_DATA,
        OUTPUT_STREAM_DATA,
        ACKNOWLEDGE,
        CHANNEL_CLOSED,
        START_PUBLICATION,
        PAUSE_PUBLICATION,
        AGENT_SESSION_STATE,
    )
}
_NAMES = {padded: name for name, padded in PADDED.items()}

_new = tuple.__new__

# The service sends these two without a payload that could be checked.
_UNCHECKED = (START_PUBLICATION, PAUSE_PUBLICATION)


class Role(enum.Enum):
    """Which end of a data channel. We are the client; the local service runs the same core as the
    agent."""

    CLIENT = "client"
    AGENT = "agent"


class Message(NamedTuple):
    """``payload`` is a slice of the frame it was read from, not a copy. ``created`` is in ms."""

    message_type: str
    sequence: int
    flags: int
    id_high: int
    id_low: int
    payload_type: int
    payload: Buffer
    created: int

    def __str__(self) -> str:
        return "%s seq=%d type=%d %d bytes" % (
            self.message_type,
            self.sequence,
            self.payload_type,
            len(self.payload),
        )

    @property
    def message_id(self) -> str:
        return uuid_text(self.id_high, self.id_low)


def build(
    message_type: str,
    sequence: int,
    flags: int,
    id_high: int,
    id_low: int,
    payload_type: int,
    payload: Buffer,
    created: int,
) -> bytes:
    """One message, ready for a binary frame. ``created`` is in ms since the epoch."""
    return (
        PREFIX.pack(
            _HEADER_LENGTH,
            PADDED[message_type],
            _SCHEMA_VERSION,
            created,
            sequence,
            flags,
            id_low,
            id_high,
            sha256(payload).digest(),
            payload_type,
            len(payload),
        )
        + payload
    )


def parse(frame: Buffer) -> Message:
    """Read and check one message; :class:`MessageError` says what is wrong with it."""
    try:
        (header_length, padded, _, created, sequence, flags, id_low, id_high, digest, payload_type,
         payload_length) = PREFIX.unpack_from(frame)
    except struct.error as error:
        raise MessageError("a message of %d bytes is too short" % len(frame)) from error
    message_type = _NAMES.get(padded) or _unpadded(padded)
    if message_type in _UNCHECKED:
        return Message(message_type, sequence, flags, id_high, id_low, payload_type, b"", created)
    if header_length + 4 + payload_length != len(frame) or header_length < _HEADER_LENGTH:
        raise MessageError(
            "a message of %d bytes claims a header of %d and a payload of %d"
            % (len(frame), header_length, payload_length)
        )
    if created == 0:
        raise MessageError("a message carries no creation date")
    payload = memoryview(frame)[header_length + 4:]
    if payload_length and sha256(payload).digest() != digest:
        raise MessageError("the digest of %s %d is wrong" % (message_type, sequence))
    # As Message(…) would, without a call: each kilobyte of a transfer passes here.
    return _new(
        Message, (message_type, sequence, flags, id_high, id_low, payload_type, payload, created)
    )


def random_uuid() -> Tuple[int, int]:
    """The two halves of a new UUID, version 4. The uuid module takes long to load."""
    high, low = struct.unpack(">QQ", os.urandom(16))
    return high & 0xFFFFFFFFFFFF0FFF | 0x4000, low & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000


def random_id() -> str:
    """A new UUID, version 4, as text."""
    return uuid_text(*random_uuid())


def uuid_text(high: int, low: int) -> str:
    """The usual 8-4-4-4-12 form of a UUID given as its two halves."""
    return "%08x-%04x-%04x-%04x-%012x" % (
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFFFFFFFFFF,
    )


def _unpadded(padded: bytes) -> str:
    name = padded.strip(b" \0")
    if not name:
        raise MessageError("a message carries no type")
    return name.decode("ascii", "replace")
