"""What comes over the first connection may be faster than the news that there is one."""

import queue

import pytest

from ssm_plugin.channel.events import ChannelClosed, Output, Started
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.protocols import IRunner
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
from ssm_plugin.transport.data_channel import Disconnected
from ssm_plugin.wire import payloads

from .sessions import OtherChannel

TIME_LIMIT = 15.0
STARTED = Started("Port", {}, "3.3.0.0", "", False)


class HastyChannel(OtherChannel):
    """Tells what came before ``open`` has returned, as any thread that reads may do."""

    def __init__(self, *events):
        super().__init__()
        self._events = events

    def deliver_to(self, tell):
        self._tell = tell

    def open(self):
        for event in self._events:
            self._tell(event)
        return super().open()


class Keeping(IRunner):
    def __init__(self):
        self.data = b""

    def start(self):
        pass

    def output(self, payload_type, data):
        self.data += data


def outcome_after(*events):
    """How a session ends whose first connection brings these, and what it gave to its runner."""
    runner = Keeping()
    session = Session(
        SessionConfig("s-1", "wss://ssmmessages.eu-west-1.amazonaws.com/x", "token"),
        ClientConfig("c", SessionType.PORT),
        environment=Environment(silent=True, environ={}),
        runner=lambda session, started: runner,
    )
    session.set_data_channel(HastyChannel(*events))
    try:
        session.execute()
    finally:
        outcome = session.wait(TIME_LIMIT)
    return outcome, runner.data


def test_a_whole_session_fits_before_the_news():
    output = Output(payloads.OUTPUT, b"all of it")
    outcome, data = outcome_after(STARTED, output, ChannelClosed(""))
    assert (outcome.status, outcome.error, data) == (0, None, b"all of it")


@pytest.mark.parametrize("before", [(), (STARTED,)])
def test_so_does_a_loss(before):
    outcome, _ = outcome_after(*before + (Disconnected(OSError("reset")),))
    assert "reset, and its data channel cannot be resumed" in str(outcome.error)


class Watched(CallableStreams):
    is_watched = True


class Patient(Keeping):
    awaits_output = True


def test_a_person_is_told_all_the_same_what_is_waited_for():
    said = queue.Queue()
    session = Session(
        SessionConfig("s-1", "wss://ssmmessages.eu-west-1.amazonaws.com/x", "token"),
        ClientConfig("c", SessionType.STANDARD_STREAM),
        environment=Environment(streams=Watched(said.put, said.put), environ={}),
        runner=lambda session, started: Patient(),
    )
    session.set_data_channel(HastyChannel(STARTED._replace(session_type="Standard_Stream")))
    session.execute()
    assert b"Starting session" in said.get(timeout=TIME_LIMIT)
    assert b"waiting for the node's first output" in said.get(timeout=TIME_LIMIT)
    session.terminate_session()
