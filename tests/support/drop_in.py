"""The drop-in as the AWS CLI calls it, for sessions of a local service::

    with local_service() as service:
        drop_in = DropIn(tmp_path, service)
        done = drop_in.run(drop_in.start(), stdin=b"hostname; exit\\n")
        assert done.status == 0
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from ssm_plugin.loopback.gateway_session import StartRequest

from . import program
from .aws_home import AwsHome
from .pty import ROOT, PtyProcess

VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"
NAME = "session-manager-plugin"
TARGET = "i-demo"
REGION = "us-east-1"
TIME_LIMIT = 40.0

_PROGRAM = """\
#!{python}
import sys
from ssm_plugin.cli import main
sys.exit(main())
"""


def with_built_file(environ, zipapp, path=None):
    """``environ`` with the built file on PATH, and the code cache that its tests fill together: a
    start that compiles all of it takes a second of a core. ``path``: what else is on PATH."""
    path = os.environ["PATH"] if path is None else path
    more = {"PATH": "%s:%s" % (zipapp.parent, path), "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    more.update((k, v) for k, v in os.environ.items() if k.startswith("COVERAGE_"))
    return dict(environ, **more)


class Finished(NamedTuple):
    status: int
    stdout: bytes
    stderr: bytes


class Started(NamedTuple):
    """A session that waits for its client; ``request`` is what it was started with."""

    session: object
    response: dict
    request: dict

    @property
    def session_id(self):
        return self.session.session_id


class DropIn:
    """``program`` is an argv; without it, an installed console script's like, of this checkout.

    ``environ`` has a home, keys, and nothing of the environment that the tests run in.
    """

    def __init__(self, folder, service=None, program=None):
        self.service = service
        self.home = AwsHome(folder)
        self.environ = dict(
            self.home.environ,
            AWS_ACCESS_KEY_ID="AKIADEMODEMODEMODEMO",
            AWS_SECRET_ACCESS_KEY="demo-secret-key-of-no-value",
            LC_ALL="C.UTF-8",
        )
        self.program = list(program or [sys.executable, str(self._script())])

    def start(self, document="", parameters=None):
        session = self.service.gateway.start_session(
            StartRequest(TARGET, document, parameters or {}, "")
        )
        request = {"Target": TARGET}
        if document:
            request.update(DocumentName=document, Parameters=parameters or {})
        response = {
            "SessionId": session.session_id,
            "StreamUrl": self.service.gateway.stream_url(session),
            "TokenValue": session.token,
        }
        return Started(session, response, request)

    def argv(self, started, first=VARIABLE):
        """What the AWS CLI calls; ``first`` is the response, or the variable that holds it."""
        return self.program + [
            first, REGION, "StartSession", "", json.dumps(started.request),
            self.service.endpoint_url,
        ]

    def variables(self, started, **more):
        return dict(self.environ, **dict({VARIABLE: json.dumps(started.response)}, **more))

    def run(self, started, stdin=b"", **more):
        """To its end, without a terminal; ``more`` are further variables."""
        return self.call(self.argv(started), stdin, self.variables(started, **more))

    def call(self, argv, stdin=b"", environ=None):
        process = self.spawn(argv, environ=environ)
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=TIME_LIMIT)
            finally:
                process.poll() is None and process.kill()
        return Finished(process.returncode, stdout, stderr)

    def spawn(self, argv, environ=None, **options):
        """A process without a terminal, on pipes unless ``options`` say otherwise."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return program.start(
            argv,
            env=dict(self.environ if environ is None else environ, PYTHONPATH=ROOT),
            start_new_session=True,
            **dict(pipes, **options)
        )

    def on_terminal(self, started, **options):
        """On a terminal of its own, with the signals ignored that the AWS CLI ignores."""
        environ = self.variables(started, **options.pop("more", {}))
        return PtyProcess(self.argv(started), env=environ, **options)

    def wait_until_over(self):
        self.service.wait_for(lambda: not self.service.open_sessions())

    def _script(self):
        path = self.home.bin / NAME
        path.write_text(_PROGRAM.format(python=sys.executable))
        path.chmod(0o755)
        return path
