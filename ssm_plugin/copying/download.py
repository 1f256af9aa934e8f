"""One file or directory from a node: its text is taken apart, checked, and made the destination.

The node prints base64 into a command's output, which its agent sends as fast as the line takes it.
Measured as in ``upload.py``: 1 GiB with 31 MiB of memory at the peak.
"""

import binascii
import hashlib
import os
import zlib
from typing import Callable, List, Optional, Sequence, Union

from .. import logs
from ..errors import RemoteError, SsmPluginError
from ..session.streams import OutputGone, write_all
from .node_script import Existing, download_argv
from .options import CopiedFile, CopyFailed, CopyOptions, CopyProgress, Skipped, Tell
from .part import PartFile, final_path

log = logs.logger(__name__)

# Bytes of a line that is no base64. One that is longer was not printed by our script.
_LONGEST_LINE = 4096

# Bytes that are unpacked at a time.
_PIECE = 1 << 18

# Bytes of text that are decoded together.
_BATCH = 1 << 16

_ROOM = b"\n\r \t"


class Download:
    """``output`` gets what the node prints, in another thread; ``finish``, which follows, makes the
    destination of it."""

    def __init__(
        self,
        target: str,
        source: str,
        destination: Optional[str],
        options: CopyOptions,
        needs_directory: bool = False,
        tell: Tell = lambda progress: None,
        check: Callable[[], object] = lambda: None,
        skipped: Optional[Skipped] = None,
    ) -> None:
        """``destination`` None: standard output. :raises CopyFailed: if nothing can be written"""
        self.source = source
        self._target = target
        self._options = options
        self._tell = tell
        self._check = check
        self._skipped = skipped or Skipped()
        self._sink: Union[_StandardOutput, PartFile] = _StandardOutput()
        if destination is not None:
            path = final_path(destination, source, needs_directory)
            is_new = destination.endswith("/") and not os.path.isdir(destination)
            self._sink = PartFile(path, is_new, options.resume)
        self._lines = _Lines(self._begin, self._take)

    # What an ``Upload`` has, too: nothing goes up.
    read_input = failure = None
    is_fast = is_raw = False

    # Seconds of silence once a connection was lost: longer than a slow disk takes.
    silence_limit = 120.0

    def argv(self) -> Sequence[str]:
        options, existing = self._options, self._sink.existing
        return download_argv(
            self.source, options.recursive, existing, options.compress, options.sudo
        )

    def output(self, data: bytes) -> None:
        self._lines.feed(data)

    def wake(self) -> None:
        """Nothing here waits."""

    def finish(self) -> CopiedFile:
        """The end of the stream was reached: check it, and put the file or tree in its place.

        :raises SsmPluginError: if the content is not right"""
        head, told = self._lines.head, self._lines.told
        if head is None or not told:
            raise RemoteError("the node did not print the digest of what it sent")
        status, digest = told
        if status != "0":
            raise CopyFailed("")
        if digest != self._sink.digest:
            self._sink.remove()
            raise CopyFailed(
                "its SHA-256 at the node is %s, and here %s" % (digest, self._sink.digest)
            )
        if isinstance(self._sink, PartFile):
            preserve = self._options.preserve
            if head.is_tree:
                self._sink.become_tree(preserve, self._skipped, self._check)
            else:
                self._sink.become_file(head.mode, head.mtime, preserve)
        return CopiedFile(
            self._target,
            self.source,
            self._sink.destination,
            self._sink.size,
            head.offset,
            digest,
            0,
            "",
        ).without(self._skipped.told())

    def close(self) -> None:
        try:
            self._lines.flush()
        except (SsmPluginError, OutputGone) as error:
            log.info("the end of %s is lost: %s", self.source, error)
        finally:
            self._sink.close()

    @property
    def progress(self) -> CopyProgress:
        head = self._lines.head
        size, offset = (head.size, head.offset) if head else (None, 0)
        done = self._sink.size
        if size is not None and done > size:
            size = None  # files of the kernel tell 0, and others may grow
        return CopyProgress(self._target, self.source, done, size, offset)

    def _begin(self, head: "_Head") -> None:
        if head.offset not in (0, self._sink.existing.size):
            raise RemoteError("the node resumes where nothing is here yet")
        self._sink.start(head.is_tree, head.offset)
        self._tell(self.progress)

    def _take(self, data: bytes) -> None:
        self._sink.write(data)
        self._tell(self.progress)


