"""Logging: off unless asked for, to a private file or to stderr, with secrets masked.

Modules say ``log = logs.logger("channel")``. While logging is off, a call compares two numbers
and returns; the ``logging`` module is not even imported. Its global state is left alone when
logging is on: an application that embeds this package keeps its own loggers as they are.
"""

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Mapping, Optional, Tuple

from .errors import LocalError

if TYPE_CHECKING:
    import logging

DEBUG, INFO, WARNING, ERROR, OFF = 10, 20, 30, 40, 100  # as in ``logging``
_LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "off": OFF}

_FORMAT = "%(asctime)s.%(msecs)03dZ %(process)d %(levelname)s %(name)s %(threadName)s: %(message)s"


class Logger:
    """``enabled`` says whether debug records are written: ask it before costly arguments.

    The arguments are put into ``text`` with ``%``, and only if the record is written.
    """

    enabled = False
    threshold = OFF  # of the class: one for all, so that loggers may be made before configure()
    handler: "Optional[logging.Handler]" = None

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, text: str, *args: Any) -> None:
        if self.threshold <= DEBUG:
            self._write(DEBUG, text, args)

    def info(self, text: str, *args: Any) -> None:
        if self.threshold <= INFO:
            self._write(INFO, text, args)

    def warning(self, text: str, *args: Any) -> None:
        if self.threshold <= WARNING:
            self._write(WARNING, text, args)

    def error(self, text: str, *args: Any) -> None:
        if self.threshold <= ERROR:
            self._write(ERROR, text, args)

    def exception(self, text: str, *args: Any) -> None:
        """An error; with the traceback of the exception being handled if debug is on."""
        if self.threshold <= ERROR:
            self._write(ERROR, text, args, traceback=self.enabled)

    def _write(self, level: int, text: str, args: Tuple[Any, ...], traceback: bool = False) -> None:
        import logging
        import sys

        handler = self.handler
        if handler:
            error = sys.exc_info() if traceback and sys.exc_info()[0] else None
            handler.handle(logging.LogRecord(self.name, level, "", 0, text, args, error))


def logger(name: str) -> Logger:
    return Logger(name)


def configure(
    settings: Tuple[Optional[str], Optional[str], int, int],
    environ: Mapping[str, str] = {},
) -> None:
    """Turn logging on or off as ``config.LogSettings`` says: level, file, max_bytes, backups.

    Without a file, records go to stderr. Secrets found in ``environ`` are masked from now on.
    :raises LocalError: if the file cannot be opened for writing
    """
    level, file, max_bytes, backups = settings
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        register_secret(environ.get(name, ""))
    threshold = _LEVELS[level or ("info" if file else "off")]
    _install(OFF, None)
    if threshold != OFF:
        from . import log_handlers

        try:
            handler = log_handlers.make(file, max_bytes, backups, _FORMAT, mask)
        except OSError as error:
            why = error.strerror or error
            raise LocalError("the log file {} cannot be opened: {}".format(file, why)) from error
        _install(threshold, handler)


def _install(threshold: int, handler: "Optional[logging.Handler]") -> None:
    previous = Logger.handler
    Logger.threshold, Logger.handler, Logger.enabled = threshold, handler, threshold <= DEBUG
    if previous:
        previous.close()


# --- Masking

MASK = "***"

# Bounded; each resume and each refresh of credentials brings new ones, and old ones expire.
_secrets: Deque[str] = deque(maxlen=200)

# Between a name and its value: ``=``, ``: ``, ``": "``, ``', '``, with quotes escaped or not.
_SEPARATOR = r"\\*(?:[\"']\s*[:=,]|\s*[:=])\s*b?"
_NAMES = (
    "token_?value|session_?token|security-?token|token|secret_?access_?key|secret_?key"
    "|plaintext|password|signature"
)
_PATTERNS = (
    (r"(://[^/\s:@]*:)[^/\s@]+@", r"\1" + MASK + "@"),
    # A whole header: the value ends with the line, or with the quote around it.
    (r"(?i)(authorization" + _SEPARATOR + r"\\*[\"']?)[^\"'\r\n]+", r"\1" + MASK),
    (
        r"(?i)((?:" + _NAMES + ")" + _SEPARATOR + ")"
        r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\*[\"']?[^\s\"',;&})]+)",
        r"\1" + MASK,
    ),
    (r"\b(A[KS]IA)[A-Z0-9]{12}([A-Z0-9]{4})\b", r"\1" + MASK + r"\2"),
)
_compiled: Optional[Tuple[Tuple[Any, str], ...]] = None


def register_secret(value: str) -> None:
    """Mask ``value`` literally wherever it turns up. Very short ones would mask plain words."""
    if len(value) >= 8 and value not in _secrets:
        _secrets.append(value)


def mask(text: str) -> str:
    """``text`` without registered secrets, tokens, keys, signatures and passwords in URLs."""
    global _compiled
    if _compiled is None:
        _compiled = tuple((re.compile(pattern), into) for pattern, into in _PATTERNS)
    for secret in sorted(tuple(_secrets), key=len, reverse=True):
        for written in _spellings(secret):
            text = text.replace(written, MASK)
    for pattern, into in _compiled:
        text = pattern.sub(into, text)
    return text


def _spellings(secret: str) -> Tuple[str, ...]:
    """As it is, as in a URL, and as in JSON, where some write a solidus as ``\\/``."""
    from urllib.parse import quote

    return (secret, quote(secret, safe="", errors="backslashreplace"), secret.replace("/", "\\/"))
