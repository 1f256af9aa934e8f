"""A key that is made for one run, in a folder that nobody else can read.

The folder goes away whatever happens: a second process removes it when our end of a pipe is
closed, and the kernel closes that even for a process that is killed.
"""

import os
import subprocess
import tempfile
from contextlib import contextmanager
from typing import Iterator, Mapping

from ..errors import LocalError
from .programs import ask, not_there

# It leaves the terminal's signals to us, as it is in a session of its own.
_REMOVES = 'read _; exec rm -rf -- "$1"'


@contextmanager
def key_for_one_run(environ: Mapping[str, str]) -> Iterator[str]:
    """The path of the private key; the public one is beside it, with ``.pub``."""
    with _private_folder() as folder:
        path = os.path.join(folder, "key")
        words = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]
        status, _ = ask(environ, "ssh-keygen", *words)
        if status:
            raise LocalError("ssh-keygen makes no key in %s: status %d" % (folder, status))
        yield path


@contextmanager
def _private_folder() -> Iterator[str]:
    try:
        folder = tempfile.mkdtemp(prefix="ssm-plugin-")
    except OSError as error:
        raise LocalError("cannot make a folder for a key: %s" % error.strerror) from error
    try:
        remover = subprocess.Popen(
            ["/bin/sh", "-c", _REMOVES, "ssm-plugin-key", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},  # whatever ours is
            start_new_session=True,
        )
    except OSError as error:
        os.rmdir(folder)
        raise not_there("/bin/sh", error) from error
    try:
        yield folder
    finally:
        assert remover.stdin is not None, "it was given a pipe"
        remover.stdin.close()
        remover.wait()
