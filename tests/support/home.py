"""A home directory that is nobody's, so that no shell runs what a user keeps in theirs."""

import contextlib
import os
import tempfile

# What else makes a shell, or its line editor, read a file of the user's.
_START_FILES = ("ENV", "BASH_ENV", "INPUTRC", "ZDOTDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")


@contextlib.contextmanager
def empty_home():
    """The environment of this process, and so of all that it starts, has a new and empty home."""
    before = dict(os.environ)
    # pyenv's Pythons lie in the user's home.
    os.environ.setdefault("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for name in _START_FILES:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        os.environ["HOME"] = home
        try:
            yield home
        finally:
            for name in _START_FILES + ("HOME", "PYENV_ROOT"):
                _restore(name, before.get(name))


def _restore(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
