"""Whether the drop-in or our own command line is called."""

from typing import Dict, List

RESPONSE_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"

COMMANDS: Dict[str, str] = {
    "shell": "a shell on a node",
    "exec": "run a command on nodes; its output and exit status come back",
    "forward": "forward local ports to a node, or to hosts behind it",
    "cp": "copy files and directories to a node, or from it",
    "connect": "ssh to a node with a key that is made for this run",
    "ssh": "carry one SSH connection, for ProxyCommand",
    "list": "the nodes that can be reached, and their names",
    "run": "run a job from the configuration file, made for cron",
    "doctor": "find out why a node cannot be reached",
    "demo": "the same against a local service: no AWS account needed",
    "completion": "what makes TAB complete commands, options and names in a shell",
    "ssh-config": "lines for ~/.ssh/config, so that ssh knows the nodes",
    "help": "help with a command, or with config, exit-status, environment",
}
HELP = ("-h", "--help")
VERSION = ("-V", "--version")  # answered by ``cli.py``, where they stand alone


def choose(arguments: List[str], called_as_drop_in: bool) -> str:
    """The module that is to run them. The drop-in's name runs our own commands too."""
    if is_positional(arguments):
        return "dropin"
    # The AWS CLI never passes an option first.
    known = not arguments or arguments[0].startswith("-") or arguments[0] in COMMANDS
    return "dropin" if called_as_drop_in and not known else "command_line"


def is_positional(arguments: List[str]) -> bool:
    """Whether these are what the AWS CLI passes: a response, or the variable that holds it."""
    return bool(arguments) and arguments[0].lstrip().startswith(("{", RESPONSE_VARIABLE))
