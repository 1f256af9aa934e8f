"""Logging: each module's logger, and what a program of ours does with their records.

Modules say ``log = logs.logger(__name__)``. That is ``logging.getLogger(__name__)``, a child of the
logger ``ssm_plugin``, with a filter that masks secrets. The filter is on each logger for these
reasons: Python asks the filters of the logger that was called, and not those of its parents; and
handlers are the embedding program's to add, to replace and to remove. So a record is masked before
any handler sees it, whoever the handler belongs to.

As a library we do no more: ``ssm_plugin`` has a ``NullHandler``, records propagate, and levels are
left alone. Only a program calls :func:`configure`.
"""

import logging
from typing import Mapping, Optional, Tuple

from .errors import LocalError
from .masking import mask, register_secret

_TOP = logging.getLogger("ssm_plugin")
_TOP.addHandler(logging.NullHandler())

_OFF = logging.CRITICAL + 1
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": _OFF,
}


class Masking(logging.Filter):
    """Masks secrets in a record's message, traceback and stack, for all handlers at once.

    All three become text here, because arguments, and an exception with the variables of its
    frames, may hold secrets. So ``args`` is empty and ``exc_info`` is None; ``exc_text`` has the
    traceback, which formatters print as usual. ``logging.handlers.QueueHandler`` does the same.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _writable(_message(record)), ()
        if record.exc_info:
            record.exc_text = _writable(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = _writable(record.stack_info)
        return True


def _writable(text: str) -> str:
    """Masked, and such as any handler can write: UTF-8 has no place for half a surrogate pair."""
    return mask(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _message(record: logging.LogRecord) -> str:
    """A record that cannot be formatted must not end a session: what fails is left out."""
    try:
        return record.getMessage()
    except Exception as error:
        return "%s (its arguments cannot be shown: %s)" % (record.msg, type(error).__name__)


_masking = Masking()
_handler: Optional[logging.Handler] = None  # of configure()


def logger(name: str) -> logging.Logger:
    """``logging.getLogger(name)`` with the filter; ``name`` is the module's ``__name__``."""
    log = logging.getLogger(name)
    log.addFilter(_masking)
    return log


def configure(
    settings: Tuple[Optional[str], Optional[str], int, int],
    environ: Mapping[str, str] = {},
) -> None:
    """Log as ``config.LogSettings`` says: level, file, max_bytes, backups. For programs.

    Without a file, records go to stderr. Secrets found in ``environ`` are masked from now on.
    The handler is on the logger ``ssm_plugin``; the root logger is left alone.

    :raises LocalError: if the file cannot be opened for writing
    """
    level, file, max_bytes, backups = settings
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        register_secret(environ.get(name, ""))
    threshold = _LEVELS[level or ("info" if file else "off")]
    _install(_OFF, None)
    if threshold != _OFF:
        # Loaded here: most sessions log nothing, and logging.handlers takes long to load.
        from . import log_handlers

        try:
            handler = log_handlers.make(file, max_bytes, backups)
        except OSError as error:
            why = error.strerror or error
            raise LocalError("the log file %s cannot be opened: %s" % (file, why)) from error
        _install(threshold, handler)


def _install(threshold: int, handler: Optional[logging.Handler]) -> None:
    global _handler
    previous, _handler = _handler, handler
    _TOP.setLevel(threshold)
    if handler:
        _TOP.addHandler(handler)
    if previous:
        _TOP.removeHandler(previous)
        previous.close()
