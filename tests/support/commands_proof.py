"""Commands with random exit codes and outputs, and whether all of it came back."""

import hashlib
import random
import sys
import threading
from typing import NamedTuple

from ssm_plugin.jobs.remote_command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import SessionType

from . import commands_text
from .commands import Node
from .running import RunningSession

FAULTS = "lose=2%,double=2%,reorder=2%"

# What may end a command's output early. The numbers are drawn from the seed.
ENDINGS = {
    "loss": "down.lose=5%,seed={0}",
    "drops": "drop-every={1},seed={0}",
    "pause": "seed={0}",
}

# For ours alone, in place of the second: AWS's document tells the drop-in nothing of such a loss.
_DROPS_OF_OURS = "drop-every={1},seed={0},pause-away"

# Seconds that a command may take whose output ends early.
TIME_LIMIT = 60.0

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


def truth(service, seed, kind, size, drop_in=False, pause=0.0):
    """Let a command print ``size`` bytes under the faults of that kind. What is wrong, or nothing:
    it is complete with its status, or 255 and says so; and which of the two.

    While nobody is connected an agent may give its output up. Ours may then print for ever to
    nobody, until the time limit."""
    drops = kind == "drops" and not drop_in
    faults = (_DROPS_OF_OURS if drops else ENDINGS[kind]).format(seed, 150 + 17 * seed)
    script = "yes 0123456789abcde | head -c %d; exit 7" % size
    got, waiting = [0], [pause]

    def take(data):
        seconds, waiting[0] = waiting[0], 0.0
        threading.Event().wait(seconds)
        got[0] += len(data)

    if drop_in:
        status, said = _as_drop_in(service, faults, script, take)
    else:
        node = Node(service)
        command, _ = node.misbehaving(
            service, faults, "sh", "-c", script, on_output=take, timeout=TIME_LIMIT
        )
        result = command.run()
        status, said = result.status, result.reason
    if status == 7 and got[0] == size:
        return "", "complete"
    if status in (124, 255) and said:
        return "", "said: " + said
    return "%s, seed %d: status %s, %d bytes, %r" % (kind, seed, status, got[0], said), ""


def _as_drop_in(service, faults, script, take):
    parameters = {"command": "sh -c '%s'" % script, "separateOutputStream": "true"}
    kind = SessionType.NON_INTERACTIVE_COMMANDS
    document = "AWS-StartNonInteractiveCommand"
    with RunningSession(service, document, parameters, kind, faults, on_output=take) as running:
        status = running.finish(120)
    notices = running.errors + running.notices[running.notices.find(b"Session: "):]
    return status, bytes(notices).decode()


def _digest(seed, size):
    digest = hashlib.sha256()
    for piece in commands_text.text(seed, size):
        digest.update(piece)
    return digest.digest()
