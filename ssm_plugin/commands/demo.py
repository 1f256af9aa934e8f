"""Try everything on this machine: a local stand-in for AWS, and any command
against it.

'demo serve' only runs the service, for the AWS CLI and other clients; Ctrl-C
ends it. Any other command is run against a service of its own; where a TARGET
is wanted, i-demo will do. The keys to the service are made afresh each time,
and other users of this machine cannot use it.
"""

import argparse
import os
import queue
from typing import Callable, Dict, List, Mapping, Optional, Set, Union

from ..aws.keys import Credentials
from ..config import Settings
from ..errors import LocalError, UsageError
from ..files import replace_whole
from ..loopback.agent_work import AgentOptions
from ..loopback.fault_plan import FAULTS
from ..loopback.nodes import DEMO_TARGET, read_nodes
from ..loopback.service import new_keys, private_service
from ..session.streams import OutputGone, write_all
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..transport.worker import Worker, WorkerFailed
from . import exec as exec_command
from .command_line import Parser, add_common_options, run_command
from .foreground import signals_into
from .program import HELP
from .ssh_config import passed_on

_BELOW = (
    """\
nodes, in a file for --nodes; i-demo is always one of them:
  nodes:
    - {name: db1, tags: {Role: db}, address: 10.0.1.1, platform: Debian 12}
    - {name: "web-{n}", count: 3, tags: {Role: web}}    # web-1, web-2, web-3
    - {id: mi-0123456789abcdef0, name: till, status: ConnectionLost}
    - {name: fresh, connects_after: 90s}       # refuses sessions until then

faults, with commas in between:
"""
    + FAULTS
)

EXAMPLE = (
    """\
examples:
  ssm-plugin demo shell
  ssm-plugin demo exec -- uname -a
  ssm-plugin demo serve --faults 'lose=2%,reorder=2%'

"""
    + _BELOW
)

DEMO_REGION = "us-east-1"
KEYS_SUFFIX = ".env"  # of the file beside the ready file
_TAKES_TARGET = ("shell", "exec", "forward", "ssh")
_TARGETS = ("i-", "mi-", "ecs:", "tag:", "ip:", "name:")  # what they begin with

# What the local service stands for, as the AWS CLI names it: a line for each row.
_SERVED = (("SSM", "SSMMESSAGES"), ("EC2", "EC2_INSTANCE_CONNECT"), ("ECS", "S3", "STS"))

