import datetime
import queue
import threading

import pytest

from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.channel.role import Role
from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import ConnectError, StateError, UpgradeError, UsageError
from ssm_plugin.loopback.gateway_session import StartRequest
from ssm_plugin.session.connector import OwnDataChannel
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType
from tests.support.service import local_service

from .plugins import OtherChannel

LIMIT = 15
CONFIG = SessionConfig("s-1", "wss://ssmmessages.eu-west-1.amazonaws.com/", "the-token", "i-1")
CLIENT = ClientConfig("c-1", SessionType.STANDARD_STREAM)

PROPERTIES = {
    "session_id",
    "status",
    "session_type",
    "created_at",
    "client_id",
    "stream_url",
    "has_data_channel",
    "data_channel_open",
}


def quiet():
    """An environment without streams of its own."""
    return Environment(streams=CallableStreams(bytes, bytes), silent=True)


# --- What it says of itself


def test_a_new_session_waits():
    session = Session(CONFIG, CLIENT, environment=quiet())
    assert session.status is SessionStatus.CREATED
    assert session.session_id == "s-1"
    assert session.stream_url == CONFIG.stream_url
    assert session.token_value == "the-token"
    assert session.data_channel is None


def test_its_properties_are_these_and_never_the_token():
    before = datetime.datetime.now(datetime.timezone.utc)
    session = Session(CONFIG, CLIENT, environment=quiet())
    properties = session.get_session_properties()
    assert set(properties) == PROPERTIES
    created = datetime.datetime.strptime(
        properties.pop("created_at")[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z"
    )
    assert abs((created - before).total_seconds()) < 5
    assert properties == {
        "session_id": "s-1",
        "status": "Created",
        "session_type": "Standard_Stream",
        "client_id": "c-1",
        "stream_url": CONFIG.stream_url,
        "has_data_channel": False,
        "data_channel_open": False,
    }
    assert "the-token" not in repr(session) + str(session) + repr(properties)


# --- With somebody else's data channel


def test_a_data_channel_that_was_given_is_opened_and_closed():
    session = Session(CONFIG, CLIENT, environment=quiet())
    channel = OtherChannel()
    session.set_data_channel(channel)
    assert session.data_channel is channel
    assert session.get_session_properties()["has_data_channel"]
    session.execute()
    assert session.status is SessionStatus.CONNECTED
    assert session.get_session_properties()["data_channel_open"]
    assert session.open_data_channel(), "it is open already"
    session.terminate_session()
    assert session.status is SessionStatus.TERMINATED
    assert channel.closed == 1


def test_a_data_channel_that_does_not_open_is_a_failure():
    session = Session(CONFIG, CLIENT, environment=quiet())
    session.set_data_channel(OtherChannel(opens=False))
    with pytest.raises(ConnectError, match="s-1"):
        session.execute()
    assert session.status is SessionStatus.FAILED
    assert session.data_channel.closed == 1


def test_a_session_is_executed_once():
    session = Session(CONFIG, CLIENT, environment=quiet())
    session.set_data_channel(OtherChannel())
    session.execute()
    with pytest.raises(StateError):
        session.execute()
    assert session.status is SessionStatus.CONNECTED
    session.terminate_session()


def test_a_session_may_be_terminated_before_it_began_and_again():
    session = Session(CONFIG, CLIENT, environment=quiet())
    for _ in range(3):
        session.terminate_session()
        assert session.status is SessionStatus.TERMINATED
    with pytest.raises(StateError):
        session.execute()
    assert session.status is SessionStatus.TERMINATED


def test_a_failed_session_may_be_terminated_and_stays_failed():
    session = Session(CONFIG, CLIENT, environment=quiet())
    session.set_data_channel(OtherChannel(opens=False))
    with pytest.raises(ConnectError):
        session.execute()
    session.terminate_session()
    assert session.status is SessionStatus.FAILED


def test_a_channel_of_our_own_may_be_given_with_its_dial():
    def dial():
        raise ConnectError("refused")

    session = Session(CONFIG, CLIENT, environment=quiet())
    events = queue.Queue()
    protocol = ChannelProtocol(Role.CLIENT)
    session.set_data_channel(OwnDataChannel(protocol, events.put, events.qsize, dial))
    with pytest.raises(ConnectError, match="refused"):
        session.execute()
    assert session.status is SessionStatus.FAILED


# --- With a node


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


class Node:
    """A session with the local service's node, not executed yet; input by ``type``."""

    def __init__(self, service, session_type=SessionType.STANDARD_STREAM, document=None):
        self.output = b""
        self.notices = b""
        self.changed = threading.Condition()
        self._input = queue.Queue()
        self.gateway_session = service.gateway.start_session(
            StartRequest("i-demo", document or "", {}, "test")
        )
        self.config = SessionConfig(
            self.gateway_session.session_id,
            service.gateway.stream_url(self.gateway_session),
            self.gateway_session.token,
            "i-demo",
        )
        self.streams = CallableStreams(self._add_notice, self._add_notice)
        client = ClientConfig("c-1", session_type, self._input.get, self._add_output)
        self.session = Session(self.config, client, environment=Environment(streams=self.streams))

    def type(self, data):
        self._input.put(data)

    def start(self):
        """Connect; it lives in a thread of its own."""
        self.session.execute()

    def wait_for(self, wanted):
        with self.changed:
            assert self.changed.wait_for(lambda: wanted in self.output, LIMIT), self.output

    def join(self):
        """The exit status, or the error."""
        self._input.put(b"")
        outcome = self.session.wait(LIMIT)
        assert outcome is not None, "it does not end"
        return outcome.error or outcome.status

    def _add_output(self, data):
        with self.changed:
            self.output += data
            self.changed.notify_all()

    def _add_notice(self, data):
        self.notices += data


def test_a_shell_runs_from_its_start_to_its_end(service):
    node = Node(service)
    node.start()
    node.type(b"echo one$((1+1))three; exit\n")
    node.wait_for(b"one2three")
    assert node.join() == 0
    assert node.session.status is SessionStatus.TERMINATED
    session_id = node.session.session_id.encode("ascii")
    assert node.notices == (
        b"\nStarting session with SessionId: " + session_id + b"\n"
        b"\n\nExiting session with sessionId: " + session_id + b".\n\n"
    )
    assert not node.session.get_session_properties()["data_channel_open"]


def test_while_it_runs_a_session_is_connected_and_says_so(service):
    node = Node(service)
    node.start()
    node.type(b"echo here$((0))\n")
    node.wait_for(b"here0")
    assert node.session.status is SessionStatus.CONNECTED
    assert node.session.get_session_properties()["data_channel_open"]
    node.type(b"exit\n")
    assert node.join() == 0


def test_a_running_session_is_terminated_from_another_thread(service):
    node = Node(service)
    node.start()
    node.type(b"echo here$((0))\n")
    node.wait_for(b"here0")
    node.session.terminate_session()
    node.session.terminate_session()
    assert node.join() == 0
    assert node.session.status is SessionStatus.TERMINATED


def test_a_session_that_ends_itself_gives_the_status_that_was_asked_for(service):
    node = Node(service)
    node.start()
    node.session.end(42, "A line of its own\n")
    assert node.join() == 42
    assert node.notices.endswith(b"A line of its own\n")


def test_what_a_handler_raises_ends_the_session_and_is_in_its_outcome(service):
    broken = ValueError("broken handler")

    def fail(data):
        raise broken

    node = Node(service)
    client = ClientConfig("c-1", SessionType.STANDARD_STREAM, node._input.get, fail)
    node.session = Session(node.config, client, environment=Environment(streams=node.streams))
    node.start()
    assert node.join() is broken
    assert node.session.status is SessionStatus.FAILED


def test_a_token_that_is_not_good_is_refused(service):
    node = Node(service)
    config = node.config._replace(token_value="wrong")
    session = Session(config, CLIENT, environment=quiet())
    session.execute()
    error = session.wait(LIMIT).error
    assert error is not None
    assert "wrong" not in str(error)
    assert session.status is SessionStatus.FAILED
    node.session.terminate_session()


def test_a_stream_url_that_leads_elsewhere_is_refused_before_the_token_leaves():
    session = Session(
        CONFIG._replace(stream_url="wss://evil.example/x"), CLIENT, environment=quiet()
    )
    with pytest.raises(UsageError, match="evil.example"):
        session.execute()
    assert session.status is SessionStatus.FAILED


def test_a_gateway_that_refuses_the_upgrade_is_a_failure(service):
    node = Node(service)
    url = node.config.stream_url.replace(node.config.session_id, "no-such-session")
    network = NetworkSettings(connect_timeout=5.0)
    session = Session(
        node.config._replace(stream_url=url), CLIENT, environment=quiet()._replace(network=network)
    )
    with pytest.raises(UpgradeError):
        session.execute()
    assert session.status is SessionStatus.FAILED
    node.session.terminate_session()
