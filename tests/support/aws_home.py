"""A home directory with AWS files in it, and the environment of a program that has it."""

import os
import stat
import textwrap


class AwsHome:
    """``environ`` holds no more than a program needs, and says that this is no EC2 instance."""

    def __init__(self, path):
        self.path = path
        self.bin = path / "bin"
        self.bin.mkdir()
        (path / ".aws").mkdir()
        self.environ = {
            "HOME": str(path),
            "PATH": "{}:/usr/bin:/bin".format(self.bin),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        # So that children are measured too.
        self.environ.update((k, v) for k, v in os.environ.items() if k.startswith("COVERAGE_"))

    def config(self, text):
        return self._write(self.path / ".aws" / "config", text)

    def credentials(self, text):
        return self._write(self.path / ".aws" / "credentials", text)

    def program(self, name, script):
        """A shell script on PATH; its path."""
        path = self._write(self.bin / name, "#!/bin/sh\n" + textwrap.dedent(script))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def _write(self, path, text):
        if isinstance(text, str):
            text = textwrap.dedent(text).encode("utf-8")
        path.write_bytes(text)
        return path


def without_site_packages(environ, root):
    """``environ`` for ``python -S``: this project is there, installed packages are not."""
    return dict(environ, PYTHONPATH=os.fspath(root))
