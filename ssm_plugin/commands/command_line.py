"""Our own command line: ``ssm-plugin COMMAND …``. Only the command's own module is imported."""

import argparse
import importlib
import os
import re
import shutil
import textwrap
from itertools import groupby
from types import ModuleType
from typing import Any, List, Mapping, NoReturn, Tuple

from .. import config, logs
from ..config import Settings
from ..errors import UsageError
from ..session.streams import write_all
from ..strict_yaml import did_you_mean
from ..version import PROTOCOL_VERSION, __version__
from .exit_status import check_status_setting
from .program import COMMANDS, HELP, VERSION

# Columns of help at most, however wide the terminal: its examples are no wider.
HELP_WIDTH = 80

# What others have as a command.
_ELSEWHERE = {
    "config": "help config",
    "environment": "help environment",
    "exit-status": "help exit-status",
    "jobs": "run --list",
    "version": "--version",
}

_HELP = """\
usage: ssm-plugin COMMAND [OPTION …] …

{commands}

'ssm-plugin COMMAND --help' shows the options of a command, with an example. Called
session-manager-plugin, this program is a drop-in for AWS's plugin and is run by the AWS CLI.

ssm-plugin {version}, protocol {protocol}
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fills the paragraphs of a description, and leaves its indented lines alone."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(HELP_WIDTH, shutil.get_terminal_size().columns) - 1)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return filled(text, width)


class Parser(argparse.ArgumentParser):
    """Mistakes are errors like all others here: one line, exit status 255."""

    def __init__(self, **given: Any) -> None:
        given.setdefault("formatter_class", _HelpFormatter)
        super().__init__(**given)

    def _add_action(self, action: Any) -> Any:
        if action.nargs == argparse.REMAINDER:
            action.required = False  # none of these words need be there
        return super()._add_action(action)

    def options(self) -> List[str]:
        """All options of the parser, as they are written."""
        return list(self._option_string_actions)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, unknown = self.parse_known_args(args, namespace)
        if unknown and not any(word.startswith("-") for word in unknown):
            options, unknown = self._parse_options_first(args, namespace)
        if unknown:
            near = [did_you_mean(_name(word), self.options()) for word in unknown]
            hint = next(filter(None, near), "; see '%s --help'" % self.prog)
            raise UsageError("unrecognized arguments: %s%s" % (" ".join(unknown), hint))
        return options

    def _parse_options_first(self, args: Any, namespace: Any) -> Tuple[Any, List[str]]:
        """By itself argparse takes no words after an option if those before it were enough."""
        parser = Parser(add_help=False)
        for action in self._actions:
            if action.option_strings:
                parser._add_action(action)
        options, words = parser.parse_known_args(args, namespace)
        return self.parse_known_args(words, options)

    def error(self, message: str) -> NoReturn:
        raise UsageError("%s; see '%s --help'" % (message, self.prog))

    def _print_message(self, message: str, file: Any = None) -> None:
        write_all(1, message.encode("utf-8"))


def run(arguments: List[str]) -> int:
    arguments = _command_first(arguments)
    if not arguments or arguments[0] in HELP or arguments == ["help"]:
        write_all(1, help_text().encode("utf-8"))
        return 0
    return run_command(arguments, os.environ)


def _command_first(arguments: List[str]) -> List[str]:
    """Options of all commands may stand before the command as well: they are moved behind it."""
    if not arguments or not arguments[0].startswith("-"):
        return arguments
    parser = Parser(prog="ssm-plugin", add_help=False)
    add_common_options(parser)
    parser.add_argument(*HELP, action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise UsageError(_unknown_before_command(_name(unknown[0]), arguments, parser))
    words: List[str] = options.words
    if options.help:
        return list(HELP)
    if not words:
        raise UsageError("there is no command after the options; see 'ssm-plugin --help'")
    return words[:1] + arguments[: len(arguments) - len(words)] + words[1:]


def _unknown_before_command(option: str, arguments: List[str], common: Parser) -> str:
    if option in VERSION:
        return "%s stands alone: ssm-plugin %s" % (option, option)
    command = next((word for word in arguments if word in COMMANDS), "")
    if command and option in parser_of(command)[1].options():
        return "the option %s of %s stands after it: ssm-plugin %s ... %s ..." % (
            option, command, command, option
        )
    hint = did_you_mean(option, common.options()) or (
        "; the options of a command stand after it, see 'ssm-plugin --help'"
    )
    return "there is no option %r%s" % (option[:50], hint)


def _name(word: str) -> str:
    """``--region`` of ``--region=x``."""
    return word.partition("=")[0]


def run_command(arguments: List[str], environ: Mapping[str, str], prefix: str = "") -> int:
    """Run ``arguments[0]`` with the rest. ``prefix`` is ``demo `` where the service is a local one:
    it stands before the command in usage texts."""
    name = arguments[0]
    if name not in COMMANDS:
        raise UsageError("there is no command %r%s" % (name[:50], _meant(name, prefix)))
    command, parser = parser_of(name, prefix)
    options = parser.parse_args(arguments[1:])
    check_status_setting(environ)
    # Some explain what is wrong with the configuration, or are there without one.
    by_itself = getattr(command, "LOADS_SETTINGS_ITSELF", False)
    settings = Settings() if by_itself else settings_from(options, environ)
    if prefix:
        network = settings.network._replace(stream_endpoint=None)  # it would lead elsewhere
        settings = settings._replace(network=network)
    logs.configure(settings.log, environ)
    status: int = command.run(options, settings, environ)
    return status


def parser_of(name: str, prefix: str = "") -> Tuple[ModuleType, Parser]:
    """The module of a command, and what parses its arguments."""
    command = importlib.import_module("ssm_plugin.commands." + name.replace("-", "_"))
    parser = Parser(
        prog="ssm-plugin " + prefix + name, description=command.__doc__, epilog=command.EXAMPLE
    )
    command.add_arguments(parser)
    add_common_options(parser)
    return command, parser


def _meant(name: str, prefix: str) -> str:
    if re.match("m?i-|ecs:", name):
        return "; did you mean %r?" % ("ssm-plugin %sshell %s" % (prefix, name[:200]))
    if name in _ELSEWHERE:
        return "; did you mean %r?" % ("ssm-plugin " + _ELSEWHERE[name])
    return did_you_mean(name, COMMANDS) or "; see 'ssm-plugin --help'"


def help_text() -> str:
    lines = "\n".join("  %-10s %s" % pair for pair in COMMANDS.items())
    text = _HELP.format(commands=lines, version=__version__, protocol=PROTOCOL_VERSION)
    return filled(text, HELP_WIDTH)


def filled(text: str, width: int) -> str:
    """Its paragraphs in lines of at most ``width``; indented lines stay as they are."""
    lines: List[str] = []
    for is_prose, group in groupby(text.splitlines(), lambda line: bool(re.match(r"\S", line))):
        kept = list(group)
        whole = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
        lines += whole.wrap(" ".join(kept)) if is_prose else kept
    return "".join(line + "\n" for line in lines)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("options of all commands")
    common.add_argument("--profile", help="profile of the AWS configuration")
    common.add_argument("--region", help="AWS region")
    common.add_argument("--endpoint-url", metavar="URL", help="endpoint of the SSM API")
    common.add_argument("--document-name", metavar="NAME", help="session document")
    common.add_argument("--config", metavar="FILE", help="configuration file")
    common.add_argument(
        "--log-level",
        choices=config.LEVELS,
        help="what to log; off by default, info where a log file is named",
    )
    common.add_argument("--log-file", metavar="FILE", help="where to log; stderr by default")
    common.add_argument(
        "--quiet", action="store_true", default=None, help="no notices, errors only"
    )


def settings_from(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Command line over environment over file over default."""
    return config.load(options.config, environ).override(
        profile=options.profile,
        region=options.region,
        endpoint_url=options.endpoint_url,
        document_name=options.document_name,
        quiet=options.quiet,
        log_level=options.log_level,
        log_file=options.log_file,
    )
