"""Carry one SSH connection to a node on standard input and output: the ProxyCommand of OpenSSH.

Nobody calls this by hand. In ~/.ssh/config:

  Host i-* mi-*
      ProxyCommand ssm-plugin ssh --quiet %h %p

and then ssh, scp, sftp, rsync, git and whatever else uses ssh work with instance ids.
"""

import argparse
import re
from typing import Mapping

from ..channel.events import Started
from ..config import Settings
from ..errors import SessionPropertyError, UsageError
from ..nodes.grammar import TARGET_HELP
from ..nodes.targets import check_target, find_one
from ..plugins.port import StdioRunner, listens
from ..session.environment import make_environment
from ..session.protocols import IRunner, IRunnerSession
from ..session.starting import SessionRequest
from ..session.types import SessionType
from .foreground import run_new_session
from .waiting import add_wait_option, with_waiting

DOCUMENT = "AWS-StartSSHSession"
PORT = "22"

EXAMPLE = """\
examples:
  ssh -o ProxyCommand='ssm-plugin ssh --quiet %h %p' ec2-user@web1
  ssm-plugin ssh web1 2222 --profile ops
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument("port", metavar="PORT", nargs="?", default=PORT, help="sshd's port (22)")
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    check_target(options.target, settings)
    port = _port(options.port)
    environment = make_environment(settings, aside=True, environ=environ)
    request = SessionRequest(
        find_one(options.target, settings, environment.service),
        SessionType.PORT,
        settings.document_name or DOCUMENT,
        {"portNumber": [port]},
        options.reason,
    )
    environment = with_waiting(environment, options, settings)
    what = "the session with port %s of %s was ended:" % (port, request.target)
    return run_new_session(
        request, environment._replace(silent=settings.quiet), _stream_runner, what
    )


def _stream_runner(session: IRunnerSession, started: Started) -> IRunner:
    """For sessions that are a stream, and no others: anything else would never end, or write into
    the stream."""
    if listens(started):
        raise SessionPropertyError(
            "the session document %s forwards local ports; for SSH it must be one like %s"
            % (session.config.document_name, DOCUMENT)
        )
    return StdioRunner(session, started)


def _port(text: str) -> str:
    if not re.match(r"[0-9]{1,5}\Z", text) or not 0 < int(text) < 65536:
        raise UsageError("%r is no port: it must be a number from 1 to 65535" % text[:20])
    return str(int(text))
