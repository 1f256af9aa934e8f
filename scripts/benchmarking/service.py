"""The local service in a process of its own. With the argument ``encrypted`` its sessions are;
arguments with an equals sign are faults that it plays.

It writes its URL, and serves until its standard input ends.
"""

import contextlib
import os
import subprocess
import sys

from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.service import demo_service

from .client import ROOT


@contextlib.contextmanager
def running_service(*arguments):
    """Yields the URL of one that runs as long as the with block."""
    words = [sys.executable, "-m", "scripts.benchmarking.service"] + list(arguments)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, cwd=ROOT, **pipes) as service:
        try:
            yield service.stdout.readline().decode().strip()
        finally:
            service.stdin.close()


def main():
    key = "key-1" if "encrypted" in sys.argv[1:] else ""
    faults = ",".join(word for word in sys.argv[1:] if "=" in word)
    options = AgentOptions(shell=("/bin/sh",))
    with demo_service(options=options, kms_key_id=key, faults=faults) as service:
        sys.stdout.write(service.endpoint_url + "\n")
        sys.stdout.flush()
        while os.read(0, 64):
            pass


if __name__ == "__main__":
    main()
