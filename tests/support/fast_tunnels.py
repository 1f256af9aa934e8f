"""Fast tunnels of a local service, in this process."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading

from ssm_plugin.forwarding.fast import SharedRelay
from ssm_plugin.forwarding.reports import READY
from ssm_plugin.forwarding.tunnel import PATIENCE
from ssm_plugin.session.environment import Environment

from .running import NETWORK, TARGET, service_client
from .tunnels import TIME_LIMIT, RunningTunnel

PORT = "AWS-StartPortForwardingSession"

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


def connect(running):
    return socket.create_connection(running.address, TIME_LIMIT)


def through(running, data):
    """What comes back of it, to the end, from a target that echoes."""
    with connect(running) as sock:
        sender = threading.Thread(target=send_all, args=(sock, data), daemon=True)
        sender.start()
        with sock.makefile("rb") as incoming:
            came = incoming.read()
        sender.join(TIME_LIMIT)
    return came


def send_all(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def same(one, other):
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


def session_of_relay(service):
    return _session_of(service, "AWS-StartNonInteractiveCommand")


def session_of_port(service):
    return _session_of(service, PORT)


def _session_of(service, document):
    (found,) = [one for one in service.open_sessions() if one.request.document_name == document]
    return found


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
