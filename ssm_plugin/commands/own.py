"""Our own command line: ``ssm-plugin COMMAND …``. Only the command's own module is imported."""

import argparse
import importlib
import os
from typing import Any, List, Mapping, NoReturn

from .. import config, logs
from ..config import Settings
from ..errors import UsageError
from ..terminal.output import write_all
from ..version import PROTOCOL_VERSION, __version__
from .faces import COMMANDS, HELP
from .frame import check_status_setting

_HELP = """\
usage: ssm-plugin COMMAND [OPTION …] …

{commands}

'ssm-plugin COMMAND --help' shows the options of a command, with an example. Called
session-manager-plugin, this program is a drop-in for AWS's plugin and is run by the AWS CLI.

ssm-plugin {version}, protocol {protocol}
"""


class Parser(argparse.ArgumentParser):
    """Mistakes are errors like all others here: one line, exit status 255."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("%s; see '%s --help'" % (message, self.prog))

    def _print_message(self, message: str, file: Any = None) -> None:
        write_all(1, message.encode("utf-8"))


def run(arguments: List[str]) -> int:
    if not arguments or arguments[0] in HELP + ("help",):
        write_all(1, help_text().encode("utf-8"))
        return 0
    return run_command(arguments, os.environ)


def run_command(arguments: List[str], environ: Mapping[str, str], prefix: str = "") -> int:
    """Run ``arguments[0]`` with the rest; ``prefix`` stands before it in usage texts."""
    name = arguments[0]
    if name not in COMMANDS:
        raise UsageError("there is no command %r; see 'ssm-plugin --help'" % name[:50])
    command = importlib.import_module("ssm_plugin.commands." + name)
    parser = Parser(
        prog="ssm-plugin " + prefix + name,
        description=command.__doc__,
        epilog=command.EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    add_common_options(parser)
    options = parser.parse_args(arguments[1:])
    check_status_setting(environ)
    settings = settings_from(options, environ)
    logs.configure(settings.log, environ)
    status: int = command.run(options, settings, environ)
    return status


def help_text() -> str:
    lines = "\n".join("  %-9s %s" % pair for pair in COMMANDS.items())
    return _HELP.format(commands=lines, version=__version__, protocol=PROTOCOL_VERSION)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("options of all commands")
    common.add_argument("--profile", help="profile of the AWS configuration")
    common.add_argument("--region", help="AWS region")
    common.add_argument("--endpoint-url", metavar="URL", help="endpoint of the SSM API")
    common.add_argument("--document-name", metavar="NAME", help="session document")
    common.add_argument("--config", metavar="FILE", help="configuration file")
    common.add_argument("--log-level", choices=config.LEVELS, help="what to log; off by default")
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
