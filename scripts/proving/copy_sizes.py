"""Large copies at a local service in a process of its own: exact, how fast, in how much memory."""

import os
import subprocess
import sys
import time

from scripts.benchmarking.client import KEYS, ROOT
from scripts.benchmarking.service import running_service
from tests.support.files import MIB, random_file, sha256

PACE = "pace=1.2ms"

# Of the size that is asked for, in parts of 1024.
_DOWN, _UP, _MEMORY = 1024, 200, 2048

# Name of the direction, part of the size, options.
_COPIES = (
    ("down", _DOWN, []),
    ("up, by a terminal", _UP, []),
    ("up, by a port", _UP, ["--speed", "fast"]),
)
_HEAD = "%-24s %-6s %6s %8s %8s %8s %s"
_ROW = "%-24s %-6s %6d %8.1f %8.1f %8.1f %s"


def lines(folder, mib):
    """A table line by line; the last word of a row is what became of the file."""
    yield _HEAD % ("", "line", "MiB", "seconds", "MiB/s", "peak MiB", "SHA-256")
    for line, faults in (("plain", ()), ("paced", (PACE,))):
        with running_service(*faults) as url:
            for name, part, options in _COPIES:
                yield _row(folder, url, line, name, max(1, mib * part // 1024), options)
    with running_service() as url:
        yield _row(folder, url, "plain", "down", max(1, mib * _MEMORY // 1024), [])


def _row(folder, url, line, name, mib, options):
    source, copy = os.path.join(folder, "source"), os.path.join(folder, "copy")
    digest = random_file(source, mib * MIB)
    places = [source, "i-demo:" + copy] if name.startswith("up") else ["i-demo:" + source, copy]
    environ = dict(os.environ, AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1", **KEYS)
    words = [sys.executable, "-m", "ssm_plugin", "cp"] + options + places
    began = time.monotonic()
    process = subprocess.Popen(words, cwd=ROOT, env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = status
    said = "status %#x" % status if status else _compared(copy, digest)
    for path in (source, copy):
        if os.path.exists(path):
            os.unlink(path)
    unit = 1 if sys.platform == "darwin" else 1024
    return _ROW % (name, line, mib, seconds, mib / seconds, usage.ru_maxrss * unit / MIB, said)


def _compared(path, digest):
    return "equal" if sha256(path) == digest else "DIFFERS"
