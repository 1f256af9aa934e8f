"""Print the lines for ~/.ssh/config with which ssh, scp, sftp, rsync and git know the nodes.

Options of all commands that are given here, such as --profile, are in the lines, too.
"""

import argparse
import re
import shlex
from typing import List, Mapping, Sequence

from ..config import Settings
from ..display import encoded
from ..errors import UsageError
from ..session.streams import write_all

# The block is the same whatever the configuration says.
LOADS_SETTINGS_ITSELF = True

EXAMPLE = """\
examples:
  ssm-plugin ssh-config --user ec2-user >> ~/.ssh/config
  ssm-plugin ssh-config 'web-*' db1 --profile ops --region eu-west-1
"""

_HOSTS = ("i-*", "mi-*")
# Those that ssh-config passes on to ``ssh``, by their name in the parsed options.
_PASSED_ON = ("profile", "region", "endpoint_url", "document_name", "config")
_BLOCK = """\
Host {hosts}
{user}    ProxyCommand {command}
    ServerAliveInterval 30
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "hosts",
        metavar="HOST",
        nargs="*",
        help="ids, names, or patterns of ssh (default: i-* mi-*)",
    )
    parser.add_argument("--user", metavar="NAME", help="who to log in as on the nodes")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    write_all(1, encoded(host_block(options)))
    return 0


def host_block(options: argparse.Namespace) -> str:
    words = ["ssm-plugin", "ssh", "--quiet"]
    for name in _PASSED_ON:
        value = getattr(options, name)
        if value:
            words += ["--" + name.replace("_", "-"), _plain(value)]
    user = ""
    if options.user:
        user = "    User %s\n" % _hosts([options.user])
    # ssh expands %: a percent sign of ours is written twice.
    quoted = [shlex.quote(word).replace("%", "%%") for word in words] + ["%h", "%p"]
    return _BLOCK.format(
        hosts=_hosts(options.hosts or _HOSTS), user=user, command=" ".join(quoted)
    )


def _hosts(words: Sequence[str]) -> str:
    written: List[str] = []
    for word in words:
        if re.search("[\0-\x20\x7f\"#]", word) or not word:
            raise UsageError(
                "%r cannot stand in ~/.ssh/config: it is empty, or holds a space, a quote or #"
                % word[:100]
            )
        written.append(word)
    return " ".join(written)


def _plain(value: str) -> str:
    if re.search("[\0-\x1f\x7f]", value):
        raise UsageError("%r holds a control character" % value[:100])
    return value
