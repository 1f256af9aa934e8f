"""What a relay and we say to each other, as bytes, and how much of it may be under way: pure.

Down, on the standard output of the relay's command, come lines of text::

    ~NUMBER STREAM KIND LENGTH BASE64

The numbers have no holes, and the length is that of the data: what others write between our lines
is skipped, and what they write into one of them is noticed. Before that comes one line with the
token of this relay and its port; whatever stands before it is a banner.

Up, in a stream of a port session for each connection, come frames: one byte of kind, two of length,
and so many bytes. The first one says which secret it brings, and where to.

Each direction of a stream has a window (``Credit``, ``Taken``; the relay's sources keep the same
account): a stream that nobody reads stops at its own, and holds up no other.
"""

import binascii
import re
import struct
from typing import List, Optional

from ..errors import RemoteError
from ..named_tuple import NamedTuple
from ..wire.message import Buffer

# Up. ``MORE`` asks for one secret more: the relay replaces those only that it has been shown. The
# data of ``ECHO`` comes down again.
HELLO, DATA, FIN, CREDIT, RESET, MORE, ECHO = range(7)

# Down.
SECRET = b"s"  # data: 16 bytes; the stream is the one that it is good for
OPENED = b"o"  # the target is connected
REFUSED = b"x"  # it could not be connected; data: why
OUTPUT = b"d"
ENDED = b"f"  # the target sends no more
BROKEN = b"r"  # the connection to the target is gone; nothing comes any more
WAITING = b"w"  # of no stream: more waits to go down; once a second while it does
ECHOED = b"e"
ROOM = b"c"  # data: so many bytes more may be sent up, in digits

# Bytes of data that either side may have under way in a stream before it is told of room.
WINDOW = 1 << 20

# What has been taken is told in portions: each costs a message.
PORTION = WINDOW // 4

# Bytes of a host's name. A relay takes no frame that is much longer from somebody unknown.
LONGEST_HOST = 255

# Longer than any line of a relay: its pieces have 32 KiB.
LINE_LIMIT = 65536

HEADER = struct.Struct(">BH")
_HELLO = struct.Struct(">I16sH")
_LINE = re.compile(rb"~([0-9]{1,15}) ([0-9]{1,9}) ([a-z]) ([0-9]{1,5}) ([A-Za-z0-9+/=]*)\r?\Z")


class Message(NamedTuple):
    """What the relay told of a stream."""

    stream: int
    kind: bytes
    data: bytes


class DownDecoder:
    """``port`` is None until the relay has told where it listens, and 0 if nothing there can run
    it."""

    def __init__(self, token: str) -> None:
        self.port: Optional[int] = None
        self._greeting = re.compile(rb".*@%s (none|[0-9]{1,5})\r?\Z" % token.encode("ascii"))
        self._rest = bytearray()
        self._overlong = False
        self._number = 0

    def feed(self, data: Buffer) -> List[Message]:
        """What has come whole; ``data`` may be cut anywhere. RemoteError if a line is missing."""
        start = len(self._rest)
        self._rest += data
        messages: List[Message] = []
        end = self._rest.rfind(b"\n", start)
        if end >= 0:
            lines = bytes(self._rest[:end]).split(b"\n")
            del self._rest[: end + 1]
            for line in lines:
                self._take(line, messages)
        if len(self._rest) > LINE_LIMIT:
            self._overlong = True
            del self._rest[:]
        return messages

    def _take(self, line: bytes, messages: List[Message]) -> None:
        if self._overlong:
            self._overlong = False  # this is the end of something that was no line of ours
        elif self.port is None:
            greeting = self._greeting.match(line)
            if greeting:
                self.port = 0 if greeting.group(1) == b"none" else int(greeting.group(1))
        else:
            message = self._parse(line)
            if message:
                messages.append(message)

    def _parse(self, line: bytes) -> Optional[Message]:
        """The message in a line; None for a line that is not from the relay."""
        parts = _LINE.match(line)
        if parts is None:
            return None
        number, stream, kind, length, text = parts.groups()
        try:
            data = binascii.a2b_base64(text)
        except binascii.Error:
            return None
        if len(data) != int(length):
            return None
        self._number += 1
        if int(number) != self._number:
            raise RemoteError(
                "what the relay at the node sent is damaged: something else there writes to its "
                "standard output; use --speed plain"
            )
        return Message(int(stream), kind, data)


def hello(stream: int, secret: bytes, port: int, host: str = "") -> bytes:
    """Begins a stream. ``port`` 0: one that leads nowhere. ``host`` empty: the node itself."""
    try:
        name = host.encode("idna")
    except UnicodeError:
        name = b""
    if host and not 0 < len(name) <= LONGEST_HOST:
        name = b"."  # it can be no host: the node refuses this one, too
    return frame(HELLO, _HELLO.pack(stream, secret, port) + name)


def frame(kind: int, data: Buffer = b"") -> bytes:
    return HEADER.pack(kind, len(data)) + bytes(data)


def credit(size: int) -> bytes:
    return frame(CREDIT, b"%d" % size)


def data_frames(data: Buffer, size: int) -> bytes:
    """Frames of ``size`` bytes each; the last one may be shorter."""
    view, most = memoryview(data), size - HEADER.size
    return b"".join(frame(DATA, view[at : at + most]) for at in range(0, len(view), most))


class Credit:
    """``left`` is how many bytes we may still send.

    One thread spends while another grants. If both changed one sum, a change could be lost; so each
    has its own."""

    def __init__(self) -> None:
        self._spent = 0
        self._granted = WINDOW

    @property
    def left(self) -> int:
        return self._granted - self._spent

    def spend(self, size: int) -> None:
        self._spent += size

    def grant(self, size: int) -> None:
        self._granted += size


class Taken:
    """Counts received bytes that were passed on, until there are enough to tell."""

    def __init__(self) -> None:
        self._untold = 0

    def add(self, size: int) -> int:
        """How much is to be told now; 0 for nothing."""
        self._untold += size
        if self._untold < PORTION:
            return 0
        told, self._untold = self._untold, 0
        return told
