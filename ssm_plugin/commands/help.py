"""Show help: with a command, or with 'config' (each key of the configuration file), 'exit-status'
or 'environment' (the variables that are looked at). With --man it is a manual page.
"""

import argparse
from typing import Callable, Dict, Mapping

from ..config import Settings
from ..display import encoded
from ..errors import UsageError
from ..session.streams import write_all
from ..strict_yaml import did_you_mean
from .help_config import configuration_help
from .help_topics import environment_help, exit_status_help
from .program import COMMANDS

# It must help where the configuration is wrong, too.
LOADS_SETTINGS_ITSELF = True

EXAMPLE = """\
examples:
  ssm-plugin help exec
  ssm-plugin help config
  ssm-plugin help --man > ssm-plugin.1 && man -l ssm-plugin.1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        metavar="TOPIC",
        nargs="?",
        help="a command, or one of: %s" % ", ".join(TOPICS),
    )
    parser.add_argument("--man", action="store_true", help="print a manual page, for man -l")


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    if options.man:
        from .manual import manual_page

        text = manual_page()
    else:
        text = _text(options.topic)
    write_all(1, encoded(text))
    return 0


def _text(topic: str) -> str:
    from .command_line import help_text, parser_of

    if topic is None:
        return help_text()
    if topic in TOPICS:
        return TOPICS[topic]()
    if topic in COMMANDS:
        return parser_of(topic)[1].format_help()
    known = list(TOPICS) + list(COMMANDS)
    hint = did_you_mean(topic, known) or "; there are: %s" % ", ".join(known)
    raise UsageError("there is no help with %r%s" % (topic[:50], hint))


TOPICS: Dict[str, Callable[[], str]] = {
    "config": configuration_help,
    "exit-status": exit_status_help,
    "environment": environment_help,
}
