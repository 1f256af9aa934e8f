"""smux version 1: the frames that carry many TCP streams over one port session.

A frame is an 8-byte little-endian header (version, command, length, stream id) and, for PSH alone,
``length`` bytes of data. The frames of one direction form one byte stream: where a message of the
data channel ends says nothing about where a frame ends.
"""

import struct
from typing import List

from ..errors import RemoteError, StateError
from ..named_tuple import NamedTuple
from .message import Buffer

SYN = 0  # opens a stream
FIN = 1  # ends it, in both directions
PSH = 2  # carries data
NOP = 3  # keeps the session alive; its stream id is 0

# Bytes of data in one PSH. A peer may send as much as the 16-bit length can say.
MAXIMUM_SENT = 32768

_VERSION = 1
_HEADER = struct.Struct("<BBHI")
_HIGHEST_ID = 0xFFFFFFFF
_NOTHING = memoryview(b"")


class Frame(NamedTuple):
    """``payload`` is a slice of what was fed: a whole PSH, or the part of one that has arrived."""

    command: int
    stream_id: int
    payload: memoryview


def encode_frame(command: int, stream_id: int, payload: Buffer = b"") -> bytes:
    """One frame. Raises StateError for what no peer would understand."""
    if not SYN <= command <= NOP or not 0 <= stream_id <= _HIGHEST_ID:
        raise StateError("no smux frame has command %r and stream %r" % (command, stream_id))
    if len(payload) > (MAXIMUM_SENT if command == PSH else 0):
        raise StateError("%d bytes do not fit smux command %d" % (len(payload), command))
    return b"".join((_HEADER.pack(_VERSION, command, len(payload), stream_id), payload))


class FrameSplitter:
    """Cuts one direction's byte stream into frames.

    The data of a PSH is handed on as it comes, without waiting for the rest: the agent spreads one
    of 32 KiB over 32 messages. So a PSH may appear as several, and no more than an unfinished
    header is ever kept.
    """

    def __init__(self) -> None:
        self._header = b""  # an unfinished one
        self._stream_id = 0  # of the PSH that is under way
        self._missing = 0  # bytes of it that have not come yet

    def feed(self, data: Buffer) -> List[Frame]:
        """The frames in ``data``, in order; their payloads stay valid as long as ``data`` does.

        Raises RemoteError if this is not smux, and again from then on: where the next frame begins
        is lost.
        """
        if self._header and data:
            data = self._header + data
            self._header = b""
        view = memoryview(data)
        frames: List[Frame] = []
        position = 0
        if self._missing and data:
            position = min(self._missing, len(view))
            self._missing -= position
            frames.append(Frame(PSH, self._stream_id, view[:position]))
        self._split(view, position, frames)
        return frames

    def _split(self, view: memoryview, position: int, frames: List[Frame]) -> None:
        size = _HEADER.size
        unpack_from = _HEADER.unpack_from
        end = len(view)
        while end - position >= size:
            version, command, length, stream_id = unpack_from(view, position)
            if version != _VERSION or command > NOP or (length and command != PSH):
                self._header = bytes(view[position : position + size])
                raise _not_smux(version, command, length)
            position += size
            if command != PSH:
                frames.append(Frame(command, stream_id, _NOTHING))
                continue
            stop = position + length
            if stop > end:
                self._stream_id = stream_id
                self._missing = stop - end
                stop = end
            if stop > position:
                frames.append(Frame(PSH, stream_id, view[position:stop]))
            position = stop
        if position < end:
            self._header = bytes(view[position:])


def _not_smux(version: int, command: int, length: int) -> RemoteError:
    return RemoteError(
        "the port session's stream is broken: no smux frame has version %d, command %d and "
        "length %d; start the session again" % (version, command, length)
    )
