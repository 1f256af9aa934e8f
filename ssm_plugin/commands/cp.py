"""Copy files and directories to a node, or from it, as scp does, with nothing but a session.

One side is TARGET:PATH; a PATH that is not absolute starts at the home directory of the session's
user. A file is written beside its destination, as NAME.ssm-plugin.part (at a node, as
NAME.ssm-plugin-WORD.part), and renamed when its SHA-256 is the same at both ends; --resume goes on
from such a part. A directory travels as one tar, and takes its place when all of it is there. Links
in it stay links; those that lead out of it, and what is no file, are left out and named. No name is
a pattern: * is a star.
The node needs sh, base64, the usual small tools, tar for -r, and one of sha256sum, shasum, openssl,
python3, perl.
"""

import argparse
import os
import queue
import threading
from contextlib import ExitStack
from typing import Dict, Iterable, List, Mapping, Optional

from ..config import Settings
from ..copying.options import (
    CopiedFile,
    CopyOptions,
    CopyProgress,
    TargetReport,
    as_objects,
    table,
)
from ..copying.places import STREAM, parse_place, plan
from ..copying.progress import ProgressDisplay
from ..copying.transfer import TargetCopy, nodes_of
from ..display import encoded, json_line
from ..errors import UsageError
from ..jobs.fleet import Fleet, FleetEvent
from ..jobs.fleet_progress import FleetProgress
from ..jobs.request import DEFAULT_DOCUMENT, FleetOutcome, ReadInput
from ..nodes.targets import Found
from ..session.environment import make_environment
from ..session.streams import EXIT_OUTPUT_GONE, say, write_all
from ..terminal.input import InputReader
from ..terminal.tty import window_size
from ..units import SPEEDS
from .fleet_options import add_fleet_options, plan_of, prepare_for, signals_and_parent
from .waiting import add_wait_option, duration, with_waiting

SPEED_HELP = (
    "of uploads. plain: by a terminal; auto: what would be text there, from 4 MiB on by a port "
    "session into a helper program at the node, where that is possible; fast: all, or an error"
)

EXAMPLE = """\
examples:
  ssm-plugin cp db1:/var/log/app.log .
  ssm-plugin cp -r -p site/ web1:/srv/www
  ssm-plugin cp nginx.conf web1,web2:/etc/nginx/ --sudo
  pg_dump orders | ssm-plugin cp - db1:orders.sql

exit status: 0 if all was copied; 1 if a file stood in the way of it, here or at the node; 124 after
--timeout; 128+n after signal n; 255 if a session could not be started or was lost; of many, the
worst
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [OPTION ...] SOURCE ... DESTINATION"
    parser.add_argument(
        "places", metavar="PATH", nargs="+",
        help="here, TARGET:PATH, or - for standard input or output; the TARGET of a destination "
        "may be many, with commas in between",
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="directories, too")
    parser.add_argument("-p", "--preserve", action="store_true", help="keep modes and times")
    parser.add_argument("--resume", action="store_true", help="go on from a .part")
    parser.add_argument(
        "--compress", action="store_true", help="on the way, where it helps and gzip is there"
    )
    parser.add_argument("--sudo", action="store_true", help="as root at the node, by sudo -n")
    parser.add_argument("--timeout", metavar="D", type=duration, help="limit, such as 30m")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print an object for each file of a directory, and one of all at the end",
    )
    add_fleet_options(parser)
    parser.add_argument("--speed", choices=SPEEDS, help=SPEED_HELP)
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    direction = plan([parse_place(word) for word in options.places])
    if options.json and direction.destination == STREAM and not direction.is_upload:
        raise UsageError("with --json, standard output is taken: copy to a file")
    chosen = CopyOptions(
        options.recursive,
        options.preserve,
        options.resume,
        options.compress,
        options.sudo,
        options.timeout,
        settings.document_name or DEFAULT_DOCUMENT,
        options.reason,
    )
    fleet = plan_of(options)
    prepare_for(fleet)
    environment = make_environment(settings, environ=environ)
    nodes = nodes_of(direction, settings, environment.service, ask=not settings.quiet)
    if len(nodes) > 1 and direction.sources == (STREAM,):
        raise UsageError("standard input goes to one target only")
    progress = FleetProgress(len(nodes), quiet=settings.quiet)
    environment = with_waiting(environment, options, settings, progress)
    # Progress must not be shown on the terminal that gets the copied data.
    on_terminal = direction.destination == STREAM and not direction.is_upload and os.isatty(1)
    show = _Show(options.json, settings.quiet, len(nodes) == 1, on_terminal)
    files: Dict[str, List[CopiedFile]] = {}
    with ExitStack() as exits:
        read = _standard_input(exits) if direction.sources == (STREAM,) else None

        def make(node: Found) -> TargetCopy:
            copy = TargetCopy(
                node,
                direction,
                chosen._replace(speed=options.speed or settings.speed_for(node.name)),
                environment,
                show.tell,
                show.finished,
                read,
                show.listed if options.json else None,
            )
            files[node.target] = copy.files
            return copy

        events: "queue.Queue[FleetEvent]" = queue.Queue()
        with signals_and_parent(events.put, events.put):
            outcome = Fleet(nodes, make, fleet, events, progress).run()
    show.report([TargetReport(one, files.get(one.target, [])) for one in outcome.results], outcome)
    return outcome.status


def _standard_input(exits: ExitStack) -> ReadInput:
    reader = InputReader(0, "standard input")
    exits.callback(reader.close)
    return reader.read


# Lines of --json that are written together.
_LINES = 200


class _Show:
    """What is seen on the way, and at the end. ``on_terminal``: so is the data that is copied."""

    def __init__(self, as_json: bool, quiet: bool, is_one: bool, on_terminal: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._is_one = is_one
        self._lock = threading.Lock()
        self._display: Optional[ProgressDisplay] = None
        if is_one and not as_json and not quiet and not on_terminal and os.isatty(2):
            self._display = ProgressDisplay(
                lambda data: write_all(2, data), lambda: window_size((2,)).cols
            )

    def tell(self, progress: CopyProgress) -> None:
        if self._display:
            self._display.tell(progress)

    def finished(self, copied: CopiedFile) -> None:
        if self._display:
            self._display.finish(bool(copied.sha256))
        if not self._as_json and self._is_one:
            self._explain(copied)

    def listed(self, members: Iterable[Dict[str, object]]) -> None:
        """What is in a directory: one line each, those of one target together."""
        with self._lock:
            lines: List[str] = []
            for member in members:
                lines.append(json_line(member))
                if len(lines) == _LINES:
                    write_all(1, "".join(lines).encode("ascii"))
                    lines = []
            write_all(1, "".join(lines).encode("ascii"))

    def report(self, reports: List[TargetReport], outcome: FleetOutcome) -> None:
        if self._as_json:
            write_all(1, json_line(as_objects(reports, outcome)).encode("ascii"))
            return
        if self._is_one:
            if outcome.status and not reports[0].files:
                say(reports[0].result.reason)
        elif not self._quiet or outcome.status:
            _say_skipped([file for report in reports for file in report.files])
            write_all(2, encoded(table(reports)))

    def _explain(self, copied: CopiedFile) -> None:
        if copied.reason and copied.status != EXIT_OUTPUT_GONE:
            say(copied.reason)
        _say_skipped([copied])


def _say_skipped(files: List[CopiedFile]) -> None:
    """What was left out, each once: of a directory that goes to many it is the same for all."""
    for one in dict.fromkeys(one for file in files for one in file.skipped):
        say("not copied: %s" % one)
