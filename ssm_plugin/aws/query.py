"""Requests of the Query APIs (EC2's, STS's): forms with dotted, numbered names."""

from typing import Dict, Mapping
from urllib.parse import urlencode

# The versions of the APIs, which every request names.
VERSIONS = {"ec2": "2016-11-15", "sts": "2011-06-15"}


def form(service: str, action: str, request: Mapping[str, object]) -> bytes:
    """The body. ``{"Filter": [{"Name": "x", "Value": ["1"]}]}`` becomes ``Filter.1.Name=x`` and
    ``Filter.1.Value.1=1``."""
    fields = {"Action": action, "Version": VERSIONS[service]}
    for name, value in request.items():
        _add(fields, name, value)
    return urlencode(fields).encode("ascii")


def _add(fields: Dict[str, str], name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _add(fields, "%s.%s" % (name, key), inner)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value, 1):
            _add(fields, "%s.%d" % (name, number), inner)
    else:
        fields[name] = str(value)
