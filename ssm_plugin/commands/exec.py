"""Run a command on one or many nodes. Its output comes back, and its exit status becomes ours.

The arguments arrive as they are given here; no shell reads them, except for --shell. Ctrl-C,
SIGTERM and the end of our parent end the command too. Needs sh at the node; with bash there, all
that the command started ends with it. Output is text in UTF-8: the agent changes what is not.
Of many targets each line has its target in front; on a terminal, control characters in it are shown
as escapes, so that no node can write over the line of another.
"""

import argparse
import errno
import os
import queue
import re
import stat
from contextlib import ExitStack
from typing import Any, List, Mapping, Optional, Tuple

from ..config import Settings
from ..display import encoded, json_line
from ..errors import LocalError, UsageError
from ..files import MIB
from ..jobs.engine import FleetEngine, FleetOrder, SessionsEngine
from ..jobs.fleet import FleetEvent
from ..jobs.fleet_progress import FleetProgress
from ..jobs.remote_command import RemoteCommand
from ..jobs.request import (
    DEFAULT_DOCUMENT,
    CommandResult,
    FleetOutcome,
    ReadInput,
    as_object,
    as_objects,
    command_words,
    table,
)
from ..jobs.sinks import OutputDirectory, PrefixedStreams, make_directory
from ..nodes.grammar import split_targets
from ..nodes.targets import Found, check_target, find_all
from ..session.environment import Environment, make_environment
from ..session.streams import CallableStreams, Streams, say, write_all
from ..terminal.input import InputReader
from .fleet_options import (
    add_fleet_options,
    plan_of,
    prepare_for,
    signals_and_parent,
    suggest_run_command,
)
from .run_command import (
    add_run_command_options,
    attached_to,
    check_options,
    check_targets,
    engine_for,
    is_run_command,
    signals_and_parent_end,
)
from .waiting import add_wait_option, duration, with_waiting

EXAMPLE = """\
examples:
  ssm-plugin exec i-0123456789abcdef0 -- uname -a
  ssm-plugin exec db1 --timeout 30m -- /usr/local/bin/backup --all
  ssm-plugin exec db1 --stdin dump.sql -- psql orders
  ssm-plugin exec web1,web2 --shell 'systemctl restart app && uptime'
  ssm-plugin exec tag:Role=web --wait 5m -- uptime
  ssm-plugin exec tag:Role=web --parallel 50 --max-errors 5% -- yum -y update
  ssm-plugin exec tag:Role=web --rolling 9 --pause 1m --max-errors 1 -- reboot
  ssm-plugin exec tag:Role=web --via run-command --parallel 200 -- uptime
  ssm-plugin exec ecs:prod/api --all-tasks -- cat /proc/loadavg

exit status: the command's own; 124 after --timeout; 128+n after signal n; 255 if the command could
not be started or its status never arrived, or --max-errors kept it from being begun; of many
targets, the worst, unless a signal ended them all
"""

# The status of a shell that finds no such program.
NO_PROGRAM = 127

_USAGE = "%(prog)s TARGET[,...] [OPTION ...] [--] COMMAND [ARG ...]"


