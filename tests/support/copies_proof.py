"""Copies over bad lines whose process is killed at random moments, and what they leave behind."""

import os
import random
import shutil
import threading
import time
from typing import NamedTuple

from ssm_plugin.loopback.service import demo_service

from .commands import Cli
from .copies import node, tree_state

# What the line does.
LINES = {
    "good": "",
    "loss": "lose=1%,double=1%,reorder=1%,corrupt=0.5%",
    "drops": "drop-every=300",
    "byes": "bye-every=400,delay=2%:20ms",
}

# Seconds that one run of the command may take. After a loss a node sends ten messages a second
# again, no more.
LIMIT = 300.0

# Kills of one copy at the most: the last run is left alone.
KILLS = 2


class Schedule(NamedTuple):
    """All of it is drawn from the seed. ``size`` is in bytes. ``kills`` are parts of the size at
    which the process is killed, or seconds after its start where it takes longer to get there."""

    seed: int
    line: str
    is_upload: bool
    is_tree: bool
    compress: bool
    size: int
    kills: tuple
    speed: str

    def __str__(self):
        return "seed %d: %s %s%s of %d bytes, %s, killed at %s" % (
            self.seed,
            "up, %s," % self.speed if self.is_upload else "down",
            "tree" if self.is_tree else "file",
            " compressed" if self.compress else "",
            self.size,
            self.line,
            ", ".join("%d %%" % (100 * part) for part, _ in self.kills) or "no point",
        )


def schedule(seed, largest):
    numbers = random.Random(seed)
    kills = tuple(
        (numbers.random() * 1.1, numbers.uniform(0.3, 4.0))
        for _ in range(numbers.randint(0, KILLS))
    )
    return Schedule(
        seed,
        numbers.choice(sorted(LINES)),
        numbers.random() < 0.5,
        numbers.random() < 0.4,
        numbers.random() < 0.3,
        int(largest ** numbers.uniform(0.5, 1)),
        kills,
        ("plain", "fast")[seed // 2 % 2],
    )


class Outcome(NamedTuple):
    """``problem`` is empty if every promise was kept. ``killed``: so often; ``resumed``: so many
    bytes did not have to be sent again."""

    schedule: Schedule
    problem: str
    killed: int
    resumed: int


def play(schedule, folder):
    """Play it in a new directory of ``folder``, to its end, at a service of its own."""
    place = folder / ("seed-%d" % schedule.seed)
    place.mkdir()
    with demo_service(faults=LINES[schedule.line]) as service:
        try:
            return _Play(schedule, place, service).run()
        finally:
            # Nobody is there to end the sessions of a process that was killed.
            for session in service.open_sessions():
                session.terminate()
            service.wait_for(lambda: not service.open_sessions())
            shutil.rmtree(str(place))


class _Play:
    def __init__(self, schedule, folder, service):
        self._schedule = schedule
        self._cli = Cli(folder, service)
        self._source = folder / "from" / "data"
        self._target = folder / "to" / "data"
        self._source.parent.mkdir()
        self._target.parent.mkdir()
        _make(self._source, schedule)
        self._state = _state(self._source)
        # Into a directory: a tree that arrived although its process was killed is replaced then,
        # where its own name would mean a place inside of it.
        places = [str(self._source), node(self._target.parent)]
        if not schedule.is_upload:
            places = [node(self._source), str(self._target.parent)]
        options = ["-r", "-p", "--resume", "--speed", schedule.speed]
        options += ["--compress"] if schedule.compress else []
        self._words = ["cp", "--json"] + options + places

    def run(self):
        killed = 0
        for part, seconds in self._schedule.kills:
            killed += self._run_and_kill(part, seconds)
            problem = self._wrong()
            if problem:
                return self._outcome("after a kill: " + problem, killed)
        with self._cli.start(*self._words) as process:
            try:
                out, err = process.communicate(timeout=LIMIT)
            except Exception:
                process.kill()
                return self._outcome("it was stuck", killed)
        if process.returncode:
            return self._outcome("status %d: %r %r" % (process.returncode, out, err), killed)
        problem = self._wrong() or self._incomplete()
        resumed = int(out.split(b'"resumed_bytes": ')[1].split(b",")[0])
        return self._outcome(problem, killed, resumed)

    def _outcome(self, problem, killed, resumed=0):
        return Outcome(self._schedule, problem, killed, resumed)

    def _run_and_kill(self, part, seconds):
        """Whether it was still running."""
        at = int(part * self._schedule.size)
        until, tick = time.monotonic() + seconds, threading.Event()
        with self._cli.start(*self._words) as process:
            while process.poll() is None and time.monotonic() < until and self._arrived() < at:
                tick.wait(0.005)
            was_running = process.poll() is None
            process.kill()
            process.communicate(timeout=LIMIT)
        return was_running

    def _arrived(self):
        return max(map(_size, self._target.parent.glob("*.part")), default=0)

    def _wrong(self):
        """What is under the final name is right, if anything is."""
        if os.path.lexists(str(self._target)) and _state(self._target) != self._state:
            return "what is under the final name is wrong"
        return ""

    def _incomplete(self):
        found = sorted(os.listdir(str(self._target.parent)))
        return "" if found == ["data"] else "left behind: %s" % found


def _size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _make(path, schedule):
    numbers = random.Random(schedule.seed)
    if not schedule.is_tree:
        _write(path, numbers, schedule.size, schedule.compress)
        return
    left, folder = schedule.size, path
    path.mkdir()
    for number in range(200):
        if numbers.random() < 0.1:
            folder = folder / ("d%d" % number)
            folder.mkdir()
        size = min(left, int(20000 ** numbers.random()))
        _write(folder / ("f%d" % number), numbers, size, schedule.compress)
        left -= size
    _write(path / "rest", numbers, left, schedule.compress)


def _write(path, numbers, size, compressible):
    data = numbers.getrandbits(8 * size).to_bytes(size, "big") if size else b""
    path.write_bytes(data[:size // 4] * 4 if compressible else data)


def _state(path):
    if path.is_dir():
        return tree_state(path)
    return path.read_bytes()
