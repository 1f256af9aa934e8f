"""Writes an entry of the code cache that ``unpacked`` reads: the built file's modules, compiled."""

import ast
import binascii
import marshal
import os
import time
import zipfile
from contextlib import suppress
from types import CodeType
from typing import Any, Dict, Iterable, Tuple

# The fields of a statement that hold other statements, and an expression without a meaning.
_PARTS = ("body", "orelse", "finalbody", "handlers")
_NOTHING = ast.parse("None", mode="eval").body
_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

_OLD = 30 * 86400  # s: an entry that is still in use then is made again, once
_ABANDONED = 3600  # s


def write(folder: int, name: str, archive: str, made_of: bytes, line_size: int) -> None:
    """Compile the zip file's modules into the entry ``name``.

    :param folder: an opened directory
    :param archive: the path of the zip file
    :param made_of: what the entry is to begin with
    :param line_size: of its first line, in bytes
    :raises OSError: if there is no room
    """
    _remove_old(folder)
    unfinished = "%s.%d" % (name, os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            # Is there room? That should be known before everything is compiled.
            _put(file, bytes(2 * os.path.getsize(archive)))
            file.seek(0)
            _put_entry(file, archive, made_of, line_size)
            os.fsync(descriptor)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(unfinished, dir_fd=folder)
        raise


def _put(file: Any, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _put_entry(file: Any, archive: str, made_of: bytes, line_size: int) -> None:
    """Write the file that ``unpacked.Codes`` describes. Each code is written at once: all of them
    together take more memory than a session."""
    index: Dict[str, Tuple[int, int, int]] = {}
    place = file.seek(line_size)
    with zipfile.ZipFile(archive) as sources:
        for name in sources.namelist():
            if name.endswith(".py"):
                code = marshal.dumps(_compile(sources.read(name), os.path.join(archive, name)))
                _put(file, code)
                index[name] = place, len(code), binascii.crc32(code)
                place += len(code)
    listed = marshal.dumps(index)
    _put(file, listed)
    file.truncate()
    file.seek(0)
    line = b"%s %d %d %08x" % (made_of, place - line_size, len(listed), binascii.crc32(listed))
    _put(file, line.ljust(line_size - 1) + b"\n")


def _compile(source: bytes, path: str) -> CodeType:
    """Compile without annotations, which take a tenth of a start, and without the docstrings of
    classes and functions, which take 0.2 MiB of a session: nobody reads them here."""
    tree = ast.parse(source, path)
    _forget_the_unread(tree.body)
    return compile(tree, path, "exec", dont_inherit=True)


def _forget_the_unread(statements: Iterable[Any]) -> None:
    for node in statements:
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False):
            docstring: Any = node.body[0]
            docstring.value = _NOTHING
        if isinstance(node, ast.AnnAssign):
            node.annotation = _NOTHING  # not None: a named tuple has its fields from them
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
        for part in _PARTS:
            _forget_the_unread(getattr(node, part, ()))


def _remove_old(folder: int) -> None:
    """What killed starts, other Pythons and built files that are gone have left behind."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        names = os.listdir(listing)
    finally:
        os.close(listing)
    for name in names:
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if time.time() - status.st_mtime > (_ABANDONED if "." in name else _OLD):
                os.unlink(name, dir_fd=folder)
