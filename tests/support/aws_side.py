"""All that AWS is to a client, on this machine: API, keys, gateway, nodes, TLS, a proxy, a home.

    with AwsSide(tmp_path, tls=True, login="ann:secret") as aws:
        aws.profile_with_credential_process()
        with PtyProcess(OURS + ["shell", TARGET], env=aws.environ) as program:
            program.expect(PROMPT)

Unless told otherwise, a request that is not signed with ``SECRET_KEY`` is refused.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple
from urllib.parse import quote

from ssm_plugin.loopback.agent import agent_factory
from ssm_plugin.loopback.agent_handshake import Encryption
from ssm_plugin.loopback.agent_work import AgentOptions
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.loopback.service import LocalService
from ssm_plugin.wire import message, payloads
from tests.support.connect_proxy import ConnectProxy
from tests.support.throw_away_authority import NAMES, ThrowAwayAuthority

from . import program
from .aws_home import AwsHome
from .pty import ROOT

TARGET = "i-demo"
REGION = "eu-west-1"
ACCESS_KEY = "AKIAWHOLEAWSSIDETEST"
SECRET_KEY = "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"
SESSION_TOKEN = "IQoJb3JpZ2luX2VjEAwaCWV1LXdlc3QtMSJHMEUCIQ//wEXAMPLE=="
KEY_ID = "arn:aws:kms:eu-west-1:000000000000:key/5e1e23a5-0000-4000-8000-000000000001"

PROMPT = b"ready> "
SHELL = ("env", "PS1=" + PROMPT.decode(), "/bin/sh")
OURS = [sys.executable, "-m", "ssm_plugin"]

class AwsSide:
    """``tls``: https and wss under a private CA, for ``names``. ``login`` (``user:password``): the
    client is sent through a proxy that wants it. ``kms``: sessions are encrypted; a dict of what
    ``Encryption`` takes besides the key. ``options`` are fields of ``AgentOptions`` and arguments
    of ``LocalService``.

    ``environ`` is what a client needs; ``service``, ``kms``, ``proxy``, ``home`` are the parts.
    ``sent`` holds the output messages as the agent sent them. ``damage``, if set, gets the number
    of each and its payload, and returns the payload that goes out in its place.
    """

    def __init__(self, folder, tls=False, login=None, kms=None, names=NAMES, **options):
        self._exits = contextlib.ExitStack()
        self._login = login
        self.home = AwsHome(folder)
        self.authority = None
        if tls:
            (folder / "ca").mkdir()
            self.authority = ThrowAwayAuthority(str(folder / "ca"), names)
            options["tls"] = self.authority.server_context()
        if kms is not None:
            # Looked up late, so that a test may put another one in its place.
            decrypt = lambda ciphertext, context: self.decrypt(ciphertext, context)  # noqa: E731
            options["encryption"] = Encryption(KEY_ID, decrypt, **kms)
        options.setdefault("shell", SHELL)
        options.setdefault("secret_keys", {ACCESS_KEY: SECRET_KEY})
        options.setdefault("require_signatures", True)
        fields = {name: options.pop(name) for name in AgentOptions._fields if name in options}
        self._agents = agent_factory(AgentOptions(**fields))
        self._options = options
        self.environ = {}
        self.sent = []
        self.damage = None

    def __enter__(self):
        service = LocalService(self._start_agent, **self._options)
        with contextlib.ExitStack() as exits:
            self.service = exits.enter_context(service)
            self.kms = self.service.kms
            self.proxy = exits.enter_context(ConnectProxy(password=self._login))
            self._exits = exits.pop_all()
        self.environ = self._environ()
        return self

    def __exit__(self, *exception):
        return self._exits.__exit__(*exception)

    def _environ(self):
        environ = dict(self.home.environ, AWS_DEFAULT_REGION=REGION, LC_ALL="C.UTF-8")
        environ["AWS_ENDPOINT_URL"] = self.service.endpoint_url
        if self.authority:
            environ["AWS_CA_BUNDLE"] = self.authority.ca_file
        if self._login:
            user, _, password = self._login.partition(":")
            login = "%s:%s" % (quote(user, safe=""), quote(password, safe=""))
            environ["HTTPS_PROXY"] = "http://%s@127.0.0.1:%d" % (login, self.proxy.port)
        return environ

    def _start_agent(self, session, link):
        return self._agents(session, _Tap(link, self))

    def decrypt(self, ciphertext, context):
        return self.kms.decrypt(ciphertext, context)

    # What a client may have

    def configure(self, text):
        """Our own configuration file."""
        path = self.home.path / "ssm-plugin.yaml"
        path.write_text(text + "\n")
        self.environ["SSM_PLUGIN_CONFIG"] = str(path)

    def keys_in_environment(self, **more):
        """The environment with keys in it."""
        return dict(
            self.environ,
            AWS_ACCESS_KEY_ID=ACCESS_KEY,
            AWS_SECRET_ACCESS_KEY=SECRET_KEY,
            AWS_SESSION_TOKEN=SESSION_TOKEN,
            **more
        )

    def profile_with_credential_process(self, name="ops", before=""):
        """A profile whose program prints the keys, once the shell commands ``before`` have run."""
        document = {
            "Version": 1,
            "AccessKeyId": ACCESS_KEY,
            "SecretAccessKey": SECRET_KEY,
            "SessionToken": SESSION_TOKEN,
        }
        script = "%s\necho '%s'\n" % (before, json.dumps(document))
        program = self.home.program("keys-of-" + name, script)
        self.home.config("[profile %s]\ncredential_process = %s\n" % (name, program))

    def use_plugin(self, zipapp, python=sys.executable):
        """Puts the built file, under ``python``, on PATH as both of its names, with the code cache
        that its tests fill together."""
        script = 'XDG_CACHE_HOME="%s" exec "%s" "%s" "$@"\n'
        for name in ("session-manager-plugin", "ssm-plugin"):
            words = (os.environ["XDG_CACHE_HOME"], python, zipapp.with_name(name))
            self.home.program(name, script % words)

    def started_session(self, document="", **parameters):
        """A session, and StartSession's answer for it, as the AWS CLI passes it on."""
        values = {name: [value] for name, value in parameters.items()}
        request = StartRequest(TARGET, document, values, "")
        session = self.service.gateway.start_session(request)
        return {
            "SessionId": session.session_id,
            "StreamUrl": self.service.gateway.stream_url(session),
            "TokenValue": session.token,
        }

    # What the service has seen

    def verdicts(self):
        """How many requests had which signature; every one must be ``verified``."""
        return self.service.signatures.counts()

    def calls(self):
        """The names of the API calls so far."""
        calls = self.service.ssm.calls() + self.kms.calls()
        return [call.operation for call in calls]

    def wait_until_no_session_is_open(self, seconds=40.0):
        self.service.wait_for(lambda: not self.service.open_sessions(), seconds)


