"""Keys: the public one that is pushed, and a pair that is made for one run.

The key that is pushed is one whose private half OpenSSH's client will find by itself. One that is
made for a run stands in a folder that nobody else can read, and that goes away whatever happens: a
second process removes it when our end of a pipe is closed, and the kernel closes that even for a
process that is killed.
"""

import os
import re
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from typing import Dict, Iterator, Mapping, Optional

from ..errors import LocalError, UsageError
from ..files import MIB, read_regular
from .client import ask, not_there

# What EC2 Instance Connect takes. Certificates and keys of security tokens are none of these.
_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) +"
    r"(AAAA[A-Za-z0-9+/]{60,4000}=*)(?:\s|\Z)"
)
_NAMES = ("id_ed25519", "id_rsa", "id_ecdsa")
# Seconds that an agent keeps a key that was made for one run: as long as the pushed half is good.
_KEPT = "60"

# It leaves the terminal's signals to us, as it is in a session of its own.
_REMOVES = 'read _; exec rm -rf -- "$1"'


def public_key_of(text: str) -> Optional[str]:
    """Type and key of the first line that holds one, without its comment, which may name people."""
    for line in text.splitlines():
        found = _KEY.match(line.strip())
        if found:
            return "%s %s" % found.groups()
    return None


def choose_key(file: Optional[str], environ: Mapping[str, str]) -> str:
    """The public key to push: that of ``file``; else the agent's first one; else that of
    ``~/.ssh``; else a new one, which is handed to the agent.

    :raises UsageError: if ``file`` holds none
    :raises LocalError: if it cannot be read; if there is none, and no agent to keep a new one
    """
    if file:
        return _of_file(file)
    has_agent = bool(environ.get("SSH_AUTH_SOCK"))
    key = _of_agent(environ) if has_agent else None
    key = key or next(_of_home(environ), None)
    if key:
        return key
    if not has_agent:
        raise LocalError(
            "there is no SSH key to push, neither in an agent nor in ~/.ssh: give one with --key, "
            "make one with 'ssh-keygen -t ed25519', or use 'ssm-plugin connect', which needs none"
        )
    return _made_for_the_agent(environ)


def _of_file(path: str) -> str:
    """``path`` may be that of the private key, with the public one beside it."""
    unread: Dict[str, OSError] = {}
    for one in (path + ".pub", path):
        try:
            key = _read(one)
        except OSError as error:
            unread[one] = error
        else:
            if key:
                return key
    # One of the two may be missing.
    for one, why in unread.items():
        if not isinstance(why, FileNotFoundError) or (one == path and len(unread) == 2):
            raise LocalError("cannot read the key %s: %s" % (one, why.strerror)) from why
    raise UsageError(
        "%s holds no public key that EC2 Instance Connect takes (ED25519, RSA, ECDSA), nor does "
        "%s.pub: 'ssh-keygen -y -f PRIVATE-KEY' prints that of a private one" % (path, path)
    )


def _of_agent(environ: Mapping[str, str]) -> Optional[str]:
    return public_key_of(ask(environ, "ssh-add", "-L")[1])


def _of_home(environ: Mapping[str, str]) -> Iterator[str]:
    folder = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".ssh")
    for name in _NAMES:
        path = os.path.join(folder, name)
        key = None
        with suppress(OSError):
            key = _read(path + ".pub") if os.path.exists(path) else None
        if key:
            yield key


def _made_for_the_agent(environ: Mapping[str, str]) -> str:
    with key_for_one_run(environ) as made:
        status, _ = ask(environ, "ssh-add", "-q", "-t", _KEPT, made)
        if status:
            raise LocalError(
                "there is no SSH key to push, and the agent takes none: give one with --key, or "
                "use 'ssm-plugin connect', which needs none"
            )
        return _of_file(made)


def _read(path: str) -> Optional[str]:
    return public_key_of(read_regular(path, MIB).decode("utf-8", "replace"))


@contextmanager
def key_for_one_run(environ: Mapping[str, str]) -> Iterator[str]:
    """The path of the private key; the public one is beside it, with ``.pub``."""
    with _private_folder() as folder:
        path = os.path.join(folder, "key")
        words = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]
        status, _ = ask(environ, "ssh-keygen", *words)
        if status:
            raise LocalError("ssh-keygen made no key in %s: status %d" % (folder, status))
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
