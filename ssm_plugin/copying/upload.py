"""One file or directory to a node: the standard input of a command there, exact and checked.

It goes through a raw terminal, the one way in that every node has (see ``jobs/feed.py``): a file of
known length as it is, anything else as lines of base64, or on request by a port (``port_way``).
Measured on two cores of an AMD EPYC that others shared, Python 3.11, the local service in a process
of its own, 48 MiB of random bytes, in turns. Each is a ratio to base64 through a terminal in the
same run, which had 6 to 9 MiB/s:

- as it is through a terminal: 1.9 to 2.1 times the speed, 0.6 to 0.8 of our CPU, 0.4 of the node's;
- by a port: 1.4 to 2.3 times the speed, 0.6 of our CPU, 0.7 of the node's. It was 1.02 and 1.2
  times as fast as the terminal with the same bytes, so that it is for what would be text;
- two sessions at once, with half of it each: slower together than one alone;
- gzip, of text that shrinks to 0.43: 1.5 and 1.6 times the speed of the same text without;
- with the service paced as a real agent is (1.2 ms after each message): 1.05 to 1.2 of the speed
  without, which is the spread of the runs. The agent paces its way down, not what goes in.

A message carries 1024 bytes at the most, so larger pieces are no way. Nearly all of the time is
that of the messages, on both sides. Against AWS's agent base64 took 20 MB in 4.4 s. The others were
never tried there; it writes into its terminal what comes, as it is.
"""

import hashlib
import os
import queue
import stat
import zlib
from typing import Callable, Iterator, Optional, Sequence, Tuple

from ..errors import LocalError, RemoteError, SsmPluginError
from ..jobs.request import ReadInput
from .node_script import GIVEN_UP, TRAILER, Existing, upload_argv
from .options import CopiedFile, CopyFailed, CopyOptions, CopyProgress, Skipped, Tell
from .places import base_name
from .source import content_of, failing_to, open_source, size_of
from .tree import MODE, tar_of, tree_size

# Whole base64 lines, each of 57 bytes.
PIECE = 57 * 1024

_LONGEST_LINE = 4096

# Compressed it must have less than this part of its size, or it is not worth the time.
_WORTH = 0.9


