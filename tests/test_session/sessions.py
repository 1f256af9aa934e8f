"""Sessions that a test executes itself, at the local service or with somebody else's channel."""

import socket

from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.protocols import IDataChannel
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
from tests.support.running import NETWORK, TARGET, service_client

LIMIT = 40
CONFIG = SessionConfig("s-1", "wss://ssmmessages.eu-west-1.amazonaws.com/", "the-token", "i-1")
CLIENT = ClientConfig("c-1", SessionType.STANDARD_STREAM)


class OtherChannel(IDataChannel):
    """Has the four members that a channel must have. ``fails`` are errors by member."""

    def __init__(self, opens=True, **fails):
        self.sent = []
        self.closed = 0
        self._opens = opens
        self._open = False
        self._fails = fails

    def open(self):
        self._fail("open")
        self._open = self._opens
        return self._opens

    def send_input_data(self, data):
        self._fail("send_input_data")
        self.sent.append(bytes(data))

    def close(self):
        self.closed += 1
        self._open = False
        self._fail("close")

    @property
    def is_open(self):
        self._fail("is_open")
        return self._open

    def _fail(self, name):
        if name in self._fails:
            raise self._fails[name]


def quiet(**fields):
    """An environment without streams of its own."""
    return Environment(silent=True, environ={}, streams=CallableStreams(bytes, bytes), **fields)


def other_session(channel, **fields):
    session = Session(CONFIG, CLIENT, environment=quiet(**fields))
    session.set_data_channel(channel)
    return session


def arguments_of(at_service, local):
    """What StartSession answered, as a SessionHandler takes it."""
    return {
        "sessionId": at_service.session_id,
        "streamUrl": local.gateway.stream_url(at_service),
        "tokenValue": at_service.token,
        "target": TARGET,
    }


def started_at(local, document=""):
    return local.gateway.start_session(StartRequest(TARGET, document, {}, "test"))


def real_environment(local, **fields):
    """Silent unless told otherwise, with a service that sessions can be terminated at."""
    fields = dict(dict(silent=True, streams=CallableStreams(bytes, bytes)), **fields)
    return Environment(service_client(local), NETWORK, environ={}, **fields)


def session_at(local, output=bytes, read=None, runner=None, environment=None, **changes):
    """A shell at the local service's node. ``output`` takes its output; ``changes`` are of what
    StartSession answered."""
    at_service = started_at(local)
    config = SessionConfig(
        at_service.session_id, local.gateway.stream_url(at_service), at_service.token, TARGET
    )
    return Session(
        config._replace(**changes),
        ClientConfig("c-1", SessionType.STANDARD_STREAM, read, output),
        environment=environment or real_environment(local),
        runner=runner,
    )


class SilentListener:
    """Takes a connection, and never says a word. ``url`` is a stream URL that leads there."""

    def __enter__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1)
        self._listener.settimeout(LIMIT)
        self.url = "ws://127.0.0.1:%d/v1/data-channel/s-1" % self._listener.getsockname()[1]
        return self

    def __exit__(self, *exception):
        self._listener.close()

    def accept(self):
        connection = self._listener.accept()[0]
        connection.settimeout(LIMIT)
        return connection


def read_to_end(connection):
    """Until the peer closes it; TimeoutError if it does not."""
    with connection:
        while connection.recv(65536):
            pass
