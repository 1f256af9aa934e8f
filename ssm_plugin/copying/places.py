"""What the words of a copy mean: ``TARGET:PATH`` at a node, ``PATH`` here, ``-`` for a stream.

As with scp, a colon before any slash makes it a place at a node: a local file with a colon in its
name is written ``./a:b``. A target that has colons itself (``tag:``, ``name:``, ``ip:``, ``ecs:``)
ends at the first colon with a ``/`` or ``~`` behind it, else at the last one. Paths are text as
``os.fsdecode`` gives it, so bytes that are no text in UTF-8 survive.
"""

import hashlib
import os
import re
from typing import Optional, Sequence, Tuple

from ..errors import UsageError
from ..named_tuple import NamedTuple

STREAM = "-"

# What a copy is called until it is right: NAME.ssm-plugin.part here. At a node there may be others
# at it, and it is NAME.ssm-plugin-....part with a word of its own in between.
PREFIX = ".ssm-plugin-"
SUFFIX = ".part"
PART = ".ssm-plugin.part"

# Bytes of a name on nearly every file system.
_LONGEST_NAME = 255

_WITH_COLONS = re.compile(r"(?:[^:/]*,)?(?:tag|name|ip|ecs|sagemaker-cluster):", re.DOTALL)
_ITS_END = re.compile(r":(?=[/~])")


class Place(NamedTuple):
    """``target`` is None for a place on this machine; several targets have commas in between."""

    target: Optional[str]
    path: str

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output."""
        return self.target is None and self.path == STREAM


class Direction(NamedTuple):
    """``sources`` are paths on one side, ``destination`` one on the other. ``target`` is what the
    user wrote."""

    is_upload: bool
    target: str
    sources: Tuple[str, ...]
    destination: str


def parse_place(word: str) -> Place:
    """:raises UsageError: for a word that can be no place"""
    if not word:
        raise UsageError("a path is empty; the current directory is written '.'")
    if "\0" in word:
        raise UsageError("a path cannot hold a NUL character")
    at = _end_of_target(word)
    if at is None:
        return Place(None, word)
    if at == 0:
        raise UsageError("there is no TARGET before the colon in %r; a file is './%s'" % (
            word[:100], word[:100]))
    return Place(word[:at], word[at + 1:])


def _end_of_target(word: str) -> Optional[int]:
    """Where the colon is that ends the target, None if there is none."""
    start = _WITH_COLONS.match(word)
    if start:
        end = _ITS_END.search(word, start.end())
        at = end.start() if end else word.rfind(":", start.end())
        return None if at < 0 else at
    before = word.split("/", 1)[0].find(":")
    return None if before < 0 else before


def plan(places: Sequence[Place]) -> Direction:
    """What SOURCE … DESTINATION ask for.

    :raises UsageError: unless exactly one side is at a node
    """
    if len(places) < 2:
        raise UsageError("give a SOURCE and a DESTINATION, one of them TARGET:PATH")
    sources, destination = places[:-1], places[-1]
    targets = list(dict.fromkeys(one.target for one in sources))
    if len(targets) > 1:
        raise UsageError("all sources must be in one place: on this machine, or on one target")
    source = targets[0]
    if source is None and destination.target is None:
        raise UsageError(
            "one side must be TARGET:PATH, such as i-0123456789abcdef0:/etc/hosts; "
            "both are on this machine"
        )
    if source is not None and destination.target is not None:
        raise UsageError(
            "one side must be on this machine: copy from a node, then to the other; a file here "
            "with a colon in its name is written './a:b'"
        )
    paths = tuple(one.path for one in sources)
    streams = [one for one in sources if one.is_stream]
    if streams and len(sources) > 1:
        raise UsageError("standard input is copied alone")
    if destination.is_stream and len(sources) > 1:
        raise UsageError("standard output takes one file")
    if destination.target is not None:
        return Direction(True, destination.target, paths, destination.path)
    assert source is not None
    return Direction(False, source, paths, destination.path)


def base_name(path: str) -> str:
    """The last name in a path; empty where it has none of its own: ``.``, ``..``, ``/``, ``~``."""
    path = path.rstrip("/")
    name = path.rsplit("/", 1)[-1]
    return "" if name in ("", ".", "..") or path == "~" else name


def part_of(path: str) -> str:
    """Where the copy is until it is right: beside its destination."""
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) + 2 * len(PART) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(folder, name + PART)


def at_node(path: str) -> str:
    """A path as the node's shell finds it: from the home directory on, and never an option."""
    if path == "~" or path.startswith("~/"):
        path = path[1:].lstrip("/")
    return path if path.startswith("/") else "./" + path


def octal(path: str) -> str:
    """Any bytes as the format of ``printf`` that prints them. The service and the shells on the
    way see letters, digits and backslashes alone."""
    return "".join(map(_octal_byte, os.fsencode(path)))


def _octal_byte(byte: int) -> str:
    letter = chr(byte)
    is_plain = letter.isalnum() and byte < 128 or letter in "./_"
    return letter if is_plain else "\\%03o" % byte
