"""Where log records go once logging is on: a private file that rotates, or stderr."""

import logging
import logging.handlers
import os
import stat
import sys
import time
from contextlib import suppress
from typing import Any, Optional

from .display import shown
from .files import is_regular, open_private
from .masking import mask

_LINE = "%(asctime)s.%(msecs)03dZ %(process)d %(levelname)s %(name)s %(threadName)s: %(message)s"
_DATE = "%Y-%m-%dT%H:%M:%S"


def make(file: Optional[str], max_bytes: int, backups: int) -> logging.Handler:
    """A handler for ``file``, else for stderr. Its records have been masked by their loggers.

    :raises OSError: if the file cannot be opened
    """
    if file:
        # Rotation renames the file, which must not happen to a device or a pipe.
        limit = max_bytes if is_regular(file) else 0
        handler: logging.Handler = _FileHandler(file, limit, backups)
    else:
        handler = _StderrHandler(sys.stderr)
    handler.setFormatter(_Formatter(_LINE, _DATE))
    return handler


class _Formatter(logging.Formatter):
    """Times are UTC. What a node sent cannot start a line of its own or move the cursor."""

    def formatTime(self, record: logging.LogRecord, datefmt: Optional[str] = None) -> str:
        return time.strftime(datefmt or "", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """The lines after a record's own are indented: none can be taken for another record."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        more = "\n".join(filter(None, (record.exc_text, record.stack_info)))
        indented = ["    " + shown(line) for line in more.split("\n") if line]
        return "\n".join([shown(self.formatMessage(record))] + indented)


class _SaysOnce(logging.Handler):
    """A record that cannot be written is lost, and the first such loss is told on stderr.

    A full disk must not end a session, and what ``logging`` would print here shows secrets.
    """

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            kind, error = sys.exc_info()[:2]
            why = "%s: %s" % (kind.__name__ if kind else "", error)
            text = "ssm-plugin: a log record was lost: %s" % shown(why)
            with suppress(OSError, ValueError, AttributeError):  # stderr may be closed
                sys.stderr.write(mask(text) + "\n")


class _StderrHandler(_SaysOnce, logging.StreamHandler):
    terminator = "\r\n"  # the terminal may be in raw mode

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", self.terminator)


class _FileHandler(_SaysOnce, logging.handlers.RotatingFileHandler):
    def __init__(self, file: str, max_bytes: int, backups: int) -> None:
        super().__init__(file, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")

    def _open(self) -> Any:
        descriptor = open_private(self.baseFilename, os.O_WRONLY | os.O_APPEND)
        _make_private(descriptor)
        with suppress(OSError):  # a pipe has no end; Python 3.13 rotates no file at its beginning
            os.lseek(descriptor, 0, os.SEEK_END)
        return open(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    def shouldRollover(self, record: logging.LogRecord) -> Any:
        if self.stream and self._moved(self.stream.fileno()):
            moved, self.stream = self.stream, None  # then the next one is opened, as soon as it can
            with suppress(OSError):  # it holds what a full disk did not take, and is closed now
                moved.close()
        return super().shouldRollover(record)

    def _moved(self, descriptor: int) -> bool:
        """Whether another session of ours, or logrotate, has renamed the file meanwhile."""
        try:
            return not os.path.samestat(os.stat(self.baseFilename), os.fstat(descriptor))
        except FileNotFoundError:
            return True


def _make_private(descriptor: int) -> None:
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o600)
