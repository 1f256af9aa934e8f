"""Reads standard input, or any other descriptor, in a way that can be woken.

The descriptor is shared with the shell that started us, so its flags stay as they are: making it
non-blocking would break that shell. Instead a read waits for the descriptor and for a pipe of our
own, and reads only what is there.
"""

import os
import signal
from typing import Optional

from ..errors import LocalError
from .wake import WakePipe, readable

READ_SIZE = 65536

# Seconds between two looks whether the shell has brought us to the foreground again. There is no
# signal for it that we could handle.
_FOREGROUND_INTERVAL = 1.0


class InputReader:
    """``read()`` in one thread, ``close()`` in any other.

    One thing cannot be woken: where a second process reads the same terminal or pipe and takes
    the input between our wait and our read, the read blocks until there is more.

    With a ``name`` all of the input counts: then it is an error if it cannot be read, and the name
    is in its text.
    """

    def __init__(self, fd: int, name: str = "") -> None:
        self._fd = fd
        self._name = name
        # Checked first: if stdin is closed, the pipe made below would get its number.
        self._valid = _is_open(fd)
        self._terminal = self._valid and os.isatty(fd)
        self._wake = WakePipe()

    def read(self) -> Optional[bytes]:
        """Blocks. 1 to 65536 bytes, ``b""`` at the end of the input, None once closed.

        The end is also whatever makes reading impossible: a terminal that hung up (EIO), a
        descriptor that is not open, a directory. But with a ``name``, and no terminal, that is a
        LocalError: a failing disk must not pass for the end of a file.
        """
        if not self._wake.hold():
            return None
        try:
            return self._read() if self._valid else b""
        finally:
            self._wake.release()

    def close(self) -> None:
        """Wake a blocked ``read()``. What was not read stays for others; ``fd`` stays open."""
        self._wake.close()

    def _read(self) -> Optional[bytes]:
        while True:
            try:
                if self._wake.reader in readable([self._wake.reader, self._fd]):
                    return None
                # Looked at before the read and after its failure: the shell may bring us to the
                # foreground right in between, which must not pass for a terminal that is gone.
                if not self._in_background():
                    return self._take()
            except BlockingIOError:
                continue  # Inherited non-blocking, and another process was faster.
            except OSError as error:
                if self._name and not self._terminal:
                    text = "cannot read %s: %s" % (self._name, error.strerror)
                    raise LocalError(text) from error
                if not self._in_background():
                    return b""
            if readable([self._wake.reader], _FOREGROUND_INTERVAL):
                return None

    def _take(self) -> bytes:
        if not self._terminal:
            return os.read(self._fd, READ_SIZE)
        # A job that is in the background by now is stopped by this, all threads of it, and could
        # not even end then. With SIGTTIN blocked the read fails with EIO instead.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
        try:
            return os.read(self._fd, READ_SIZE)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _in_background(self) -> bool:
        try:
            return self._terminal and os.tcgetpgrp(self._fd) != os.getpgrp()
        except OSError:
            return False  # Not our controlling terminal, or hung up.


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
