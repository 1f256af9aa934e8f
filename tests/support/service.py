"""A local service with real agents: shells, commands, ports."""

import contextlib
import threading

from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.service import demo_service


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
    for thread in left:
        thread.join(5.0)  # what was told to end may still be on its way out
    assert [thread.name for thread in left if thread.is_alive()] == []
