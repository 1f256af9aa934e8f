"""Try everything on this machine: a local stand-in for AWS, and any command against it.

'demo serve' only runs the service, for the AWS CLI and other clients; Ctrl-C ends it. Any other
command is run against a service of its own; where a TARGET is wanted, i-demo will do.
"""

import argparse
import os
import queue
from typing import Any, Dict, List, Mapping, Optional

from ..config import Settings
from ..errors import LocalError, UsageError
from ..files import replace_whole
from ..loopback.demo import demo_service
from ..terminal.output import write_all
from ..terminal.signals import Interrupted, Signalled
from .faces import HELP
from .new_session import signals_into
from .own import Parser, run_command

EXAMPLE = """\
examples:
  ssm-plugin demo shell
  ssm-plugin demo exec -- uname -a
  ssm-plugin demo serve --faults 'lose=2%,reorder=2%'
"""

DEMO_TARGET = "i-demo"
DEMO_REGION = "us-east-1"
DEMO_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIADEMODEMODEMODEMO",
    "AWS_SECRET_ACCESS_KEY": "demo-secret-key-of-no-value",
}
_TAKES_TARGET = ("shell", "exec", "forward", "ssh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_service_options(parser)
    parser.add_argument("command", metavar="COMMAND", help="serve, shell, exec, forward, ssh")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faults", help="how the service shall misbehave")
    parser.add_argument("--ready-file", metavar="FILE", help="with serve: gets the URL to use")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    if options.command == "demo":
        raise UsageError("a demo of the demo is the demo")
    if options.command == "serve":
        # The options after a command are that command's, and here the command is ours.
        parser = Parser(prog="ssm-plugin demo serve")
        _add_service_options(parser)
        parser.parse_args(options.arguments, options)
    with demo_service(faults=options.faults or "") as service:
        if options.command == "serve":
            return _serve(service.endpoint_url, options.ready_file)
        arguments = [options.command] + _with_target(options.command, options.arguments)
        return run_command(arguments, _environ(environ, service.endpoint_url), prefix="demo ")


def _environ(environ: Mapping[str, str], endpoint_url: str) -> Dict[str, str]:
    """Nothing of the user's AWS configuration: the demo must not reach a real account."""
    demo = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    demo.update(DEMO_KEYS, AWS_REGION=DEMO_REGION, AWS_ENDPOINT_URL=endpoint_url)
    demo.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    return demo


def _with_target(command: str, arguments: List[str]) -> List[str]:
    """A demo has one node: it need not be named, unless options of exec come first, where only exec
    can tell an option's value from a target."""
    first = arguments[0] if arguments else "--"
    is_option = first.startswith("-") and first != "--"
    if command not in _TAKES_TARGET or _is_target(first) or first in HELP:
        return arguments
    if is_option and (command == "exec" or any(map(_is_target, arguments))):
        return arguments
    return [DEMO_TARGET] + arguments


def _is_target(argument: str) -> bool:
    return argument.startswith(("i-", "mi-"))


def _serve(endpoint_url: str, ready_file: Optional[str]) -> int:
    variables = dict(DEMO_KEYS, AWS_DEFAULT_REGION=DEMO_REGION)
    settings = " ".join("%s=%s" % pair for pair in sorted(variables.items()))
    text = (
        "The local service listens at %s. Try, with this file on PATH as "
        "session-manager-plugin:\n\n  %s \\\n  aws ssm start-session --target %s "
        "--endpoint-url %s\n\n" % (endpoint_url, settings, DEMO_TARGET, endpoint_url)
    )
    events: "queue.Queue[Any]" = queue.Queue()
    with signals_into(events):
        if ready_file:
            _announce(ready_file, endpoint_url)
        try:
            write_all(1, text.encode("utf-8"))
        except Interrupted:
            return 0
        while True:
            event = events.get()
            if isinstance(event, Signalled) and event.signum in ENDING_SIGNALS:
                return 0


def _announce(path: str, endpoint_url: str) -> None:
    try:
        replace_whole(path, endpoint_url + "\n")
    except OSError as error:
        raise LocalError("cannot write %s: %s" % (path, error.strerror)) from error
