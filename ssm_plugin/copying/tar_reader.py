"""Reads a tar that a node has made. Nothing in it is trusted: not a name, not a length.

``tarfile`` keeps an object for each member, and reads a member's extended header whole, however
long it claims to be. Here memory is bounded. The formats are those that tars write: POSIX (ustar,
pax) and GNU.
"""

import posixpath
import tarfile
from typing import IO, Dict, Iterator, List, Optional

from ..errors import RemoteError
from ..named_tuple import NamedTuple

BLOCK = 512

FILE, DIRECTORY, LINK, HARD_LINK, OTHER = "file", "directory", "link", "hard link", "other"

# Bytes that a name, or all extended fields of a member, may have.
_LONGEST_FIELD = 1 << 20

_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.CONTTYPE: FILE,
    tarfile.DIRTYPE: DIRECTORY,
    tarfile.SYMTYPE: LINK,
    tarfile.LNKTYPE: HARD_LINK,
}


class Member(NamedTuple):
    """``name`` and ``link`` are bytes as they came. ``mtime`` is in nanoseconds."""

    kind: str
    name: bytes
    link: bytes
    size: int
    mode: int
    mtime: int


def members(file: IO[bytes]) -> Iterator[Member]:
    """Each member in turn, with ``file`` at its content, of which the caller may read any part.

    ``file`` can seek. :raises RemoteError: for what is no tar
    """
    fields: Dict[str, bytes] = {}
    at = 0
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if not block.strip(b"\0"):
            return
        info = _header(block)
        at += BLOCK
        after = at + -(-info.size // BLOCK) * BLOCK
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            name = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
            fields[name] = _read(file, info.size).rstrip(b"\0")
        elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            fields.update(_pax(_read(file, info.size)))
        elif info.type != tarfile.XGLTYPE:
            member = _member(info, fields)
            fields = {}
            if member.kind == FILE:
                after = at + -(-member.size // BLOCK) * BLOCK
            yield member
        at = after


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise RemoteError("the node's tar cannot be read: %s" % error) from error
    if info.size < 0:
        raise RemoteError("the node's tar cannot be read: a length is negative")
    return info


def _read(file: IO[bytes], size: int) -> bytes:
    if size > _LONGEST_FIELD:
        raise RemoteError("the node's tar cannot be read: a name in it has %d bytes" % size)
    return file.read(size)


def _member(info: tarfile.TarInfo, fields: Dict[str, bytes]) -> Member:
    kind = _KINDS.get(info.type, OTHER)
    if any(name.startswith("GNU.sparse.") for name in fields):
        kind = OTHER
    size = _number(fields.get("size"))
    mtime = _nanoseconds(fields.get("mtime"))
    return Member(
        kind,
        fields.get("path", info.name.encode("utf-8", "surrogateescape")),
        fields.get("linkpath", info.linkname.encode("utf-8", "surrogateescape")),
        (info.size if size is None else size) if kind == FILE else 0,
        info.mode,
        int(info.mtime) * 10 ** 9 if mtime is None else mtime,
    )


def _pax(text: bytes) -> Dict[str, bytes]:
    """The records ``LENGTH NAME=VALUE`` of an extended header."""
    fields = {}
    while text.strip(b"\0"):
        number, space, _ = text.partition(b" ")
        if not space or not number.isdigit() or not 4 < int(number) <= len(text):
            raise RemoteError("the node's tar cannot be read: an extended header is broken")
        name, _, value = text[len(number) + 1:int(number) - 1].partition(b"=")
        fields[name.decode("utf-8", "replace")] = value
        text = text[int(number):]
    return fields


def _number(value: Optional[bytes]) -> Optional[int]:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise RemoteError("the node's tar cannot be read: a length in it is not a number")
    return int(value)


def _nanoseconds(value: Optional[bytes]) -> Optional[int]:
    if value is None:
        return None
    whole, _, fraction = value.partition(b".")
    try:
        return int(whole[:18]) * 10 ** 9 + int((fraction + b"0" * 9)[:9])
    except ValueError:
        return None


def parts_of(name: bytes) -> List[bytes]:
    """The steps from the root of the tree to a member; none for the root itself.

    :raises RemoteError: for a name that would lead out of it
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts or b"\0" in name:
        raise RemoteError(
            "the node's tar holds a name that leads out of the directory: %r"
            % name.decode("utf-8", "backslashreplace")[:200]
        )
    return parts


def stays_inside(parts: List[bytes], link: bytes) -> bool:
    """Whether a symbolic link at ``parts`` leads to somewhere in the tree, whatever other links
    there are: steps up come first, and are no more than there are directories above it."""
    steps = [step for step in link.split(b"/") if step not in (b"", b".")]
    up = 0
    while up < len(steps) and steps[up] == b"..":
        up += 1
    return bool(link) and not posixpath.isabs(link) and b".." not in steps[up:] and up < len(parts)
