"""Print the lines for ~/.ssh/config with which ssh, scp, sftp, rsync and git know the nodes.

Options of all commands that are given here, such as --profile, are in the lines, too.
"""

import argparse
import os
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
  ssm-plugin ssh-config 'web-*' --push-key --user ec2-user
"""

_HOSTS = ("i-*", "mi-*")
_INSTANCES = ("i-*",)  # those that EC2 Instance Connect knows
# Those that ssh-config passes on to ``ssh``, by their name in the parsed options.
_PASSED_ON = "profile region endpoint_url document_name config log_level log_file".split()
# Before 9.6, OpenSSH gives a shell any name that a link or a repository makes up. Single quotes
# keep all of it but a quote, in fish what a backslash is in front of, in csh what begins with "!":
# no block holds for names with these.
_NO_HOSTS = ("!*'*", "!*\\*", "!*!*")
# Users of a domain have a backslash, which harms only at the end, in front of our quote. Here it
# stands in front of a comma: before a quote, ssh would take it for part of the text.
_USERS = "*,!*\\,!*'*,!*!*"
_BLOCK = """\
{header}
{more}    ProxyCommand {command}
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
    parser.add_argument(
        "--push-key", action="store_true", help="let EC2 Instance Connect give the nodes your key"
    )
    parser.add_argument("--key", metavar="FILE", help="the key to log in with")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    # ssh is called from anywhere, and no shell expands what is quoted.
    for name in ("config", "log_file", "key"):
        path = getattr(options, name)
        if path:
            setattr(options, name, os.path.abspath(os.path.expanduser(path)))
    write_all(1, encoded(host_block(options)))
    return 0


def host_block(options: argparse.Namespace) -> str:
    words = ["ssm-plugin", "ssh", "--quiet"] + passed_on(options, _PASSED_ON)
    hosts = options.hosts or (_INSTANCES if options.push_key else _HOSTS)
    patterns = [_check(host, "\\,") for host in hosts] + list(_NO_HOSTS)
    header = "Host " + " ".join(map(_word, patterns))
    pushed = more = ""
    if options.user:
        more += "    User %s\n" % _check(options.user)
    if options.push_key:
        words += ["--key", _plain(options.key)] if options.key else []
        pushed = " '--push-key=%r'"
        header = 'Match originalhost "%s" user "%s"' % (",".join(patterns), _USERS)
    if options.key:
        identity = _check(options.key).replace("%", "%%")
        more += "    IdentityFile %s\n    IdentitiesOnly yes\n" % identity
    command = "%s%s -- '%%h' %%p" % (quoted(words), pushed)
    return _BLOCK.format(header=header, more=more, command=command)


def passed_on(options: argparse.Namespace, names: Sequence[str]) -> List[str]:
    """Those options of all commands that were given, as words."""
    words: List[str] = []
    for name in names:
        value = getattr(options, name)
        if value:
            words += ["--" + name.replace("_", "-"), _plain(value)]
    return words


def quoted(words: Sequence[str]) -> str:
    """The words as part of a ProxyCommand, where ssh expands %: each percent sign is doubled."""
    return " ".join(shlex.quote(word) for word in words).replace("%", "%%")


def _word(pattern: str) -> str:
    """As it stands in a line of Host, where older versions take an equals sign for a space."""
    return pattern if re.match(r"[\w.*?:/@!-]+\Z", pattern) else '"%s"' % pattern


def _check(word: str, more: str = "") -> str:
    """The word, if it can stand there. ``more`` are further characters that cannot."""
    if re.search("[\0-\x20\x7f\"'#%s]" % re.escape(more), word) or not word:
        raise UsageError(
            "%r cannot stand in ~/.ssh/config: it is empty, or holds a space, a quote or one of %s"
            % (word[:100], " ".join("#" + more))
        )
    return word


def _plain(value: str) -> str:
    if re.search("[\0-\x1f\x7f]", value):
        raise UsageError("%r holds a control character" % value[:100])
    return value
