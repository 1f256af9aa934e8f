"""What a process uses: memory, threads, descriptors, processor time. From Linux's /proc."""

import os
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """``memory`` is resident, ``peak`` the most that was, in bytes; ``cpu`` in seconds, user and
    system together; ``rests``, how often its first thread has gone to sleep by itself."""

    memory: int
    peak: int
    threads: int
    descriptors: int
    cpu: float
    rests: int


def usage(pid):
    folder = "/proc/%d/" % pid
    with open(folder + "status") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    with open(folder + "stat") as file:
        times = file.read().rpartition(")")[2].split()
    return Usage(
        int(fields["VmRSS"].split()[0]) * 1024,
        int(fields["VmHWM"].split()[0]) * 1024,
        int(fields["Threads"]),
        len(os.listdir(folder + "fd")),
        (int(times[11]) + int(times[12])) / _TICK,
        int(fields["voluntary_ctxt_switches"]),
    )
