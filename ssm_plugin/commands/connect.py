"""Run OpenSSH's ssh to a node, with everything set for this one call.

A key is made for the run, EC2 Instance Connect gives it to the node for a minute, and it is removed
again. Whatever stands behind the TARGET is for ssh: its options, and a command. The exit status is
that of ssh. A node's host key is kept under the node's id, and a new one is accepted, as the way to
the node is AWS's; a changed one is not.
"""

import argparse
import getopt
import os
import re
import sys
from typing import List, Mapping, Tuple

from ..config import Settings
from ..errors import UsageError
from ..nodes.grammar import TARGET_HELP
from ..nodes.targets import check_target, find_one
from ..openssh.client import ask, run_client
from ..openssh.keys import key_for_one_run
from ..openssh.push import check_takes_keys
from ..relay.choice import SPEED_HELP
from ..session.environment import make_environment
from ..units import PLAIN, SPEEDS
from .ssh_config import passed_on, quoted
from .waiting import add_wait_option, span

EXAMPLE = """\
examples:
  ssm-plugin connect ec2-user@web-7
  ssm-plugin connect ec2-user@web-7 -L 8080:localhost:80
  ssm-plugin connect --profile ops ec2-user@i-0123456789abcdef0 uptime
"""

_USAGE = "%(prog)s [OPTION ...] [USER@]TARGET [SSH OPTION ...] [COMMAND]"
_PASSED_ON = "profile region endpoint_url document_name config log_level log_file reason".split()
_SSH_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYyZ"
_DESTINATION = re.compile(r"(?:([A-Za-z0-9_][A-Za-z0-9@._-]*\$?)@)?(.+)\Z", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_NEW_KEYS = "StrictHostKeyChecking=accept-new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = _USAGE
    parser.add_argument("target", metavar="[USER@]TARGET", help=TARGET_HELP)
    parser.add_argument(
        "words", metavar="SSH OPTION", nargs=argparse.REMAINDER, help="options of ssh, a command"
    )
    add_wait_option(parser)
    parser.add_argument("--reason", help="why, for the session's record at AWS")
    parser.add_argument("--speed", choices=SPEEDS, help=SPEED_HELP)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    user, name = _destination(options.target)
    check_target(name, settings)
    _check_words(options.words)
    node_id = find_one(name, settings, make_environment(settings, environ=environ).service, True)
    check_takes_keys(node_id)
    host = name if _HOST.match(name) else node_id
    with key_for_one_run(environ) as key:
        speed = options.speed or settings.speed_for(name)
        ours = _ours(options, node_id, key, speed)
        destination = ["%s@%s" % (user, host) if user else host] + options.words
        ours += _accepting(ours + destination, environ)
        return run_client(ours + destination, environ)


def own_program() -> List[str]:
    """The words that start this program again."""
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return [sys.executable, "-m", "ssm_plugin"]
    return [sys.executable, os.path.abspath(sys.argv[0])]


def _destination(word: str) -> Tuple[str, str]:
    found = _DESTINATION.match(word)
    user, name = found.groups() if found else (None, word)
    return user or "", name


def _check_words(words: List[str]) -> None:
    """ssh has no long options: one in front of the command is one of ours in the wrong place."""
    try:
        getopt.getopt(words, _SSH_OPTIONS)
    except getopt.GetoptError as error:
        name = error.opt[:50]
        if len(name) > 1:
            raise UsageError(
                "ssh has no option --%s: options of ssm-plugin stand before the TARGET, ssm-plugin "
                "connect --%s ... TARGET" % (name, name)
            ) from error


def _ours(options: argparse.Namespace, node_id: str, key: str, speed: str) -> List[str]:
    """ssh takes the first value that it meets, so that these hold whatever is configured."""
    words = own_program() + ["ssh", "--quiet"] + passed_on(options, _PASSED_ON)
    if options.wait:
        words += ["--wait", span(max(1.0, options.wait))]
    if speed != PLAIN:
        words += ["--speed", speed]
    # The user as ssh knows it, from wherever.
    words += ["--key", key + ".pub"]
    command = "%s '--push-key=%%r' %s %%p" % (quoted(words), quoted([node_id]))
    settings = [
        "ProxyCommand=" + command,
        "HostName=" + node_id,
        "HostKeyAlias=" + node_id,
        "IdentitiesOnly=yes",
    ]
    identity = ["-i", key.replace("%", "%%")]
    return ["ssh"] + [word for setting in settings for word in ("-o", setting)] + identity


def _accepting(argv: List[str], environ: Mapping[str, str]) -> List[str]:
    """The option to accept the host key of a new node, where ssh would ask. Before 7.6 it has none,
    and asks."""
    status, said = ask(environ, argv[0], "-G", *argv[1:])
    if status or "stricthostkeychecking ask" not in said.splitlines():
        return []
    status, _ = ask(environ, argv[0], "-G", "-o", _NEW_KEYS, "localhost")
    return [] if status else ["-o", _NEW_KEYS]
