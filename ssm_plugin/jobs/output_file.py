"""The file that a job's output is appended to."""

import os
from datetime import datetime
from typing import BinaryIO

from ..errors import LocalError
from ..files import open_unbuffered
from .template import expand


def open_output(template: str, now: datetime, target: str) -> BinaryIO:
    """Open the file for appending; a new one is 0600, in new directories of 0700.

    ``now`` is local time. Open it before the session, so that a wrong path costs nothing.
    :raises LocalError: naming the path
    """
    path = expand(template, now, target)
    try:
        return open_unbuffered(path, os.O_WRONLY | os.O_APPEND)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise LocalError("the output file {!r} cannot be opened: {}".format(path, why)) from error
