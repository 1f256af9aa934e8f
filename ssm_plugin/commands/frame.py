"""Around every command: errors become one line, and everything becomes an exit status."""

import importlib
import os
import sys
from typing import List

from .. import logs
from ..errors import SessionInterrupted, SsmPluginError

FAILURE = 255

log = logs.logger("command")


def run(name: str, arguments: List[str]) -> int:
    """Run the command of that module; returns its exit status."""
    try:
        status = importlib.import_module("ssm_plugin.commands." + name).run(arguments)
        return _final(status)
    except SessionInterrupted as interruption:
        _say(interruption)
        return _final(interruption.exit_status)
    except SsmPluginError as error:
        _say(error)
        return _final(FAILURE)
    except KeyboardInterrupt:
        return _final(130)


def _final(status: int) -> int:
    """Scripts that were written for AWS's client may want its eternal 0."""
    return 0 if os.environ.get("SSM_PLUGIN_EXIT_STATUS") == "legacy" else status


def _say(error: SsmPluginError) -> None:
    log.exception("%s", error)
    line = " ".join(logs.mask(str(error)).split())
    try:
        sys.stderr.write("ssm-plugin: %s\n" % line)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody to tell: the status says it