class Upload:
    """``read_input`` gives what the node is to get, in another thread; ``output`` gets what it
    says; ``finish`` follows, once the command has ended."""

    def __init__(
        self,
        target: str,
        source: Optional[str],
        destination: str,
        options: CopyOptions,
        needs_directory: bool = False,
        tell: Tell = lambda progress: None,
        read: Optional[ReadInput] = None,
        skipped: Optional[Skipped] = None,
    ) -> None:
        """``source`` None: ``read`` gives it.

        :raises CopyFailed: if it cannot be read
        """
        self.source = source or "-"
        self.destination = destination
        self._target = target
        self._options = options
        self.is_fast = False  # not by a terminal: ``heard`` gets the node's words first
        self.heard: Callable[[bytes], bool] = lambda line: False
        # Ends the command: it is called where the node cannot be told that no more will come.
        self.give_up: Callable[[], object] = lambda: None
        self._needs_directory = needs_directory
        self._tell = tell
        self._skipped = skipped or Skipped()
        self._content = _Content(source, read, options.recursive, self._skipped)
        self._said: "queue.Queue[Optional[bytes]]" = queue.Queue()
        self._line = b""
        self._is_over = False
        self.failure: Optional[Exception] = None  # on this side
        self._done = ""
        self._sha = hashlib.sha256()
        self._sent = self._offset = 0
        self._pieces = self._flow()

    silence_limit = None

    @property
    def is_raw(self) -> bool:
        """Whether ``read_input`` needs no other mark of its end than its length."""
        content = self._content
        is_told = content.size is not None and not content.is_tree
        return is_told and not self.is_fast and not self._options.compress

    def argv(self) -> Sequence[str]:
        content, options = self._content, self._options
        return upload_argv(
            self.destination,
            base_name(self.source) if self.source != "-" else "",
            is_tree=content.is_tree,
            needs_directory=self._needs_directory,
            resume=options.resume and content.can_restart,
            mode=content.mode,
            mtime=content.mtime if options.preserve and content.can_restart else None,
            sudo=options.sudo,
            fast=self.is_fast,
        )

    def output(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            raise RemoteError("the node printed something unexpected")
        for line in lines:
            if self.heard(line):
                continue
            if line.startswith(b"done "):
                self._done = line[5:].decode("ascii", "replace")
            if self._said.empty():  # nothing but the first one is waited for
                self._said.put(None if line == b"end" else line)
            self._is_over = self._is_over or line == b"end"

    def read_input(self) -> Optional[bytes]:
        try:
            return next(self._pieces, b"")
        except Exception as error:  # a safety net: what ``tell`` raises, above all
            self.failure = error
            self.give_up()
            return None

    def wake(self) -> None:
        """The command is over: wake the thread that waits for its first line."""
        self._said.put(None)

    def finish(self) -> CopiedFile:
        """:raises SsmPluginError: if the node does not have it"""
        if not self._done or self._done != self._sha.hexdigest():
            raise RemoteError("the node did not confirm that it has the whole content")
        return CopiedFile(
            self._target, self.source, self.destination, self._sent, self._offset, self._done, 0, ""
        ).without(self._skipped.told())

    def close(self) -> None:
        """The thread that reads may still be at it; what it has open ends with it."""

    @property
    def size(self) -> Optional[int]:
        """Bytes, if they are known."""
        return self._content.size

    @property
    def progress(self) -> CopyProgress:
        return CopyProgress(
            self._target, self.source, self._sent, self._content.size, self._offset
        )

    def _flow(self) -> Iterator[bytes]:
        line = self._said.get()
        if line is None:
            return  # the end of the input ends what waits for it at the node
        try:
            existing, knows_gzip = _parse_have(line)
            pieces = self._agree(existing)
            first = next(pieces, b"")
            packer = _packer(first) if self._options.compress and knows_gzip else None
        except SsmPluginError as error:
            self.failure = error
            yield ("0 raw %d\n%s\n" % (TRAILER, GIVEN_UP)).encode("ascii")
            return
        yield self._header("gz" if packer else "raw" if self.is_raw else "-")
        for piece in self._with_trailer(first, pieces):
            data = packer.compress(piece) if packer else piece
            if data:
                yield data
        if packer:
            yield packer.flush()

    def _header(self, pack: str) -> bytes:
        length = (self._content.size or 0) - self._offset + TRAILER if pack == "raw" else 0
        return ("%d %s %d\n" % (self._offset, pack, length)).encode("ascii")

    def _with_trailer(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        trailer = GIVEN_UP
        try:
            piece = first
            while piece and not self._is_over:
                self._count(piece)
                yield piece
                self._tell(self.progress)
                piece = next(pieces, b"")
            trailer = self._sha.hexdigest()
        except CopyFailed as error:
            if self.is_raw:
                raise
            self.failure = error
        yield trailer.encode("ascii") + b"\n"

    def _count(self, piece: bytes) -> None:
        self._sha.update(piece)
        self._sent += len(piece)

    def _agree(self, existing: Existing) -> Iterator[bytes]:
        """The content from where the node's beginning of it ends, if that agrees with ours."""
        pieces = self._content.pieces()
        if not existing.size:
            return pieces
        left = existing.size
        for piece in pieces:
            head, rest = piece[:left], piece[left:]
            self._count(head)
            left -= len(head)
            if not left:
                if self._sha.hexdigest() != existing.digest:
                    break
                self._offset = existing.size
                return _chained(rest, pieces)
        self._sha = hashlib.sha256()
        self._sent = 0
        return self._content.pieces()


def _parse_have(line: bytes) -> Tuple[Existing, bool]:
    """What the node says that it has, and whether it knows gzip."""
    try:
        word, size, digest, pack = line.decode("ascii").split(" ")
        if word != "have":
            raise ValueError(word)
        return Existing(int(size), digest), pack == "gz"
    except ValueError as error:
        raise RemoteError("the node printed something unexpected") from error


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _packer(first: bytes) -> "Optional[zlib._Compress]":
    """What compresses, if the beginning shows that it is worth it."""
    if len(zlib.compress(first, 1)) > _WORTH * len(first):
        return None
    return zlib.compressobj(1, zlib.DEFLATED, 31)


class _Content:
    """What is to be sent. ``size`` is in bytes, None if it is not known in advance."""

    def __init__(
        self,
        path: Optional[str],
        read: Optional[ReadInput],
        recursive: bool,
        skipped: Skipped,
    ) -> None:
        self._path = path
        self._read = read
        self._skipped = skipped
        self.is_tree = False
        self.size: Optional[int] = None
        self.mode, self.mtime = 0o666, 0
        self.can_restart = path is not None
        if path is not None:
            self._look_at(path, recursive)

    def pieces(self) -> Iterator[bytes]:
        """The whole content, in blocks of whole base64 lines."""
        if self._path is None:
            assert self._read is not None
            return _blocks(_given(self._read))
        if self.is_tree:
            self._skipped.clear()
            return _blocks(tar_of(self._path, self._skipped))
        return self._file_pieces(self._path)

    def _look_at(self, path: str, recursive: bool) -> None:
        with failing_to("read", path):
            status = os.stat(path)
        self.is_tree = stat.S_ISDIR(status.st_mode)
        if self.is_tree and not recursive:
            raise CopyFailed("%s is a directory, which is copied with -r" % path)
        self.size = tree_size(path) if self.is_tree else size_of(path)
        self.mode, self.mtime = status.st_mode & MODE, int(status.st_mtime)

    def _file_pieces(self, path: str) -> Iterator[bytes]:
        with open_source(path) as file:
            if self.size is not None:
                self.size = os.fstat(file.fileno()).st_size
            yield from _blocks(content_of(file, path, self.size))


def _given(read: ReadInput) -> Iterator[Optional[bytes]]:
    try:
        yield from iter(read, b"")
    except LocalError as error:  # the node is to keep nothing of it
        raise CopyFailed(str(error)) from error


def _blocks(pieces: Iterator[Optional[bytes]]) -> Iterator[bytes]:
    """The same data in other pieces: each but the last has whole lines."""
    held, size = [], 0
    for piece in pieces:
        if piece is None:
            raise CopyFailed("its input has ended early")
        held.append(piece)
        size += len(piece)
        if size >= PIECE:
            data = b"".join(held)
            whole = len(data) // 57 * 57
            yield data[:whole]
            held, size = [data[whole:]], len(data) - whole
    if size:
        yield b"".join(held)
