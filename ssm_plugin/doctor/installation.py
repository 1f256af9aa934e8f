"""Our own file, the Python that runs it, and which plugin the AWS CLI would find."""

import os
import re
import subprocess
import sys
from typing import IO, List, Mapping, cast

from ..terminal.wake import readable
from ..version import PROTOCOL_VERSION, __version__
from .finding import NOTE, OK, PROBLEM, Finding, Findings

PROGRAM, PATH = "program", "PATH"
PLUGIN = "session-manager-plugin"

_HEAD = 65536  # bytes of a program that are looked at
_MARKS = (b"ssm_plugin", b"ssm-plugin")
_TIMEOUT = 5.0  # s, for another plugin to tell its version


def check_program() -> Findings:
    version = "%d.%d.%d" % sys.version_info[:3]
    text = "ssm-plugin %s in %s, Python %s at %s" % (
        __version__, our_file(), version, sys.executable or "an unknown place"
    )
    return [Finding(PROGRAM, OK, text)]


def check_path(environ: Mapping[str, str]) -> Findings:
    """The AWS CLI starts the first ``session-manager-plugin`` on PATH."""
    found = _plugins(environ)
    if not found:
        text = "no %s is on PATH: the AWS CLI finds none" % PLUGIN
        remedy = "put a directory with our file on PATH, if the AWS CLI is to use it"
        return [Finding(PATH, NOTE, text, remedy)]
    first, ours = found[0], next(filter(_is_ours, found), None)
    if first == ours:
        return [Finding(PATH, OK, "the AWS CLI finds ours first, %s" % first)]
    version = _version(first, environ)
    if ours is None:
        text = "the AWS CLI finds another plugin, %s (version %s)" % (first, version)
        return [Finding(PATH, NOTE, text, "put our file ahead of it, if it is to be used")]
    text = (
        "another plugin, %s (version %s), is ahead of ours, %s, on PATH: the AWS CLI uses that one"
        % (first, version, ours)
    )
    remedy = "put %s first on PATH, or remove the other one" % os.path.dirname(ours)
    return [Finding(PATH, PROBLEM, text, remedy)]


def our_file() -> str:
    """The built file, or the package's directory."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parent = os.path.dirname(package)
    return parent if os.path.isfile(parent) else package


def _plugins(environ: Mapping[str, str]) -> List[str]:
    paths: List[str] = []
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or os.curdir, PLUGIN)
        if os.path.isfile(path) and os.access(path, os.X_OK) and path not in paths:
            paths.append(path)
    return paths


def _is_ours(path: str) -> bool:
    """The built file, or a script that starts us; AWS's plugin names neither word."""
    if os.path.realpath(path) == os.path.realpath(our_file()):
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _HEAD))
            tail = file.read(_HEAD)
    except OSError:
        return False
    is_program = head.startswith(b"#!") or b"PK\x05\x06" in tail
    return is_program and any(mark in head or mark in tail for mark in _MARKS)


def _version(path: str, environ: Mapping[str, str]) -> str:
    said = _first_line(path, environ).decode("ascii", "replace").strip()
    if not re.match(r"[0-9]+(\.[0-9]+){1,4}\Z", said):
        return "unknown"
    return said if said != PROTOCOL_VERSION else said + ", as ours"


def _first_line(path: str, environ: Mapping[str, str]) -> bytes:
    """The end of the output is not waited for: what the plugin has started may keep it open."""
    try:
        process = subprocess.Popen(
            [path, "--version"],
            bufsize=0,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return b""
    with process, cast(IO[bytes], process.stdout) as output:
        line = output.readline(100) if readable([output.fileno()], _TIMEOUT) else b""
        process.kill()
    return line
