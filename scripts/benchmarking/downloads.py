"""Downloads by a tunnel at a real agent's pace, with the fast way and without."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time

from .client import LIMIT, cpu_of
from .service import running_service

MIB = 1 << 20

# The fast way carries so many times as much in a run.
_MORE = {"plain": 1, "fast": 5}


def at_agents_pace(subject, plan, speed):
    """MiB/s and CPU ms per MiB, of one connection, without the start."""
    size = int(plan.paced_mib * MIB) * _MORE[speed]
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(running_service("pace=1.2ms"))
        target = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        target.settimeout(LIMIT)
        argv = ["forward", "i-demo", "0:%d" % target.getsockname()[1], "--speed", speed, "--json"]
        client = stack.enter_context(
            subprocess.Popen(
                subject.command + argv + ["--quiet"],
                env=dict(subject.environ, AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        stack.callback(client.terminate)
        ready = client.stdout.readline()
        if not ready.startswith(b"{"):
            raise RuntimeError("no tunnel")
        here = stack.enter_context(
            socket.create_connection(("127.0.0.1", json.loads(ready.decode())["port"]), LIMIT)
        )
        there = stack.enter_context(target.accept()[0])
        here.settimeout(size * 0.01 / 1024 + 10)
        before, began = cpu_of(client.pid), time.monotonic()
        threading.Thread(target=there.sendall, args=(os.urandom(size),), daemon=True).start()
        left = size
        while left:
            came = len(here.recv(65536))
            if not came:
                raise RuntimeError("%d bytes did not come" % left)
            left -= came
        seconds, used = time.monotonic() - began, cpu_of(client.pid) - before
    label = "tunnel down at an agent's pace, --speed %s, " % speed
    return {
        label + "MiB/s": size / MIB / seconds,
        label + "CPU ms per MiB": 1000 * used * MIB / size,
    }
