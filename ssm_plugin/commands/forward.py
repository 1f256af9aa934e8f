"""Forward local ports to a node, or to hosts behind it. The tunnels stay up.

A FORWARD is written [BIND:]LOCAL:[HOST:]PORT: connections to the port LOCAL of this machine (0 is
any that is free) lead to PORT of the node, or of HOST as the node sees it. LOCAL is on loopback
unless BIND names another address; IPv6 addresses stand in brackets. With --unix a FORWARD is
[HOST:]PORT.

When a session ends, by its maximum duration, an idle time-out or a restart of
the node, the local port stays open and a new session is started behind it.

A lost connection to the service is told at once (one that only falls silent,
after three ping intervals) and resumed. Connections that were open go on
afterwards; new ones wait. 30 s after the loss those that wait are reset, and so
are all that come until it is back.

SIGUSR1 shows the state; Ctrl-C and SIGTERM end it. A service manager is told of
readiness and of losses (systemd: Type=notify).
"""

import argparse
import queue
from contextlib import ExitStack
from typing import Callable, List, Mapping, Optional

from ..config import Settings
from ..display import encoded
from ..errors import UsageError
from ..forwarding.fast import SharedRelay
from ..forwarding.readiness import ReadyFile, Systemd
from ..forwarding.reports import Notice
from ..forwarding.specification import Forward, parse_forward
from ..forwarding.supervisor import Supervisor, SupervisorEvent
from ..forwarding.tunnel import Tunnel
from ..net.local_end import LocalEnd, exposure_warnings
from ..nodes.grammar import TARGET_HELP
from ..nodes.targets import check_target, find_one
from ..relay.choice import SPEED_HELP
from ..session.environment import Environment, make_environment
from ..session.streams import write_all
from ..units import PLAIN, SPEEDS
from .foreground import signals_into
from .waiting import add_wait_option, with_waiting

EXAMPLE = """\
examples:
  ssm-plugin forward i-0123456789abcdef0 8080:80
  ssm-plugin forward bastion 5432:db.internal:5432 6379:cache.internal:6379
  ssm-plugin forward db1 --unix /run/user/1000/db1.sock 5432
  ssm-plugin forward db1 0:5432 --ready-file /run/db1.address --quiet

exit status: 255 if a first session could not be started, 128+n after signal n
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument(
        "forwards", metavar="FORWARD", nargs="+", help="[BIND:]LOCAL:[HOST:]PORT, one or more"
    )
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket, not on a port")
    parser.add_argument("--bind", metavar="ADDR", help="listen on this address, not on loopback")
    parser.add_argument(
        "--ready-file", metavar="FILE", help="gets the local addresses, one a line, once all work"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="events on stdout, one object a line: ready, connection, lost, reconnected, error, "
        "ended",
    )
    parser.add_argument("--once", action="store_true", help="end with the first session's end")
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the sessions' record at AWS")
    parser.add_argument("--speed", choices=SPEEDS, help=SPEED_HELP)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    check_target(options.target, settings)
    forwards = _forwards(options)
    events: "queue.Queue[SupervisorEvent]" = queue.Queue()

    def environment() -> Environment:
        return with_waiting(make_environment(settings, environ=environ), options, settings)

    # Errors in the settings or the target are found before anything is bound.
    target = find_one(options.target, settings, environment().service, not settings.quiet)
    ready_file = ReadyFile(options.ready_file)
    with ExitStack() as exits:
        exits.enter_context(signals_into(events.put, events.put))
        local_ends = [exits.enter_context(forward.listen()) for forward in forwards]
        ready_file.prepare()
        relay = _relay(options, settings, target, environment, events)
        if relay is not None:
            exits.enter_context(relay)
        tunnels = [
            Tunnel(
                forward.request(target, settings.document_name, options.reason),
                forward.destination(options.target),
                local_end,
                environment,
                events.put,
                options.once,
                relay=relay,
            )
            for forward, local_end in zip(forwards, local_ends)
        ]
        _warn(local_ends)
        return Supervisor(
            tunnels, events, ready_file, Systemd(environ), options.json, settings.quiet
        ).run()


def _relay(
    options: argparse.Namespace,
    settings: Settings,
    target: str,
    make_environment: Callable[[], Environment],
    events: "queue.Queue[SupervisorEvent]",
) -> Optional[SharedRelay]:
    """The relay of all tunnels; None if they are plain."""
    speed = options.speed or settings.speed_for(options.target)
    if speed == PLAIN:
        return None

    def warn(text: str) -> None:
        events.put(Notice("ssm-plugin: warning: %s\n" % text))

    return SharedRelay(target, make_environment, speed, warn, options.reason)


def _forwards(options: argparse.Namespace) -> List[Forward]:
    if options.unix is not None and (len(options.forwards) > 1 or options.bind):
        raise UsageError("--unix is for one FORWARD, without --bind")
    return [parse_forward(text, options.bind, options.unix) for text in options.forwards]


def _warn(local_ends: List[LocalEnd]) -> None:
    for local_end in local_ends:
        for line in exposure_warnings(local_end):
            write_all(2, encoded(line + "\n"))
