"""Which CPythons this machine has, one of each minor version: for the tests that run on each.

As a program (``python3 tests/support/interpreters.py``) it prints them, oldest first, each as
``3.6 /path/to/python3.6``; Pythons older than 3.6 are left out. With ``--variable`` it prints what
the variable ``SSM_TEST_PYTHONS`` tells to whoever asks next.
"""

import glob
import json
import os
import re
import subprocess
import sys
from typing import Dict, List, Optional, Tuple

Version = Tuple[int, int]

_PROBE = (
    "import platform, sys; "
    "sys.stdout.write('%s %d %d' % ((platform.python_implementation(),) + sys.version_info[:2]))"
)
_VARIABLE = "SSM_TEST_PYTHONS"
_NAME = re.compile(r"python(\d(\.\d+)?)?\Z")


def interpreters() -> Dict[Version, str]:
    """(major, minor) -> path, oldest first: in pyenv's versions, then along PATH. The answer is
    kept in the environment, since each look starts each of them."""
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = json.dumps([[*version, path] for version, path in _found()])
    return {(major, minor): path for major, minor, path in json.loads(os.environ[_VARIABLE])}


def _found() -> List[Tuple[Version, str]]:
    found: Dict[Version, str] = {}
    for path in _candidates():
        version = _version(path)
        if version and version not in found:
            found[version] = path
    return sorted(found.items())


def _candidates() -> List[str]:
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = sorted(glob.glob(os.path.join(pyenv, "versions", "*", "bin", "python")))
    for folder in os.get_exec_path() + ["/usr/local/bin", "/usr/bin"]:
        # pyenv's shims are slow scripts that lead back to the versions found above.
        if folder and not folder.startswith(os.path.join(pyenv, "shims")):
            found += [p for p in sorted(glob.glob(folder + "/python*")) if _NAME.match(_base(p))]
    return [path for path in found if os.access(path, os.X_OK)]


def _base(path: str) -> str:
    return os.path.basename(path)


def _version(path: str) -> Optional[Version]:
    try:
        output = subprocess.check_output(
            [path, "-c", _PROBE], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    implementation, major, minor = output.decode().split()
    return (int(major), int(minor)) if implementation == "CPython" else None


if __name__ == "__main__":
    supported = [(version, path) for version, path in interpreters().items() if version >= (3, 6)]
    if sys.argv[1:] == ["--variable"]:
        print(os.environ[_VARIABLE])
    else:
        for (major, minor), path in supported:
            print("%d.%d %s" % (major, minor, path))
