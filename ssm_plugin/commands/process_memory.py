"""What ``ps`` and ``/proc`` show of this process: a token in there is overwritten.

A program's arguments and first environment lie in its own memory. ``/proc/PID/cmdline`` and
``/proc/PID/environ`` read them there for as long as it runs: a variable that was removed is only
forgotten. On Linux ``/proc/self/stat`` says where they lie, and ``/proc/self/mem`` writes there;
nothing outside of them can be hit. Elsewhere, and where the kernel forbids it, nothing happens.
"""

import os

_AREAS = slice(45, 49)  # arg_start, arg_end, env_start, env_end in stat, counted from the state
_LARGEST = 8 << 20  # bytes; the kernel's own limit for both is below that


def overwrite(secret: str) -> bool:
    """Put ``*`` over each place of ``secret`` in the arguments and the environment that this
    process was started with; whether that could be done."""
    wanted = os.fsencode(secret)
    if not wanted:
        return False
    try:
        with open("/proc/self/stat", "rb") as stat:
            areas = [int(number) for number in stat.read().rpartition(b")")[2].split()[_AREAS]]
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            _overwrite(memory.fileno(), areas[0], areas[1], wanted)
            _overwrite(memory.fileno(), areas[2], areas[3], wanted)
    except (OSError, ValueError, IndexError, OverflowError):
        return False
    return True


def _overwrite(memory: int, start: int, end: int, wanted: bytes) -> None:
    if not 0 < end - start <= _LARGEST:
        return
    data = os.pread(memory, end - start, start)
    place = data.find(wanted)
    while place >= 0:
        os.pwrite(memory, b"*" * len(wanted), start + place)
        place = data.find(wanted, place + len(wanted))
