"""``--wait``: the option, and the one line that shows what is being waited for."""

import argparse
import os
import threading
from typing import Optional, Set

from ..config import Settings
from ..display import encoded, shown
from ..errors import UsageError
from ..jobs.fleet_progress import FleetProgress
from ..session.environment import Environment
from ..session.streams import OutputGone, write_all
from ..session.waiting import Waiting
from ..terminal.status_line import StatusLine
from ..units import parse_period

_HINT = "; Ctrl-C ends it"


def add_wait_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="D",
        type=duration,
        help="try again for so long, such as 5m, while the node is not connected",
    )


def duration(text: str) -> float:
    """The type of an option: a duration of more than 0, in seconds."""
    try:
        return parse_period(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def with_waiting(
    environment: Environment,
    options: argparse.Namespace,
    settings: Settings,
    progress: Optional[FleetProgress] = None,
) -> Environment:
    """What ``--wait`` asks for. Where ``progress`` is drawn, there is no second line."""
    if options.wait is None:
        return environment
    if progress and progress.is_drawn:
        return environment._replace(
            waiting=Waiting(options.wait, progress.waits_for, progress.over)
        )
    if settings.quiet:
        return environment._replace(waiting=Waiting(options.wait))
    line = WaitingLine()
    return environment._replace(waiting=Waiting(options.wait, line.waits, line.over))


class WaitingLine:
    """On a terminal it is one line, which is written again for each attempt, for however many
    nodes, and erased in the end. Elsewhere each node gets one line, once. From any thread."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._line = StatusLine(fd, self._write) if os.isatty(fd) else None
        self._lock = threading.Lock()
        self._waiting: Set[str] = set()
        self._told: Set[str] = set()

    def waits(self, target: str, pause: float, left: float) -> None:
        with self._lock:
            self._waiting.add(target)
            if self._line:
                self._line.show(waiting_text(target, len(self._waiting), pause, left), _HINT)
            elif target not in self._told:
                self._told.add(target)
                text = "%s is not connected yet: trying again for %s"
                self._write(
                    encoded("ssm-plugin: %s\n" % shown(text % (target, span(pause + left))))
                )

    def over(self, target: str) -> None:
        with self._lock:
            if target in self._waiting and self._line:
                self._line.wipe()
            self._waiting.discard(target)

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OutputGone:
            pass  # it is waited for all the same


def waiting_text(target: str, waiting: int, pause: float, left: float) -> str:
    others = " and %d more" % (waiting - 1) if waiting > 1 else ""
    return "ssm-plugin: %s%s not connected; again in %s, %s left" % (
        target, others + (" are" if others else " is"), span(pause), span(pause + left)
    )


def span(seconds: float) -> str:
    """A duration in the form that the option takes: ``4s``, ``2m5s``, ``1h5m``."""
    whole = int(round(seconds))
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    said = "".join("%d%s" % part for part in parts if part[0])
    return said or "0s"
