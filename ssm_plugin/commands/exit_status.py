"""Around every command: errors become one line, and everything becomes an exit status."""

import http
import importlib
import logging
import os
import sys
from typing import List, Mapping

from .. import logs, masking
from ..errors import ConfigurationError, LocalError, SessionInterrupted, SsmPluginError
from ..session.streams import EXIT_OUTPUT_GONE, OutputGone, say
from ..shortage import explain

FAILURE = 255
EXIT_INTERRUPTED = 130

# Scripts that were written for AWS's client may need what it always exits with: 0.
STATUS_VARIABLE = "SSM_PLUGIN_EXIT_STATUS"
LEGACY = "legacy"

# Seconds that a busy thread may keep another one waiting. Python's own 5 ms are as long as a
# keystroke takes, there and back, beside a transfer.
SWITCH_INTERVAL = 0.001

log = logs.logger(__name__)


def run(name: str, arguments: List[str]) -> int:
    """Run the command of that module; returns its exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    lighten_the_library()
    status = _run(name, arguments)
    return 0 if os.environ.get(STATUS_VARIABLE) == LEGACY else status


def check_status_setting(environ: Mapping[str, str]) -> None:
    """Called before anything is started, and after help was printed.

    :raises ConfigurationError: for a value that would have no effect"""
    value = environ.get(STATUS_VARIABLE)
    if value and value != LEGACY:
        raise ConfigurationError(
            "%s: %r is not known: %s always gives status 0, without the variable the status says "
            "how it ended" % (STATUS_VARIABLE, value[:40], LEGACY)
        )


def lighten_the_library() -> None:
    """Give websocket-client the status numbers alone. Before version 1.7 it says ``from http import
    client as HTTPStatus``, and that loads Python's whole mail package: 10 ms. ``import
    http.client`` still gives the real one. Only for a process of our own."""
    if not hasattr(http, "client"):
        http.client = http.HTTPStatus  # type: ignore


def _run(name: str, arguments: List[str]) -> int:
    try:
        status: int = importlib.import_module("ssm_plugin.commands." + name).run(arguments)
        return status
    except SessionInterrupted as interruption:
        _say(interruption)
        return interruption.exit_status
    except SsmPluginError as error:
        _say(error)
        return FAILURE
    except OutputGone:
        return EXIT_OUTPUT_GONE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    # A safety net for our own mistakes: one line for the user, and where it was for the log.
    except Exception as error:
        shortage = explain(error)
        if shortage:
            return fail(shortage)
        _say(error, "internal error (log level debug shows where): %s: " % type(error).__name__)
        return FAILURE


def fail(shortage: LocalError) -> int:
    """Write one line, without importing anything."""
    try:
        os.write(2, b"ssm-plugin: %s\n" % str(shortage).encode("ascii", "replace"))
    except OSError:
        pass  # nobody to tell: the status says it
    return FAILURE


def _say(error: Exception, prefix: str = "") -> None:
    log.error("%s%s", prefix, error, exc_info=log.isEnabledFor(logging.DEBUG))
    try:
        say(masking.mask(prefix + str(error)))
    except (OutputGone, LocalError):
        pass  # nobody to tell: the status says it