class _TargetAndCommand(argparse.Action):
    """The first word is the target. Options may follow; then, or after ``--``, the command with all
    its arguments. argparse cannot express this."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        words = list(values)
        seen = namespace.target is not None or namespace.targets_file
        if not seen and words and words[0] != "--":
            namespace.target = words[0]
            parser.parse_args(words[1:], namespace)
        elif words:
            namespace.command = words[1:] if words[0] == "--" else words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = _USAGE
    parser.set_defaults(target=None, command=[])
    parser.add_argument(
        "words",
        metavar="TARGET COMMAND",
        nargs=argparse.REMAINDER,
        action=_TargetAndCommand,
        help="ids or names of nodes, tag:KEY=VALUE, with commas in between; the command's words",
    )
    parser.add_argument("--shell", metavar="LINE", help="run this line with sh, not a COMMAND")
    parser.add_argument("--timeout", metavar="D", type=duration, help="limit, such as 30m")
    parser.add_argument(
        "--stdin", metavar="FILE", help="standard input of the command; - is our own"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one object on stdout at the end; the command's output goes to stderr",
    )
    parser.add_argument("--targets-file", metavar="FILE", help="targets, one a line")
    add_fleet_options(parser)
    add_run_command_options(parser)
    parser.add_argument(
        "--all-tasks", action="store_true", help="of an ecs:CLUSTER/SERVICE, each running task"
    )
    parser.add_argument("--output-dir", metavar="DIR", help="into DIR/TARGET.out and .err")
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    check_options(options)
    if options.attach is not None:
        return _attach(options, settings, environ)
    words, argv, plan = _targets(options), _argv(options), plan_of(options)
    for word in words:
        check_target(word, settings)
    if is_run_command(options):
        check_targets(words, settings)
    environment = make_environment(settings, environ=environ)
    ask, all_tasks = not settings.quiet, options.all_tasks
    nodes = find_all(words, settings, environment.service, ask, all_tasks)
    if options.stdin is not None and len(nodes) > 1:
        raise UsageError("--stdin goes to one target only")
    with ExitStack() as exits:
        order = FleetOrder(
            nodes,
            argv,
            plan,
            settings.document_name or DEFAULT_DOCUMENT,
            options.timeout,
            read_input=_open_input(options.stdin, exits),
            reason=options.reason,
        )
        progress = FleetProgress(len(nodes), quiet=settings.quiet)
        environment = with_waiting(environment, options, settings, progress)
        engine: FleetEngine = SessionsEngine(environment)
        if is_run_command(options):
            engine = engine_for(
                words, settings, environment, options.output_s3, settings.quiet
            )
        elif len(nodes) == 1:
            return _run_one(options, order, environment, settings.quiet)
        return _run_by(engine, options, order, settings.quiet, progress)


def _attach(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    environment = make_environment(settings, environ=environ)
    engine, order = attached_to(options.attach, settings, environment)
    progress = FleetProgress(len(order.nodes), quiet=settings.quiet)
    return _run_by(engine, options, order, settings.quiet, progress)


def _run_one(
    options: argparse.Namespace, order: FleetOrder, environment: Environment, quiet: bool
) -> int:
    [node] = order.nodes
    command = RemoteCommand(order.request(node), environment, _streams_for_one(options, node))
    with signals_and_parent(command.signal, command.failed):
        result = command.run()
    return _report_one(options, result, quiet)


def _run_by(
    engine: FleetEngine,
    options: argparse.Namespace,
    order: FleetOrder,
    quiet: bool,
    progress: FleetProgress,
) -> int:
    events: "queue.Queue[FleetEvent]" = queue.Queue()
    is_one = len(order.nodes) == 1
    files = OutputDirectory(options.output_dir or "", order.nodes)

    def streams(node: Found) -> Streams:
        if is_one:
            return _streams_for_one(options, node)
        if options.output_dir:
            return files.streams(node)
        return PrefixedStreams(node.name, progress, 2 if options.json else 1)

    if options.output_dir:
        make_directory(options.output_dir)
    if is_run_command(options):
        watched = signals_and_parent_end(events)
    else:
        prepare_for(order.plan)
        suggest_run_command(len(order.nodes), progress)
        watched = signals_and_parent(events.put, events.put)
    with watched:
        outcome = engine.run(order, streams, events, progress)
    if is_one and len(outcome.results) == 1:
        return _report_one(options, outcome.results[0], quiet)
    _report(outcome, options.json, quiet)
    _explain(options, outcome.results, quiet)
    return outcome.status


def _report_one(options: argparse.Namespace, result: CommandResult, quiet: bool) -> int:
    if options.json:
        _print_object(as_object(result))
    elif result.error:
        raise result.error
    _explain(options, [result], quiet)
    return result.status


def _report(outcome: FleetOutcome, as_json: bool, quiet: bool) -> None:
    if as_json:
        _print_object(as_objects(outcome))
    elif not quiet or outcome.status:
        write_all(2, encoded(table(outcome.results)))


def _streams_for_one(options: argparse.Namespace, node: Found) -> Streams:
    if options.output_dir:
        return OutputDirectory(options.output_dir, [node]).streams(node)
    if options.json:
        return CallableStreams(lambda data: write_all(2, data))
    return Streams()


def _print_object(value: object) -> None:
    write_all(1, json_line(value).encode("ascii"))


# --- What the command line says.


def _argv(options: argparse.Namespace) -> Tuple[str, ...]:
    if options.shell is not None:
        if options.command:
            raise UsageError("give a COMMAND or --shell, not both")
        return command_words(_as_typed(options.shell))
    if not options.command:
        raise UsageError("there is no COMMAND; see 'ssm-plugin exec --help'")
    line = _line_in_one_word(options)
    # The start of a path has a slash; what has none before its first space can be no program.
    if line and "/" not in line.split()[0]:
        raise UsageError(_one_word(line))
    return command_words([_as_typed(word) for word in options.command])


def _line_in_one_word(options: argparse.Namespace) -> str:
    """The COMMAND if it looks like a line that was meant for a shell, else an empty text."""
    only = options.command[0] if options.shell is None and len(options.command) == 1 else ""
    return only if len(only.split()) > 1 else ""


def _one_word(line: str) -> str:
    # The first part alone: the others may be secrets.
    return (
        "the COMMAND %r is one word with white space in it, and no shell splits it: give a "
        "shell's line with --shell, or the words one by one" % (line.split()[0][:50] + " ...")
    )


def _explain(options: argparse.Namespace, results: List[CommandResult], quiet: bool) -> None:
    """A path with a space may be a program; if there is none, it was a line after all."""
    line = _line_in_one_word(options)
    if line and not quiet and any(each.status == NO_PROGRAM for each in results):
        say(_one_word(line))


def _as_typed(word: str) -> str:
    """The argument decoded as UTF-8. Cron sets no locale, and Python 3.6 then decodes arguments as
    ASCII."""
    return os.fsencode(word).decode("utf-8", "surrogateescape")


def _targets(options: argparse.Namespace) -> List[str]:
    names = split_targets(options.target) if options.target is not None else []
    if options.targets_file:
        names += _read_targets(options.targets_file)
    names = [name.strip() for name in names if name.strip()]
    if not names:
        file = options.targets_file
        raise UsageError(
            "there is no TARGET" + (" in " + file if file else "; see 'ssm-plugin exec --help'")
        )
    return list(dict.fromkeys(names))


def _read_targets(path: str) -> List[str]:
    try:
        # A pipe, too: ``<(...)`` of a shell. Windows' editors put a mark in front of UTF-8.
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MIB + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise LocalError("cannot read the targets in %s: %s" % (path, why)) from error
    if len(text) > MIB:
        raise LocalError("cannot read the targets in %s: they are longer than 1 MiB" % path)
    # A name may hold a #: a comment begins with the line, or behind white space.
    return [re.split(r"(?:^|\s)#", line)[0] for line in text.splitlines()]


def _open_input(path: Optional[str], exits: ExitStack) -> Optional[ReadInput]:
    if path is None:
        return None
    name = path
    if path == "-":
        descriptor, name = 0, "standard input"
    else:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY)
        except OSError as error:
            raise LocalError("cannot read %s: %s" % (path, error.strerror)) from error
        exits.callback(os.close, descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise LocalError("cannot read %s: %s" % (path, os.strerror(errno.EISDIR)))
    reader = InputReader(descriptor, name)
    exits.callback(reader.close)
    return reader.read
