"""A local service with real agents: shells, commands, ports."""

import contextlib
import threading
import time

from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.service import demo_service

TIME_TO_LEAVE = 5.0  # s: what was told to end may still be on its way out


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
    left = [one for one in set(threading.enumerate()) - before if one.name.startswith("ssm-")]
    deadline = time.monotonic() + TIME_TO_LEAVE
    while left and time.monotonic() < deadline:
        for thread in left:
            with contextlib.suppress(RuntimeError):  # it is just being started
                thread.join(0.1)
        left = [one for one in threading.enumerate() if one in left]
    assert [thread.name for thread in left] == []
