"""The built file, started with a code cache of the test's own."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List

HELP = ["shell", "--help"]
TIME_LIMIT = 30.0  # s

# What is before the commands in each start, and commands that can only be helped with.
_START = ("__main__", "__init__", "cli", "shortage", "unpacked", "unpacking", "version")
_COMMANDS = {
    "__init__": "",
    "program": "def choose(arguments, drop_in): pass",
    "exit_status": "def run(command, arguments): print('usage: ssm-plugin shell'); return 0",
}


def small_file(zipapp: Path, folder: Path) -> Path:
    """A built file with the real start and next to nothing behind it: it is compiled in no time."""
    small = folder / zipapp.name
    with zipfile.ZipFile(str(zipapp)) as whole, zipfile.ZipFile(str(small), "w") as part:
        part.writestr("__main__.py", whole.read("__main__.py"))
        for name in _START:
            name = "ssm_plugin/%s.py" % name
            part.writestr(name, whole.read(name))
        for name, source in _COMMANDS.items():
            part.writestr("ssm_plugin/commands/%s.py" % name, source)
    (folder / "ssm-plugin").symlink_to(small.name)
    return small


class CodeCache:
    """What stands in ``base``/ssm-plugin, and starts of the built file that may use it."""

    def __init__(self, zipapp: Path, base: Path) -> None:
        self.program = zipapp.with_name("ssm-plugin")
        self.folder = base / "ssm-plugin"
        self.environ = {"XDG_CACHE_HOME": str(base)}

    @property
    def entry(self) -> Path:
        """The only file that is there."""
        (entry,) = self.folder.iterdir()
        return entry

    def begin(self, arguments: List[str], **options: Any) -> Any:
        """The running program, with an environment that says nothing but where the cache is."""
        return subprocess.Popen(
            [sys.executable, "-v", str(self.program)] + arguments,
            env=dict({"PATH": os.environ["PATH"]}, **self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options
        )

    def used(self, **options: Any) -> bool:
        """Whether the modules of a command, which ran well and said nothing, came from a cache."""
        return b"<ssm_plugin.unpacked.Finder" in self.loaded(**options)["ssm_plugin.commands"]

    def loaded(self, **options: Any) -> Dict[str, bytes]:
        """What loaded each module of a command, which ran well and said nothing."""
        process = self.begin(HELP, **options)
        output, messages = process.communicate(timeout=TIME_LIMIT)
        assert process.returncode == 0, messages[-1000:]
        assert output.startswith(b"usage: ssm-plugin shell")
        assert b"Traceback" not in messages
        imports = re.findall(rb"^import '?([\w.]+)'? # (.*)", messages, re.MULTILINE)
        return {name.decode("ascii"): loader for name, loader in imports}

    def without(self, **environ: str) -> "CodeCache":
        self.environ: Dict[str, str] = environ
        return self
