"""Help with the configuration file, made from the schema that reads it."""

from typing import Any, Iterator, List, Tuple

from ..config import (
    FILE_SHAPE,
    SYSTEM_FILE,
    VARIABLES,
    JobSettings,
    LogSettings,
    NetworkSettings,
    Settings,
)
from ..named_tuple import NamedTuple
from ..strict_yaml import Shape
from .help_topics import columns

# The records whose defaults count, by where they stand in the file.
_RECORDS = {
    "": Settings(),
    "defaults": Settings(),
    "log": LogSettings(),
    "network": NetworkSettings(),
    "jobs.NAME": JobSettings("", (), ""),
}
# Variables that count if the file says nothing. Those of ``config`` override the file.
FALLBACKS = {
    "network.proxy": ("HTTPS_PROXY",),
    "network.no_proxy": ("NO_PROXY",),
    "network.ca_bundle": ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
}
_INTRODUCTION = """\
The configuration is the YAML file of --config, else of $SSM_PLUGIN_CONFIG, else
~/.config/ssm-plugin/config.yaml, else {system}.
/dev/null stands for no file. A variable wins over the file, the command line over
both. One in brackets counts where the file says nothing.

"""
_EXAMPLE = """
example:
  defaults: {profile: ops, region: eu-west-1}
  targets: {db1: i-0123456789abcdef0}
  network: {connect_timeout: 20s}
"""


class Key(NamedTuple):
    """``name`` is dotted; NAME stands for one of the user's choice."""

    name: str
    what: str
    default: str
    variables: str


def keys() -> List[Key]:
    """Every key that the file may have."""
    return [
        Key(name, _what(shape), _default(name, shape), _variables(name))
        for name, shape in _leaves("", FILE_SHAPE)
    ]


def configuration_help() -> str:
    head = ("KEY", "TYPE", "DEFAULT", "VARIABLE")
    return _INTRODUCTION.format(system=SYSTEM_FILE) + columns([head] + list(keys())) + _EXAMPLE


def _leaves(name: str, shape: Shape) -> Iterator[Tuple[str, Shape]]:
    for key, inner in shape.keys.items():
        full = name + "." + key if name else key
        if inner.keys:
            yield from _leaves(full, inner)
        elif inner.what == "a mapping" and inner.item is not None:
            item = inner.item
            yield from _leaves(full + ".NAME", item) if item.keys else [(full + ".NAME", item)]
        else:
            yield full, inner


def _what(shape: Shape) -> str:
    if shape.what == "a list" and shape.item is not None:
        return "a list of: " + shape.item.what
    return shape.what


def _default(name: str, shape: Shape) -> str:
    section, _, key = name.rpartition(".")
    value = getattr(_RECORDS.get(section), key, None)
    return _written(value, shape.what)


def _written(value: Any, what: str) -> str:
    """The value as it would be written in the file."""
    if value is None or value == () or value == "":
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if what == "a duration":
        return "%gs" % value
    if what == "a size":
        return "%gMB" % (value / 1e6)
    return str(value)


def _variables(name: str) -> str:
    if name in FALLBACKS:
        return "[%s]" % ", ".join(FALLBACKS[name])
    return ", ".join(VARIABLES.get(name, ())) or "-"
