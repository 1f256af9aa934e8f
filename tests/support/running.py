"""Whole sessions inside the test's process, each on a thread of its own::

    with local_service() as service, RunningSession(service) as running:
        running.expect(b"$ ")
        running.send(b"exit\\n")
        assert running.finish() == 0

All time limits are seconds; passing one is an AssertionError.
"""

import queue
import threading
import time
import uuid

from ssm_plugin.aws.client import ServiceClient
from ssm_plugin.aws.credentials import CredentialProvider
from ssm_plugin.config import NetworkSettings
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType

TARGET = "i-0123456789abcdef0"
TIME_LIMIT = 40.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "of-no-value"}
NETWORK = NetworkSettings(connect_timeout=5.0, ping_interval=5.0, reconnect_timeout=20.0)


def service_client(service, network=NETWORK, **options):
    return ServiceClient(
        CredentialProvider(environ=dict(KEYS)),
        "us-east-1",
        service.endpoint_url,
        network,
        dict(KEYS),
        **options
    )


class RunningSession:
    """At the local service ``local``. ``faults`` hold from the first moment on. ``parameters``: one
    value each. ``on_output`` takes the output, which is not kept then. ``environment`` are fields
    of ``Environment``.

    What came: ``output``, ``errors`` (stderr), ``notices``. What became of it, after ``finish``:
    ``outcome``, and of it ``status``, or ``error``. ``at_service`` is the gateway's side.
    """

    def __init__(
        self,
        local,
        document="",
        parameters=None,
        session_type=SessionType.STANDARD_STREAM,
        faults="",
        network=NETWORK,
        reads_input=True,
        on_output=None,
        **environment
    ):
        values = {name: [value] for name, value in (parameters or {}).items()}
        request = StartRequest(TARGET, document, values, "test")
        self.at_service = local.gateway.start_session(request)
        if faults:
            self.at_service.misbehave(faults)
        self.output = bytearray()
        self.errors = bytearray()
        self.notices = bytearray()
        self.status = None
        self.error = None
        self.outcome = None
        self._on_output = on_output
        self._seen = 0
        self._changed = threading.Condition()
        self._input = queue.Queue()
        self._reading = None  # the thread that waits for our input: nobody else can wake it
        config = SessionConfig(
            self.at_service.session_id,
            local.gateway.stream_url(self.at_service),
            self.at_service.token,
            TARGET,
            document or None,
            values,
        )
        client_config = ClientConfig(
            str(uuid.uuid4()),
            session_type,
            self._read if reads_input else None,
            self._take_output,
        )
        environment.setdefault("service", service_client(local, network))
        environment.setdefault("streams", CallableStreams(self._take_notice, self._take_error))
        self.session = Session(
            config,
            client_config,
            environment=Environment(network=network, environ={}, **environment),
        )
        self._thread = threading.Thread(target=self._run, name="test-session", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.session.end(0)
        self._input.put(b"")
        self._thread.join(TIME_LIMIT)
        if self._reading:
            self._reading.join(TIME_LIMIT)

    def send(self, data):
        self._input.put(data)

    def expect(self, wanted, timeout=TIME_LIMIT):
        """Wait for ``wanted`` in the output; all new output up to and with it."""
        self.wait_for(lambda: self.output.find(wanted, self._seen) >= 0, timeout)
        start = self._seen
        self._seen = self.output.index(wanted, start) + len(wanted)
        return bytes(self.output[start:self._seen])

    def wait_for(self, condition, timeout=TIME_LIMIT):
        """Wait for what depends on what came here."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                over = self.status is not None or self.error is not None
                assert left > 0 and not over, self._state()
                self._changed.wait(left)

    def ended(self, timeout):
        """Whether it has, within so long."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def finish(self, timeout=TIME_LIMIT):
        """Wait for the end; the exit status, or what was raised is raised again."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the session does not end; " + self._state()
        if self.error is not None:
            raise self.error
        return self.status

    def _run(self):
        status = error = None
        try:
            self.session.execute()
            self.outcome = self.session.wait()
            status, error = self.outcome.status, self.outcome.error
        except BaseException as caught:
            error = caught
        with self._changed:
            self.status, self.error = None if error else status, error
            self._changed.notify_all()

    def _read(self):
        self._reading = threading.current_thread()
        return self._input.get()

    def _take_output(self, data):
        if self._on_output:
            self._on_output(data)
        else:
            self._append(self.output, data)

    def _take_error(self, data):
        self._append(self.errors, data)

    def _take_notice(self, data):
        self._append(self.notices, data)

    def _append(self, buffer, data):
        with self._changed:
            buffer += data
            self._changed.notify_all()

    def _state(self):
        return "status {}, error {!r}, {} connections, {} bytes of output, the last {!r}".format(
            self.status,
            self.error,
            self.at_service.connections,
            len(self.output),
            bytes(self.output[-200:]),
        )
