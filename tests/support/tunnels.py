"""Tunnels at a local service: in this process, and as a command.

All time limits are seconds; passing one is an AssertionError.
"""

import json
import queue
import subprocess
import sys
import threading
import time

from ssm_plugin.forwarding.reports import Report
from ssm_plugin.forwarding.specification import parse_forward
from ssm_plugin.forwarding.tunnel import Tunnel
from ssm_plugin.session.environment import Environment
from ssm_plugin.transport.worker import WorkerFailed

from . import program
from .drop_in import DropIn
from .pty import ROOT
from .running import NETWORK, TARGET, service_client

TIME_LIMIT = 40.0


class RunningTunnel:
    """``forward`` as on the command line. ``make_environment`` in place of the usual one;
    ``options`` are further arguments of ``Tunnel``."""

    def __init__(
        self,
        service,
        forward,
        once=False,
        make_environment=None,
        network=NETWORK,
        document_name=None,
        **options
    ):
        self.service = service
        self.reports = queue.Queue()
        self.seen = []
        self._network = network
        wanted = parse_forward(forward)
        self.local_end = wanted.listen()
        self.tunnel = Tunnel(
            wanted.request(TARGET, document_name),
            wanted.destination(TARGET),
            self.local_end,
            make_environment or self.environment,
            self.reports.put,
            once,
            **options
        )

    def environment(self):
        client = service_client(self.service, self._network)
        return Environment(client, self._network, environ={})

    def __enter__(self):
        self.tunnel.start()
        return self

    def __exit__(self, *exception):
        self.tunnel.stop(0)
        try:
            assert self.tunnel.join(TIME_LIMIT)
        finally:
            self.local_end.close()

    @property
    def address(self):
        return self.tunnel.address

    def wait_for(self, kind):
        """The next report of that kind; others are passed over."""
        deadline = time.monotonic() + TIME_LIMIT
        while True:
            try:
                event = self.reports.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError("no %s; %r" % (kind, self.seen)) from None
            self.seen.append(event)
            if isinstance(event, WorkerFailed):
                raise event.error
            if isinstance(event, Report) and event.kind == kind:
                return event


class ForwardCommand:
    """``ssm-plugin forward`` with ``arguments``, and its events. ``demo``: of ``demo forward``.

    ``stderr`` grows while it runs; ``status`` is there after :meth:`finish`.
    """

    def __init__(self, folder, service, *arguments, **options):
        home = folder / ("home%d" % len(list(folder.glob("home*"))))
        home.mkdir()
        environ = dict(DropIn(home, service).environ, PYTHONPATH=ROOT)
        if service is not None:
            environ.update(AWS_ENDPOINT_URL=service.endpoint_url, AWS_REGION="us-east-1")
        environ.update(options.pop("more", {}))
        words = ["forward"] if service is not None else ["demo", "forward"]
        self.events = []
        self.stderr = b""
        self._changed = threading.Condition()
        self.process = program.start(
            [sys.executable, "-m", "ssm_plugin"] + words + list(arguments),
            stdin=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
            **dict({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, **options)
        )
        self._threads = [
            threading.Thread(target=read, daemon=True)
            for read, pipe in (
                (self._read_events, self.process.stdout),
                (self._read_errors, self.process.stderr),
            )
            if pipe is not None
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.finish()
        finally:
            self.process.kill()

    def wait_for(self, condition):
        """Until it holds, of what came here."""
        with self._changed:
            assert self._changed.wait_for(condition, TIME_LIMIT), (self.events, self.stderr)

    def wait_until(self, condition):
        """The same, of what no event tells, such as a file."""
        deadline = time.monotonic() + TIME_LIMIT
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline, (self.events, self.stderr)
                self._changed.wait(0.02)

    def event(self, kind, number=1):
        """The ``number``-th event of that kind."""
        self.wait_for(lambda: len(self._of(kind)) >= number)
        return self._of(kind)[number - 1]

    def said(self, text):
        self.wait_for(lambda: text in self.stderr)

    def finish(self, signum=None):
        """The exit status, after that signal if there is one."""
        if signum is not None:
            self.process.send_signal(signum)
        status = self.process.wait(TIME_LIMIT)
        for thread in self._threads:
            thread.join(TIME_LIMIT)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status

    def _of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    def _read_events(self):
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line.decode("utf-8")))
                self._changed.notify_all()

    def _read_errors(self):
        for line in self.process.stderr:
            with self._changed:
                self.stderr += line
                self._changed.notify_all()