class _Head:
    """What the node says of the source. ``size`` and ``mtime`` may be unknown."""

    def __init__(self, line: bytes) -> None:
        try:
            word, kind, size, mode, mtime, offset, pack = line.decode("ascii").split(" ")
            self.is_tree = {"f": False, "d": True}[kind]
            self.size = None if size == "-" else int(size)
            self.mode = 0o666 if mode == "-" else int(mode, 8)
            self.mtime = None if mtime == "-" else int(mtime)
            self.offset = int(offset)
            self.is_packed = pack == "gz"
        except (ValueError, KeyError) as error:
            raise RemoteError("the node printed something other than the file") from error
        if word != "head" or self.offset < 0:
            raise RemoteError("the node printed something other than the file")


class _Lines:
    """The node's text, in pieces of any size: a line, base64, a line. Memory is bounded."""

    def __init__(
        self, begin: Callable[[_Head], object], take: Callable[[bytes], object]
    ) -> None:
        self.head: Optional[_Head] = None
        self.told: List[str] = []
        self._begin = begin
        self._take = take
        self._line = b""
        self._rest = b""
        self._held: List[bytes] = []
        self._held_size = 0
        self._is_content = True
        self._unpack: Optional["zlib._Decompress"] = None

    def feed(self, data: bytes) -> None:
        """Messages are small, and each step has its price: content is collected."""
        if self.head is None or not self._is_content or b"!" in data:
            data = self._collected() + data
        else:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < _BATCH:
                return
            data = self._collected()
        self._work(data)

    def flush(self) -> None:
        """Nothing more will come."""
        if self._held:
            self._work(self._collected())

    def _collected(self) -> bytes:
        data = b"".join(self._held)
        self._held, self._held_size = [], 0
        return data

    def _work(self, data: bytes) -> None:
        if self.head is None:
            data = self._take_head(self._line + data)
        if data and self._is_content:
            text, mark, data = data.partition(b"!")
            self._decode(text)
            self._is_content = not mark
        if data and not self._is_content:
            self._take_end(self._line + data)

    def _take_head(self, data: bytes) -> bytes:
        line, end, data = data.partition(b"\n")
        if not end:
            self._line = _bounded(line)
            return b""
        self._line = b""
        self.head = _Head(line)
        if self.head.is_packed:
            self._unpack = zlib.decompressobj(31)
        self._begin(self.head)
        return data

    def _decode(self, text: bytes) -> None:
        text = self._rest + text.translate(None, _ROOM)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        try:
            data = binascii.a2b_base64(text[:whole])
        except binascii.Error as error:
            raise RemoteError("the node printed something other than base64") from error
        if self._unpack is None:
            if data:
                self._take(data)
        else:
            self._inflate(self._unpack, data)

    def _inflate(self, unpack: "zlib._Decompress", data: bytes) -> None:
        try:
            while data:
                piece = unpack.decompress(data, _PIECE)
                data = unpack.unconsumed_tail
                if piece:
                    self._take(piece)
        except zlib.error as error:
            raise RemoteError("what the node has compressed cannot be read") from error

    def _take_end(self, data: bytes) -> None:
        self._line = _bounded(data)
        line, end, _ = data.partition(b"\n")
        words = line.decode("ascii", "replace").split()
        if end and len(words) == 2:
            self.told = words


def _bounded(line: bytes) -> bytes:
    if len(line) > _LONGEST_LINE:
        raise RemoteError("the node printed something other than the file")
    return line


class _StandardOutput:
    """Where a download goes that is to be no file; as ``PartFile``."""

    destination = "-"
    existing = Existing()
    size = 0

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()

    def start(self, is_tree: bool, offset: int) -> None:
        if is_tree:
            raise CopyFailed("it is a directory, which cannot go to standard output")

    def write(self, data: bytes) -> None:
        write_all(1, data)
        self._sha.update(data)
        self.size += len(data)

    def remove(self) -> None:
        """It is out already."""

    def close(self) -> None:
        """Nothing of it was opened."""
