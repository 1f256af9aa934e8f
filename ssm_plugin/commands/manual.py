"""A manual page in the language of man(7), made from the parsers of the commands."""

import argparse
import re
from typing import Iterable, List, Tuple

from ..version import __version__
from .command_line import Parser, parser_of
from .help_config import keys
from .help_topics import EXIT_STATUS, Row, environment
from .program import COMMANDS

_HEAD = r""".\" made by 'ssm-plugin help --man'
.TH SSM\-PLUGIN 1 "" "ssm\-plugin {version}" "User Commands"
.SH NAME
ssm\-plugin \- sessions on nodes of AWS Systems Manager
.SH SYNOPSIS
.B ssm\-plugin
.I COMMAND
.RI [ OPTION " ...] ..."
.SH DESCRIPTION
Opens a shell on a node, runs commands there, and forwards ports to it, without an open inbound
port. Called
.BR session\-manager\-plugin ,
it is the program that the AWS CLI starts for its sessions.
"""
_FILES: Tuple[Row, ...] = (
    ("~/.config/ssm-plugin/config.yaml", "the configuration of one user"),
    ("/etc/ssm-plugin/config.yaml", "that of the machine, where a user has none"),
    ("~/.aws/config, ~/.aws/credentials", "profiles, as the AWS CLI has them"),
    ("~/.cache/ssm-plugin", "compiled code and names of nodes; may be deleted at any time"),
)


def manual_page() -> str:
    lines = [_HEAD.format(version=escaped(__version__)).rstrip("\n")]
    for name in COMMANDS:
        lines += _command(name)
    lines += _section("OPTIONS OF ALL COMMANDS") + _options(_common(parser_of("shell")[1]))
    lines += _section("EXIT STATUS") + _table(EXIT_STATUS)
    lines += _section("ENVIRONMENT") + _table(environment())
    lines += _section("FILES") + _table(_FILES)
    lines += _section("CONFIGURATION") + _configuration()
    lines += _section("SEE ALSO") + [".BR ssh (1),", ".BR ssh_config (5),", ".BR aws (1)"]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that troff prints as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = text.replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("\u2026", "...")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def _section(title: str) -> List[str]:
    return [".SH " + title]


def _command(name: str) -> List[str]:
    _, parser = parser_of(name)
    usage = " ".join(parser.format_usage().split()[1:])
    lines = [".SH ssm\\-plugin %s" % escaped(name), escaped(COMMANDS[name]) + "."]
    lines += [".PP", ".nh", ".B " + escaped(usage), ".hy"]
    lines += _prose(parser.description or "")
    lines += _options(_own(parser))
    if parser.epilog:
        lines += _example(parser.epilog)
    return lines


def _own(parser: Parser) -> List[argparse.Action]:
    common = {id(action) for action in _common(parser)}
    return [action for action in parser._actions if id(action) not in common]


def _common(parser: Parser) -> List[argparse.Action]:
    return [
        action
        for group in parser._action_groups
        if group.title == "options of all commands"
        for action in group._group_actions
    ]


def _prose(text: str) -> List[str]:
    """Its paragraphs; indented lines stay as they are."""
    lines: List[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith((" ", "\t")):
            lines += _example(paragraph)
        else:
            lines += [".PP", escaped(" ".join(paragraph.split()))]
    return lines


def _example(text: str) -> List[str]:
    return [".PP", ".nf"] + [escaped(line) for line in text.rstrip().splitlines()] + [".fi"]


def _options(actions: Iterable[argparse.Action]) -> List[str]:
    rows = [
        (_written(action), _help(action))
        for action in actions
        if action.help != argparse.SUPPRESS
    ]
    return _table(rows)


def _written(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    if action.choices is not None:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        return str(value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else "%s %s" % (names, value)


def _help(action: argparse.Action) -> str:
    return " ".join((action.help or "").replace("%%", "%").split())


def _table(rows: Iterable[Row]) -> List[str]:
    lines: List[str] = []
    for name, text in rows:
        lines += [".TP", ".B " + escaped(name), escaped(text)]
    return lines


def _configuration() -> List[str]:
    rows: List[Row] = []
    for key in keys():
        text = key.what
        if key.default != "-":
            text += "; default: %s" % key.default
        if key.variables != "-":
            text += "; variable: %s" % key.variables
        rows.append((key.name, text))
    return _table(rows)
