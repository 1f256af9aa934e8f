"""Fast tunnels of a local service, in this process."""

import contextlib
import os
import shutil
import signal
import subprocess

from ssm_plugin.forwarding.fast import SharedRelay
from ssm_plugin.forwarding.reports import READY
from ssm_plugin.forwarding.tunnel import PATIENCE
from ssm_plugin.session.environment import Environment

from .running import NETWORK, TARGET, service_client
from .tunnels import RunningTunnel

_PS = shutil.which("ps") or "ps"  # tests change PATH


@contextlib.contextmanager
def fast_tunnel(
    service, forward, speed="fast", network=NETWORK, ready=True, patience=PATIENCE
):
    """A ``RunningTunnel`` with a ``shared`` relay, and the ``warnings`` that it gave."""

    def environment():
        return Environment(service_client(service, network), network, environ={})

    warnings = []
    shared = SharedRelay(TARGET, environment, speed, warnings.append)
    try:
        with RunningTunnel(
            service, forward, network=network, relay=shared, patience=patience
        ) as running:
            running.shared = shared
            running.warnings = warnings
            if ready:
                running.wait_for(READY)
            yield running
    finally:
        shared.close()
        shared.join()


def relays():
    """The process ids of the relays that run as children of this process's agents."""
    listed = subprocess.check_output([_PS, "-ww", "-o", "pid=,ppid=,args=", "-A"])
    found = []
    for line in listed.decode("utf-8", "replace").splitlines():
        pid, parent, args = line.split(None, 2)
        if int(parent) == os.getpid() and "binascii, errno, fcntl" in args:
            found.append(int(pid))
    return found


def kill_relay():
    (pid,) = relays()
    os.kill(pid, signal.SIGKILL)
