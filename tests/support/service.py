"""A local service with real agents: shells, commands, ports."""

import contextlib
import threading

from ssm_plugin.channel import outbound
from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.service import demo_service

from .threads import threads_left

TIME_TO_LEAVE = 5.0  # seconds

# The nodes of tests send again a hundred messages a second, and not ten as AWS's: schedules of
# faults would take minutes. Where that pace is what is tested, the test sets it.
outbound.AGENTS_PAUSE = 0.01


@contextlib.contextmanager
def local_service(**options):
    """``options`` are fields of ``AgentOptions`` or arguments of ``demo_service``.

    The shell is ``/bin/sh`` unless told otherwise. At the end no session may have failed in an
    unexpected way, and no thread of the service may be left.
    """
    options.setdefault("shell", ("/bin/sh",))
    chosen = {name: options.pop(name) for name in AgentOptions._fields if name in options}
    before = set(threading.enumerate())
    with demo_service(options=AgentOptions(**chosen), **options) as service:
        yield service
    assert threads_left(before, "ssm-", seconds=TIME_TO_LEAVE) == []
