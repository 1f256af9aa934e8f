"""Commands at a local service: in this process, and through the command line.

with local_service() as service:
    result = Node(service).run("uname", "-a")
    done = Cli(tmp_path, service).exec("--", "uname", "-a")
"""

import os
import subprocess
import sys
import threading
import time
from functools import partial

from ssm_plugin.jobs.remote_command import RemoteCommand
from ssm_plugin.jobs.request import CommandRequest
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.streams import CallableStreams

from . import program
from .pty import ROOT
from .running import KEYS, NETWORK, TARGET, service_client
from .threads import wait_until

REGION = "us-east-1"
TIME_LIMIT = 40.0


def give_up_output(service, session, say):
    """Let the agent give up the output of a command, as its client is away and it is told to pause.
    ``say`` lets the command print a little each time that it is called."""
    session.misbehave("refuse-upgrade,pause-away")
    session.drop_connection()
    service.wait_for(lambda: session.state == "Disconnected")
    say()
    service.wait_for(lambda: session.agent_pauses)
    wait_until(lambda: session._agent.link.is_paused)
    say()
    assert session._agent._work._pumps[0].join(TIME_LIMIT)
    session.misbehave("")


class Node:
    """``run`` returns the result and what came: ``result, stdout, stderr``."""

    def __init__(self, service):
        self.environment = Environment(service_client(service), NETWORK, environ={})

    def command(self, *argv, on_output=None, **fields):
        """The command, and the two lists that its output goes to."""
        return self._command(RemoteCommand, argv, on_output, fields)

    def misbehaving(self, service, faults, *argv, on_output=None, **fields):
        """The same, and the node's session has these faults."""
        return self._command(partial(MisbehavingCommand, service, faults), argv, on_output, fields)

    def _command(self, make, argv, on_output, fields):
        outputs = [], []
        streams = CallableStreams(on_output or outputs[0].append, outputs[1].append)
        request = CommandRequest(TARGET, argv, **fields)
        return make(request, self.environment, streams), outputs

    def run(self, *argv, **fields):
        command, (stdout, stderr) = self.command(*argv, **fields)
        result = command.run()
        return result, b"".join(stdout), b"".join(stderr)


class MisbehavingCommand(RemoteCommand):
    """Its session at ``service`` has these ``faults`` from the first moment on."""

    def __init__(self, service, faults, request, environment, streams):
        super().__init__(request, environment, streams)
        self._faults = service, faults

    def _start(self, text):
        session = super()._start(text)
        service, faults = self._faults
        service.session(self.session_id).misbehave(faults)
        return session


class Cli:
    """``ssm-plugin`` with a home of its own and an environment as bare as cron's."""

    def __init__(self, folder, service=None):
        self.environ = dict(
            KEYS, HOME=str(folder), PATH=os.defpath, AWS_REGION=REGION, PYTHONPATH=ROOT
        )
        if service is not None:
            self.environ["AWS_ENDPOINT_URL"] = service.endpoint_url
        self.folder = folder

    def lend_environment(self, monkeypatch):
        """For what runs in the tests' own process: keys and a home where a program looks for
        them."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "HOME"):
            monkeypatch.setenv(name, self.environ[name])
        for name in ("AWS_PROFILE", "SSM_PLUGIN_CONFIG", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)

    def configure(self, text):
        path = self.folder / "ssm-plugin.yaml"
        path.write_bytes(text.encode("utf-8"))
        self.environ["SSM_PLUGIN_CONFIG"] = str(path)

    def argv(self, *words):
        return [sys.executable, "-m", "ssm_plugin"] + list(words)

    def start(self, *words, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return program.start(
            self.argv(*words),
            env=self.environ,
            cwd=str(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *words, **options):
        """Status, stdout, stderr."""
        given = options.pop("input", None)
        if given is not None:
            options["stdin"] = subprocess.PIPE
        with self.start(*words, **options) as process:
            try:
                stdout, stderr = process.communicate(given, timeout=TIME_LIMIT)
            finally:
                if process.poll() is None:
                    process.kill()
        return process.returncode, stdout, stderr

    def exec(self, *words, **options):
        return self.run("exec", TARGET, *words, **options)


def processes_with(mark):
    """Running programs with this text as one of their words. A zombie has none."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append((int(pid), words))
    return found


def wait_until_gone(mark, seconds):
    """Whether all programs with ``mark`` as one of their words end within so long."""
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while processes_with(mark):
        if time.monotonic() > deadline:
            return False
        tick.wait(0.02)  # looking without a pause would slow down what is to end
    return True
