"""What many sessions in one process cost. Only our own commands have that; no peer does."""

import os
import select
import subprocess
import tempfile
import time

from .client import LIMIT, cpu_of, memory_of
from .service import running_service

MIB = 1 << 20
AT_ONCE = 200

# Seconds, by which all that a start leaves behind has been done.
SETTLING = 3.0


def _environment(subject, url):
    return dict(subject.environ, AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1")


def _open_tunnels(subject, url, count, folder):
    """A running ``forward``, all of whose tunnels are open."""
    ready = os.path.join(folder, "ready-%d" % count)
    words = ["forward", "i-demo"] + ["0:%d" % (1 + index) for index in range(count)]
    process = subprocess.Popen(
        subject.command + words + ["--quiet", "--ready-file", ready],
        env=_environment(subject, url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 3 * LIMIT
    while not os.path.exists(ready):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the tunnels did not open")
        select.select([], [], [], 0.05)
    return process


def idle_tunnels(subject, plan):
    """Per cent of one core, and MiB for each tunnel besides the first."""
    used = {}
    with running_service() as url, tempfile.TemporaryDirectory() as folder:
        for count in (1, plan.tunnels):
            process = _open_tunnels(subject, url, count, folder)
            try:
                time.sleep(SETTLING)
                before = cpu_of(process.pid)
                time.sleep(plan.idle)
                share = (cpu_of(process.pid) - before) / plan.idle
                used[count] = share, memory_of(process.pid)
            finally:
                process.terminate()
                process.wait()
    (_, alone), (share, all_of_them) = used[1], used[plan.tunnels]
    label = "%d idle tunnels in one process, " % plan.tunnels
    return {
        label + "% of a core": 100 * share,
        label + "MiB each": (all_of_them - alone) / MIB / (plan.tunnels - 1),
    }


def many_targets(subject, plan, count):
    """One command on so many targets."""
    targets = ",".join("i-%016x" % number for number in range(count))
    words = ["exec", targets, "--parallel", str(AT_ONCE), "--", "true"]
    with running_service() as url:
        began = time.monotonic()
        process = subprocess.Popen(
            subject.command + words, env=_environment(subject, url),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        took = time.monotonic() - began
    if status:
        raise RuntimeError("exec on %d targets failed: %d" % (count, status))
    label = "exec on %d targets, %d at once, " % (count, AT_ONCE)
    return {
        label + "s": took,
        label + "CPU ms each": 1000 * (usage.ru_utime + usage.ru_stime) / count,
        label + "peak memory in MiB": usage.ru_maxrss / 1024,
    }