class _Tap:
    """The agent's end of a link, listened to."""

    def __init__(self, link, aws):
        self._link = link
        self._aws = aws

    def __getattr__(self, name):
        return getattr(self._link, name)

    def send(self, messages):
        self._link.send([self._pass(message.parse(one), one) for one in messages])

    def _pass(self, one, frame):
        if one.message_type != message.OUTPUT_STREAM_DATA:
            return frame
        self._aws.sent.append(one)
        if self._aws.damage is None or one.payload_type != payloads.OUTPUT:
            return frame
        payload = self._aws.damage(one.sequence, bytes(one.payload))
        changed = one._replace(payload=payload)
        return message.build(*changed)


def drop_in(response, request=None, profile="", endpoint_url="", program=OURS):
    """What the AWS CLI calls ``program`` with; ``response`` is a dict or text."""
    text = response if isinstance(response, str) else json.dumps(response)
    asked = json.dumps({"Target": TARGET} if request is None else request)
    return program + [text, REGION, "StartSession", profile, asked, endpoint_url]


class Finished(NamedTuple):
    """``seconds`` is how long it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float


def run(argv, environ, stdin=b"", timeout=40.0):
    """A program without a terminal, to its end. The checkout is on its PYTHONPATH."""
    start = time.monotonic()
    process = program.start(
        argv,
        env=dict(environ, PYTHONPATH=ROOT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
    seconds = time.monotonic() - start
    return Finished(process.returncode, stdout.decode(), stderr.decode(), seconds)
