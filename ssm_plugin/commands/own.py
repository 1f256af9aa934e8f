"""Our own command line: ``ssm-plugin COMMAND …``. Only the command's own module is imported."""

import argparse
import importlib
import os
import sys
from typing import Dict, List, Mapping, NoReturn

from .. import config, logs
from ..config import Settings
from ..errors import UsageError
from ..version import PROTOCOL_VERSION, __version__

COMMANDS: Dict[str, str] = {
    "shell": "a shell on a node",
    "exec": "run a command on one or many nodes; its output and exit status come back",
    "forward": "forward local ports to a node, or to hosts behind it",
    "ssh": "carry one SSH connection, for ProxyCommand",
    "run": "run a job from the configuration file, made for cron",
    "demo": "the same against a local service: no AWS account needed",
}

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


def run(arguments: List[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
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
