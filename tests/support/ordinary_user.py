"""An ordinary user, whom permissions hold back also where the tests are root's."""

import contextlib
import os
import sys
import tempfile

from ssm_plugin.copying.tree import remove_tree

USER = 65534

_BECOME = """\
import os, sys
os.setgroups([]); os.setgid({0}); os.setuid({0})
os.execv("/bin/sh", ["sh"] + sys.argv[1:])
""".format(USER)

# How a command begins that ``sh`` runs as one.
SHELL = (sys.executable, "-c", _BECOME) if os.geteuid() == 0 else ("sh",)


@contextlib.contextmanager
def ordinary_user():
    """What this process does meanwhile is done as one."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        os.setegid(USER)
        os.seteuid(USER)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def give(root):
    """All that is beneath ``root``, and itself, to that user."""
    if os.geteuid() == 0:
        for folder, directories, files in os.walk(str(root)):
            for name in [""] + directories + files:
                os.lchown(os.path.join(folder, name), USER, USER)


@contextlib.contextmanager
def own_place():
    """A new directory that is that user's, where all can get to it."""
    root = tempfile.mkdtemp()
    give(root)
    try:
        yield root
    finally:
        remove_tree(root)
