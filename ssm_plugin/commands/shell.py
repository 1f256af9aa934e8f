"""Open a shell on a node. Needs no AWS CLI.

On a terminal, typed after a newline: ~. ends the session, ~^Z suspends this program, ~? shows all
escapes. Without a terminal, standard input is sent to the shell and its output comes back. Notices
go to stderr.
"""

import argparse
from typing import Dict, List, Mapping

from ..config import Settings
from ..errors import SessionLost, UsageError
from ..jobs.terminal_runner import without_shell
from ..nodes.grammar import TARGET_HELP
from ..nodes.targets import check_target, find_one
from ..session.environment import make_environment
from ..session.types import SessionType
from .foreground import SessionRequest, run_new_session
from .waiting import add_wait_option, with_waiting

EXAMPLE = """\
examples:
  ssm-plugin shell i-0123456789abcdef0
  echo 'uptime; exit' | ssm-plugin shell web1
  ssm-plugin shell web1 --document-name My-Shell --parameter linuxcmd='sudo -i'
"""

# ECS is to be told what to run. Its line is split, and read by no shell.
_IN_A_CONTAINER = "sh -c 'command -v bash >/dev/null 2>&1 && exec bash; exec sh'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="parameter of the session document; may be repeated",
    )
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    check_target(options.target, settings)
    parameters = parameters_from(options.parameter)
    environment = make_environment(settings, aside=True, environ=environ)
    request = SessionRequest(
        find_one(options.target, settings, environment.service, ask=True),
        SessionType.STANDARD_STREAM,
        settings.document_name,
        parameters,
        options.reason,
        _IN_A_CONTAINER,
    )
    environment = with_waiting(environment, options, settings)
    try:
        return run_new_session(request, environment._replace(silent=settings.quiet))
    except SessionLost as error:
        raise without_shell(options.target, str(error)) or error from error


def parameters_from(pairs: List[str]) -> Dict[str, List[str]]:
    """``NAME=VALUE`` texts as StartSession wants them; a repeated name has several values."""
    parameters: Dict[str, List[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError("--parameter %r is not NAME=VALUE" % pair[:100])
        parameters.setdefault(name, []).append(value)
    return parameters
