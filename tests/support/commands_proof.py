"""Commands with random exit codes and outputs, and whether all of it came back."""

import hashlib
import random
import sys
from typing import NamedTuple

from ssm_plugin.jobs.command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest
from ssm_plugin.session.streams import CallableStreams

from . import commands_text
from .commands import Node

FAULTS = "lose=2%,double=2%,reorder=2%"

# Seconds that a command without output may take in all.
SETTLE_LIMIT = 1.5


class Outcome(NamedTuple):
    """``problem`` is empty if all was right. ``size`` is in bytes, of both streams."""

    seed: int
    size: int
    seconds: float
    problem: str


class Proof:
    """``largest`` is in bytes, of one stream."""

    def __init__(self, service, largest):
        self._environment = Node(service).environment
        self._largest = largest

    def run(self, seed):
        source = random.Random(seed)
        sizes = [self._size(source), self._size(source)]
        status = source.choice([0, 0, 1, 255, source.randrange(256)])
        argv = ("sh", "-c", "exit %d" % status)
        if any(sizes):
            numbers = map(str, [seed] + sizes + [status])
            argv = (sys.executable, commands_text.__file__) + tuple(numbers)
        got = [hashlib.sha256(), hashlib.sha256()]
        streams = CallableStreams(got[0].update, got[1].update)
        command = RemoteCommand(CommandRequest("i-demo", argv), self._environment, streams)
        result = command.run()
        problem = ""
        if result.status != status:
            problem = "status %d is not %d: %s" % (result.status, status, result.reason)
        elif [one.digest() for one in got] != [
            _digest(seed + number, size) for number, size in enumerate(sizes)
        ]:
            counts = [result.stdout_bytes, result.stderr_bytes]
            problem = "the output is wrong: %s bytes in place of %s" % (counts, sizes)
        elif not any(sizes) and result.seconds > SETTLE_LIMIT:
            problem = "it took %.2f s to print nothing" % result.seconds
        return Outcome(seed, sum(sizes), result.seconds, problem)

    def _size(self, source):
        return 0 if source.random() < 0.3 else int(self._largest ** source.random())


def _digest(seed, size):
    digest = hashlib.sha256()
    for piece in commands_text.text(seed, size):
        digest.update(piece)
    return digest.digest()
