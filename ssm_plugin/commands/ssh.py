"""Carry one SSH connection to a node on standard input and output: the ProxyCommand of OpenSSH.

Nobody calls this by hand. In ~/.ssh/config, for which ssm-plugin ssh-config prints it:

  Host i-* mi-* "!*'*" "!*\\*" !*!*
      ProxyCommand ssm-plugin ssh --quiet -- '%h' %p

and then ssh, scp, sftp, rsync, git and whatever else uses ssh work with instance ids.

With --push-key no key need be on the node: EC2 Instance Connect gives it yours, for a minute. It is
the agent's first one, else that of ~/.ssh, else one that is made and handed to the agent.
"""

import argparse
import os
import queue
import re
import time
from typing import List, Mapping, Optional, Tuple

from .. import logs
from ..aws.client import StartedSession
from ..channel.events import Started
from ..config import Settings
from ..errors import (
    RemoteError,
    SessionInterrupted,
    SessionPropertyError,
    SsmPluginError,
    UsageError,
)
from ..nodes.grammar import TARGET_HELP
from ..nodes.targets import check_target, find_host
from ..openssh.push import KeyPush, check_takes_keys
from ..plugins.port import StdioRunner, listens
from ..relay.choice import SPEED_HELP
from ..relay.pace import HINT, PaceHint
from ..session.environment import Environment, make_environment
from ..session.events import SessionEvent
from ..session.protocols import IRunner, IRunnerSession, RunnerFactory
from ..session.starting import SessionRequest
from ..session.streams import say
from ..session.types import SessionType
from ..units import FAST, PLAIN, SPEEDS
from .foreground import run_new_session
from .waiting import add_wait_option, with_waiting

log = logs.logger(__name__)

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
    parser.add_argument(
        "--push-key", metavar="USER", help="let this user of the node log in with your key"
    )
    parser.add_argument("--key", metavar="FILE", help="the key that --push-key takes")
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")
    parser.add_argument("--speed", choices=SPEEDS, help=SPEED_HELP)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    check_target(options.target, settings)
    port = _port(options.port)
    if options.key and options.push_key is None:
        raise UsageError("--key names the key for --push-key USER, which is missing")
    environment = make_environment(settings, aside=True, environ=environ)
    # OpenSSH gives names of hosts without their capitals.
    target, name = find_host(
        options.target, settings, environment.service, ask=not settings.quiet
    )
    request = SessionRequest(
        target,
        SessionType.PORT,
        settings.document_name or DOCUMENT,
        {"portNumber": [port]},
        options.reason,
    )
    if options.push_key is not None:
        _push_key_first(environment, request.target, options.push_key, options.key)
    environment = with_waiting(environment, options, settings)
    what = "the session with port %s of %s was ended:" % (port, request.target)
    environment = environment._replace(silent=settings.quiet)
    speed = options.speed or settings.speed_for(name)
    if speed != PLAIN:
        status = _run_fast(request, environment, what, speed == FAST)
        if status is not None:
            return status
    return run_new_session(request, environment, _stream_runner, what)


def _push_key_first(
    environment: Environment, target: str, user: str, file: Optional[str]
) -> None:
    from ..openssh.keys import choose_key  # most sessions push none

    check_takes_keys(target)
    key = choose_key(file, environment.environ)
    assert environment.service is not None, "keys are pushed by the service"
    environment.service.before_start = KeyPush(environment.service, target, user, key)


def _run_fast(
    request: SessionRequest, environment: Environment, what: str, strict: bool
) -> Optional[int]:
    """The exit status; None if the session has to be plain: then no part of the stream has been
    used."""
    from ..relay.early import EarlyStart
    from ..relay.relay import Relay  # a plain session does not pay for them
    from ..relay.stdio import RelayStdioRunner

    opened: List[bool] = []
    assert environment.service is not None, "sessions are started at the service"
    relay = Relay(
        request.target, environment, strict, request.reason, lambda: early.begin()
    )
    target = "", int(request.parameters["portNumber"][0])
    up = request._replace(parameters={"portNumber": [str(relay.wanted_port)]})
    early = EarlyStart(environment.service, up, relay.failed)

    def prepare(
        events: "queue.Queue[SessionEvent]"
    ) -> Tuple[SessionRequest, Optional[RunnerFactory], Optional[StartedSession]]:
        relay.wait(events)
        if relay.warning:
            say("warning: " + relay.warning)
        there = request._replace(parameters={"portNumber": [str(relay.port)]})
        started = early.take() if relay.port == relay.wanted_port else None
        return there, _relay_runner, started

    def _relay_runner(session: IRunnerSession, started: Started) -> IRunner:
        return RelayStdioRunner(session, started, relay, target, lambda: opened.append(True))

    relay.begin()
    try:
        return run_new_session(request, environment, None, what, prepare)
    except SessionInterrupted:
        raise
    except SsmPluginError as error:
        if opened:
            raise
        if strict:
            raise RemoteError("%s; use --speed auto or plain" % error) from error
        log.info("%s is reached at plain speed: %s", request.target, error)
        return None
    finally:
        relay.close()
        early.discard()
        relay.join()


def _stream_runner(session: IRunnerSession, started: Started) -> IRunner:
    """The runner for a session that is a stream. Any other kind would never end, or write its
    notices into the stream."""
    if listens(started):
        raise SessionPropertyError(
            "the session document %s forwards local ports; for SSH it must be one like %s"
            % (session.config.document_name, DOCUMENT)
        )
    return _PlainRunner(session, started)


class _PlainRunner(StdioRunner):
    """Goes at the agent's pace, and says so to whoever downloads much."""

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._hint = PaceHint()

    def output(self, payload_type: int, data: bytes) -> None:
        super().output(payload_type, data)
        if self._hint.came(len(data), time.monotonic()) and os.isatty(2):
            self.session.notices.show(HINT)


def _port(text: str) -> str:
    if not re.match(r"[0-9]{1,5}\Z", text) or not 0 < int(text) < 65536:
        raise UsageError("%r is not a port: it must be a number from 1 to 65535" % text[:20])
    return str(int(text))
