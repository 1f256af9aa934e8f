"""OpenSSH's programs, as far as they are asked something and answer."""

import subprocess
from typing import Mapping, Optional, Tuple

from ..errors import LocalError

_TIME_LIMIT = 10.0  # s


def ask(environ: Mapping[str, str], *argv: str) -> Tuple[int, str]:
    """Its exit status and what it wrote to stdout. It gets no input.

    :raises LocalError: if it is not there, or does not end
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            "%s does not answer within %d s: run it by hand to see why" % (argv[0], _TIME_LIMIT)
        ) from error
    except OSError as error:
        raise not_there(argv[0], error) from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


def not_there(program: str, error: OSError) -> LocalError:
    why: Optional[str] = error.strerror
    if isinstance(error, FileNotFoundError):
        why = "there is none on PATH: install OpenSSH's client"
    return LocalError("cannot start %s: %s" % (program, why))
