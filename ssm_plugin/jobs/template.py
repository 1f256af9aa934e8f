"""Where a job's output goes: a path with the fields of ``strftime``, and ``{target}``."""

import os
import re
from datetime import datetime

from ..errors import LocalError

# Those that mean the same on every system and give no ``/``.
FIELDS = "YmdHMSfyjaAbBpIuUVWGwzZFT"


def expand(template: str, now: datetime, target: str) -> str:
    """``~/logs/{target}/%Y-%m-%d.log`` -> a path.

    :raises LocalError: for a field that is not one of ``FIELDS``; ``%%`` is a percent sign
    """

    def field(found: "re.Match[str]") -> str:
        letter = found.group(1)
        if letter == "%":
            return "%"
        if letter not in FIELDS or not letter:
            problem = "the output path {!r} has an unknown field {!r}; write %% for a percent sign"
            raise LocalError(problem.format(template, found.group()))
        return now.strftime("%" + letter)

    path = re.sub(r"%(.?)", field, os.path.expanduser(template), flags=re.DOTALL)
    return path.replace("{target}", _component(target))


def _component(name: str) -> str:
    """``name`` as one part of a path: it cannot lead out of the directory."""
    return re.sub(r"^\.+|[/\0]", "_", name)