# All of it may be pasted.
_GUIDE = """\
# The local service listens at %s. Its keys are good until it ends:
%s
# Then, with this file on PATH as session-manager-plugin, and as ssm-plugin:
#   aws ssm start-session --target %s
#   ssm-plugin shell %s

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_service_options(parser)
    parser.set_defaults(print_help=parser.print_help)
    parser.add_argument(
        "command", nargs="?", metavar="COMMAND", help="serve, or any other: shell, exec, list ..."
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faults", help="how the service shall misbehave: see below")
    parser.add_argument(
        "--nodes", metavar="FILE", help="the nodes that there are, in YAML: see below"
    )
    parser.add_argument(
        "--port", metavar="N", type=_port, default=0, help="where it listens; 0 is any free port"
    )
    parser.add_argument(
        "--ready-file",
        metavar="FILE",
        help="with serve: gets the URL to use; FILE%s gets the keys too, for you alone"
        % KEYS_SUFFIX,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("%r is not a port, from 0 to 65535" % text[:20])
    return int(text)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    if options.command is None:
        options.print_help()
        return 0
    if options.command == "demo":
        raise UsageError("the demo does not run inside a demo")
    if options.command == "serve":
        # The options after a command are that command's, and here the command is ours.
        _serve_parser().parse_args(options.arguments, options)
    keys = new_keys()
    faults = options.faults or ""
    nodes = read_nodes(options.nodes) if options.nodes else None
    with private_service(
        keys, faults=faults, port=options.port, options=_agents(), nodes=nodes
    ) as service:
        if options.command == "serve":
            return _serve(service.endpoint_url, keys, options.ready_file)
        names = {node.name for node in nodes.nodes} if nodes else set()
        words = _with_target(options.command, options.arguments, names | set(settings.targets))
        arguments = [options.command] + _passed_on(options) + words
        return run_command(arguments, _environ(environ, service.endpoint_url, keys), "demo ")


def _passed_on(options: argparse.Namespace) -> List[str]:
    """The options of all commands, but for those that say which service to reach, and as whom."""
    words = passed_on(options, ("config", "document_name", "log_level", "log_file"))
    return words + ["--quiet"] * bool(options.quiet)


def _serve_parser() -> Parser:
    parser = Parser(prog="ssm-plugin demo serve", epilog=_BELOW)
    _add_service_options(parser)
    return parser


def _agents() -> AgentOptions:
    """If there is no terminal here, the node's shell gets a dumb one: otherwise its output would
    contain control codes of the line editor."""
    if os.isatty(0) and os.isatty(1):
        return AgentOptions()
    return AgentOptions(term="dumb")


def _environ(environ: Mapping[str, str], endpoint_url: str, keys: Credentials) -> Dict[str, str]:
    """The environment without the user's AWS configuration and proxies: the demo must not reach a
    real account, or leave this machine."""
    demo = {
        name: value
        for name, value in environ.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }
    demo.update(no_proxy="*")
    demo.update(AWS_ACCESS_KEY_ID=keys.access_key, AWS_SECRET_ACCESS_KEY=keys.secret_key)
    demo.update(AWS_REGION=DEMO_REGION, AWS_ENDPOINT_URL=endpoint_url)
    demo.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    # Nothing can be kept there: the demo's nodes are gone when it ends.
    demo.update(XDG_CACHE_HOME=os.devnull)
    return demo


def _with_target(command: str, arguments: List[str], names: Set[str]) -> List[str]:
    """``i-demo`` need not be named. ``names`` are those of the other nodes."""

    def is_target(word: str) -> bool:
        return word in names or word.startswith(_TARGETS)

    first = arguments[0] if arguments else "--"
    is_option = first.startswith("-") and first != "--"
    if command not in _TAKES_TARGET or is_target(first) or first in HELP:
        return arguments
    if is_option and command == "exec":
        return arguments if _names_target(arguments, is_target) else [DEMO_TARGET] + arguments
    if is_option and any(map(is_target, arguments)):
        return arguments
    return [DEMO_TARGET] + arguments


def _names_target(arguments: List[str], is_target: Callable[[str], bool]) -> bool:
    """Whether a target follows the options of exec. Only its parser can tell an option's value from
    other words."""
    parser = Parser(prog="ssm-plugin demo exec", add_help=False)
    exec_command.add_arguments(parser)
    add_common_options(parser)
    # With a target in place, all words are the command.
    found = parser.parse_args(arguments, argparse.Namespace(target="", targets_file=None))
    return bool(found.targets_file) or any(map(is_target, found.command[:1]))


def _serve(endpoint_url: str, keys: Credentials, ready_file: Optional[str]) -> int:
    exports = _exports(endpoint_url, keys)
    text = _GUIDE % (endpoint_url, exports, DEMO_TARGET, DEMO_TARGET)
    events: "queue.Queue[Union[Signalled, WorkerFailed]]" = queue.Queue()
    with signals_into(events.put, events.put):
        if ready_file:
            _write(ready_file + KEYS_SUFFIX, exports)
            _write(ready_file, endpoint_url + "\n")
        # In a thread, so that a signal is heard even where nobody reads it.
        Worker("guide", lambda: write_all(1, text.encode("utf-8")), events.put).start()
        while True:
            event = events.get()
            if isinstance(event, WorkerFailed):
                raise event.error if isinstance(event.error, OutputGone) else event.as_error()
            if event.signum in ENDING_SIGNALS:
                return 0


def _exports(endpoint_url: str, keys: Credentials) -> str:
    """Lines for a shell. The AWS CLI wants a region; it takes the endpoint from the environment
    since its versions 1.29 and 2.13."""
    lines = [
        ["AWS_ACCESS_KEY_ID=" + keys.access_key],
        ["AWS_SECRET_ACCESS_KEY=" + keys.secret_key],
        ["AWS_DEFAULT_REGION=" + DEMO_REGION],
    ]
    for services in _SERVED:
        lines.append(["AWS_ENDPOINT_URL_%s=%s" % (name, endpoint_url) for name in services])
    return "".join("export %s\n" % " ".join(line) for line in lines)


def _write(path: str, text: str) -> None:
    """Replace the file as a whole, with one that nobody else can read."""
    try:
        replace_whole(path, text)
    except OSError as error:
        raise LocalError("cannot write %s: %s" % (path, error.strerror)) from error

