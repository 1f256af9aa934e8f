"""``ssm-plugin demo serve`` as a process of its own, with the keys that it prints::

    with DemoService(tmp_path) as service:
        environ.update(service.keys)
        ...  # clients get service.endpoint_url
"""

import os
import select
import signal
import subprocess
import sys
import time

from . import program
from .pty import ROOT

TIME_LIMIT = 40.0  # seconds


class DemoService:
    """``endpoint_url`` and ``keys``, variables for its clients, are there at once. ``environ``
    holds more variables for the service itself."""

    def __init__(self, folder, faults="", environ=None):
        self._ready = os.path.join(str(folder), "demo-is-ready")
        words = ["demo", "serve", "--ready-file", self._ready, "--faults", faults]
        self.process = program.start(
            [sys.executable, "-m", "ssm_plugin"] + words,
            env=dict(os.environ, PYTHONPATH=ROOT, SHELL="/bin/sh", **(environ or {})),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.keys = dict(self._variables())
            with open(self._ready) as file:
                self.endpoint_url = file.read().strip()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def stop(self):
        """From now on it is a network that swallows everything."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self):
        self.process.kill()

    def close(self):
        self.process.kill()
        self.process.wait(TIME_LIMIT)
        self.process.stdout.close()

    def _variables(self):
        """What it tells to export; the file that says where it is, is there by then."""
        deadline, text = time.monotonic() + TIME_LIMIT, b""
        while not (text.endswith(b"\n\n") and os.path.exists(self._ready)):
            readable, _, _ = select.select([self.process.stdout], [], [], 0.02)
            data = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            assert data or not readable, "the local service has ended"
            assert time.monotonic() < deadline, "the local service does not start"
            text += data
        for line in text.decode().splitlines():
            if line.startswith("export "):
                for word in line.split()[1:]:
                    name, _, value = word.partition("=")
                    if "ENDPOINT" not in name:  # clients are told where by an option of theirs
                        yield name, value
