"""Tells other programs that tunnels are ready: by a file, or to systemd."""

import os
import socket
from typing import Mapping, Optional, Sequence

from .. import logs
from ..errors import LocalError
from ..files import is_same, remove_own, replace_whole

log = logs.logger(__name__)

# Seconds after which a notification that nobody takes is dropped, so that it holds up nothing.
_NOTIFY_LIMIT = 0.5


class ReadyFile:
    """Exists while the tunnels are ready: a line for each. It appears whole. ``path`` None: no
    such file."""

    def __init__(self, path: Optional[str]) -> None:
        self._path = path
        self._written: Optional[os.stat_result] = None

    def prepare(self) -> None:
        """Remove one that was left behind; LocalError if there could not be one."""
        if self._path is None:
            return
        try:
            remove_own(self._path)
        except OSError as error:
            raise self._error(error) from error
        if not os.path.basename(self._path):
            raise LocalError("cannot write the ready file %r: it is not a file name" % self._path)
        directory = os.path.dirname(os.path.abspath(self._path))
        if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
            raise LocalError("cannot write the ready file %s: check its directory" % self._path)

    def write(self, lines: Sequence[str]) -> None:
        if self._path is None:
            return
        try:
            self._written = replace_whole(self._path, "".join(line + "\n" for line in lines))
        except OSError as error:
            raise self._error(error) from error

    def remove(self) -> None:
        """Unless there is another one by now."""
        if self._path is not None and self._written and is_same(self._path, self._written):
            try:
                os.unlink(self._path)
            except OSError as error:
                log.info("the ready file was not removed: %s", error)
        self._written = None

    def _error(self, error: OSError) -> LocalError:
        return LocalError("cannot write the ready file %s: %s" % (self._path, error.strerror))


class Systemd:
    """Speaks to the service manager, where there is one (``NOTIFY_SOCKET``, Type=notify)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET") or ""
        # A leading @ stands for the zero byte of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        self._send("READY=1\nSTATUS=" + status)

    def status(self, status: str) -> None:
        self._send("STATUS=" + status)

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_NOTIFY_LIMIT)
                sock.sendto(text.encode("utf-8", "replace"), self._address)
        except (OSError, ValueError) as error:
            log.warning("the service manager was not told %r: %s", text, error)
