"""A node whose sshd knows no keys but those that were pushed to it, and whoever logs in there.

On EC2, sshd's AuthorizedKeysCommand asks the instance's metadata for the keys; here it asks a
server of the test, which has them from the local service::

    with node_without_keys(tmp_path) as node:
        assert node.run("connect", node.destination, "exit 3").returncode == 3
        node.clock.advance(60)  # and the key is gone
"""

import contextlib
import getpass
import os
import queue
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

from ssm_plugin.loopback.http import HttpResponse, HttpServer
from ssm_plugin.loopback.instance_connect import PushedKeys

from . import program
from .clock import Clock
from .drop_in import REGION, DropIn
from .pty import ROOT
from .service import local_service
from .ssh import HOST, TIME_LIMIT, SshServer, find

_PATH = "/latest/meta-data/managed-ssh-keys/active-keys/"
_SSHD = """\
AuthorizedKeysFile none
AuthorizedKeysCommand {curl} -sf {url}%u
AuthorizedKeysCommandUser {user}
"""
_CLIENT = """\
UserKnownHostsFile {folder}/known_nodes
GlobalKnownHostsFile /dev/null
"""


@contextlib.contextmanager
def node_without_keys(folder, **service):
    folder = Path(str(folder))
    with local_service(**service) as running:
        clock = Clock()
        keys = running.instance_connect.keys = PushedKeys(clock)

        def answer(request):
            found = keys.of(HOST, request.path[len(_PATH) :])
            text = "".join(key + "\n" for key in found)
            return HttpResponse(200 if found else 404, text.encode())

        metadata = HttpServer("metadata", answer, queue.Queue())
        metadata.start()
        url = "http://127.0.0.1:%d%s" % (metadata.port, _PATH)
        settings = _SSHD.format(curl=find("curl"), url=url, user=getpass.getuser())
        try:
            with SshServer(folder, settings) as server:
                yield Node(folder, running, server, clock)
                running.wait_for(lambda: not running.open_sessions())
        finally:
            metadata.close(5.0)


class Node:
    def __init__(self, folder, service, server, clock):
        self.folder = folder
        self.service = service
        self.clock = clock
        self.port = server.port
        self.destination = "%s@%s" % (getpass.getuser(), HOST)
        home = folder / "home"
        home.mkdir()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.environ = dict(
            DropIn(home, service).environ,
            AWS_ENDPOINT_URL=service.endpoint_url,
            AWS_REGION=REGION,
            PYTHONPATH=ROOT,
            TMPDIR=str(self.scratch),
            PATH=os.environ["PATH"],
        )
        self.config = folder / "client_config"
        self.config.write_text(_CLIENT.format(folder=folder))

    def argv(self, command, *words):
        """Of ours. ``connect`` has ssh read ``config``, and find sshd where it is."""
        words = list(words)
        if command == "connect":
            at = next(n for n, word in enumerate(words) if "@" in word) + 1
            words[at:at] = ["-F", str(self.config), "-p", str(self.port)]
        return [sys.executable, "-m", "ssm_plugin", command] + words

    def run(self, command, *words, **options):
        return self.call(self.argv(command, *words), **options)

    def call(self, argv, env=(), **options):
        """``env`` are more variables."""
        return program.run(argv, TIME_LIMIT, env=dict(self.environ, **dict(env)), **options)

    def wait_until_nothing_is_left(self):
        """Of what was made for a run."""
        deadline, tick = time.monotonic() + TIME_LIMIT, threading.Event()
        while os.listdir(str(self.scratch)):
            assert time.monotonic() < deadline, os.listdir(str(self.scratch))
            tick.wait(0.02)

    def pushes(self):
        return len(self.service.instance_connect.calls("SendSSHPublicKey"))

    def make_key(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.check_call(command)
        return path

    def configure(self, *words):
        """With the block that ``ssh-config`` prints; a path to give ssh, scp and others."""
        done = self.run("ssh-config", "--user", getpass.getuser(), *words)
        assert (done.returncode, done.stderr) == (0, b"")
        ours = "%s -m ssm_plugin ssh" % shlex.quote(sys.executable)
        block = done.stdout.decode().replace("ssm-plugin ssh", ours)
        path = self.folder / "block"
        more = "    Port %d\n    BatchMode yes\n    StrictHostKeyChecking accept-new\n" % self.port
        path.write_text(_CLIENT.format(folder=self.folder) + block + more)
        return str(path)
