"""Channels, plugins and runners of somebody else's, written to interfaces and events alone."""

import queue
import threading

import pytest

from ssm_plugin.channel.events import ChannelClosed, Output, Started, Terminating
from ssm_plugin.config import NetworkSettings
from ssm_plugin.errors import ConnectionLost, SessionInterrupted, SessionPropertyError
from ssm_plugin.session import timers
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.events import RunnerEvent
from ssm_plugin.session.protocols import IRunner, ISessionPlugin
from ssm_plugin.session.registry import SessionPluginRegistry
from ssm_plugin.session.session import Session
from ssm_plugin.session.session_handler import SessionHandler
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType
from ssm_plugin.terminal.signals import Signalled
from ssm_plugin.transport.data_channel import Disconnected
from tests.support.collected import Collected
from tests.support.threads import threads_left

from .sessions import LIMIT, OtherChannel, quiet

ARGUMENTS = {
    "sessionId": "s-1",
    "streamUrl": "wss://ssmmessages.eu-west-1.amazonaws.com/v1/x",
    "tokenValue": "the-token",
    "sessionType": "Port",
}
STARTED = Started("Port", {"portNumber": "5432"}, "3.3.0.0", "", False)
OUTPUT = 1
LOSS = ConnectionLost("reset")


@pytest.fixture(autouse=True)
def nothing_left():
    before = set(threading.enumerate())
    del runners[:]
    yield
    assert threads_left(before) == []


class Plugin(ISessionPlugin):
    """Its sessions are ours, with a channel of its own."""

    def __init__(self, make_channel, output=None, environment=None):
        self._make_channel = make_channel
        self._output = output
        self._environment = environment or quiet()

    def get_supported_session_types(self):
        return ["Port"]

    def validate_session_properties(self, config):
        return True

    def create_session(self, config, client_config):
        client_config = client_config._replace(output_stream_message_handler=self._output)
        session = Session(config, client_config, environment=self._environment)
        session.set_data_channel(self._make_channel())
        return session


def handler_of(plugin):
    registry = SessionPluginRegistry()
    registry.register_plugin("Port", plugin)
    return SessionHandler(registry)


# --- A channel that only sends


def test_a_channel_of_four_members_is_all_that_a_session_needs():
    channels = []

    def make():
        channels.append(OtherChannel())
        return channels[-1]

    handler = handler_of(Plugin(make))
    one = handler.validate_input_and_start_session(ARGUMENTS)
    other = handler.validate_input_and_start_session(dict(ARGUMENTS, sessionId="s-2"))
    assert one.status is SessionStatus.CONNECTED
    one.data_channel.send_input_data(b"hello")
    assert [channel.sent for channel in channels] == [[b"hello"], []]
    assert [found["data_channel_open"] for found in handler.get_active_sessions()] == [True, True]
    assert one.wait(0.0) is None
    handler.terminate_session("s-1")
    assert one.wait(0.0) == (0, None, "", None)
    assert [found["session_id"] for found in handler.get_active_sessions()] == ["s-2"]
    handler.terminate_all_sessions()
    assert other.status is SessionStatus.TERMINATED
    assert [channel.closed for channel in channels] == [1, 1]


def test_nobody_waits_for_the_first_message_of_a_channel_that_has_none_to_give():
    environment = quiet(network=NetworkSettings(first_output_timeout=0.05))
    handler = handler_of(Plugin(OtherChannel, environment=environment))
    session = handler.validate_input_and_start_session(ARGUMENTS)
    assert session.wait(0.3) is None
    assert session.status is SessionStatus.CONNECTED
    session.terminate_session()
    assert session.status is SessionStatus.TERMINATED


# --- A channel that tells


class TellingChannel(OtherChannel):
    """Says what it is told to say, from the thread that tells it."""

    def __init__(self, **fails):
        super().__init__(**fails)
        self.tell = None
        self.tellers = 0
        self.taken = 0

    def deliver_to(self, tell):
        self._fail("deliver_to")
        self.tellers += 1
        self.tell = tell

    def delivered(self, size):
        self.taken += size
        self._fail("delivered")


def telling_session(channel, runner=None, output=None, environment=None):
    session = Session(
        SessionConfig("s-1", "wss://host/", "t"),
        ClientConfig("c-1", SessionType.PORT, None, output),
        environment=environment or quiet(),
        runner=runner,
    )
    session.set_data_channel(channel)
    return session


def test_without_a_runner_of_its_own_a_plugin_passes_output_on():
    channel, output, notices = TellingChannel(), Collected(), Collected()
    environment = Environment(environ={}, streams=CallableStreams(notices.add, notices.add))
    handler = handler_of(Plugin(lambda: channel, output.add, environment))
    registry_of_session = SessionPluginRegistry()
    registry_of_session.register_plugin("Port", Plugin(lambda: channel))
    session = Session(
        SessionConfig("s-1", "wss://host/", "t"),
        ClientConfig("c-1", SessionType.PORT, None, output.add),
        registry_of_session,
        environment,
    )
    session.set_data_channel(channel)
    session.execute()
    channel.tell(STARTED)
    channel.tell(Output(OUTPUT, b"one "))
    channel.tell(Output(OUTPUT, b"two"))
    channel.tell(ChannelClosed(""))
    assert session.wait(LIMIT) == (0, None, "", None)
    assert (output.data, channel.taken, channel.closed) == (b"one two", 7, 1)
    assert notices.data == (
        b"\nStarting session with SessionId: s-1\n\n\nExiting session with sessionId: s-1.\n\n"
    )
    assert handler.get_active_sessions() == []


@pytest.mark.parametrize("end", [(), (ChannelClosed(""),)])
def test_what_came_before_the_end_has_its_turn_however_late_it_is(monkeypatch, end):
    """The node says that it leaves, and one write of ours takes longer than its last word may."""
    monkeypatch.setattr(timers, "LAST_WORD_LIMIT", 0.0)
    channel, output, is_told = TellingChannel(), Collected(), threading.Event()

    def take(data):
        assert is_told.wait(LIMIT)
        output.add(data)

    registry = SessionPluginRegistry()
    registry.register_plugin("Port", Plugin(lambda: channel))
    session = Session(
        SessionConfig("s-1", "wss://host/", "t"),
        ClientConfig("c-1", SessionType.PORT, None, take),
        registry,
        quiet(),
    )
    session.set_data_channel(channel)
    session.execute()
    outputs = [Output(OUTPUT, text) for text in (b"one ", b"two ", b"three")]
    for event in (STARTED, outputs[0], Terminating(), *outputs[1:], *end):
        channel.tell(event)
    is_told.set()
    assert session.wait(LIMIT) == (0, None, "", None)
    assert output.data == b"one two three"


def test_a_channel_is_told_once_where_its_events_go():
    channel = TellingChannel()
    session = telling_session(channel, Echo)
    assert session.open_data_channel()
    session.execute()
    assert session.open_data_channel()
    assert channel.tellers == 1
    session.terminate_session()


@pytest.mark.parametrize(
    "early, status", [([STARTED, Output(OUTPUT, b"hello")], 0), ([Disconnected(LOSS)], 255)]
)
def test_a_channel_may_tell_of_its_connection_before_it_is_known_to_be_open(early, status):
    """The thread that reads may be faster than the one that has opened the channel."""

    class Fast(TellingChannel):
        def open(self):
            opened = super().open()
            for event in early:
                self.tell(event)
            return opened

    channel, output = Fast(), Collected()
    session = telling_session(channel, passing_on, output.add)
    session.execute()
    if not status:
        output.wait_for(b"hello")
        channel.tell(ChannelClosed(""))
    outcome = session.wait(LIMIT)
    assert outcome.status == status
    assert (LOSS.args[0] in str(outcome.error)) is bool(status)
    assert channel.closed == 1


def passing_on(session, started):
    """What a plugin without a runner of its own makes."""
    return ISessionPlugin.create_runner(None, session, started)


def test_the_reason_for_an_end_is_in_the_outcome():
    channel = TellingChannel()
    session = telling_session(channel, Echo)
    session.execute()
    channel.tell(STARTED)
    channel.tell(ChannelClosed("the node was stopped"))
    outcome = session.wait(LIMIT)
    assert outcome == (255, None, "the node was stopped", None)
    assert session.status is SessionStatus.TERMINATED


def test_an_end_before_the_start_is_a_failure_with_the_reason():
    channel = TellingChannel()
    session = telling_session(channel, Echo)
    session.execute()
    channel.tell(ChannelClosed("no such port"))
    assert "ended session s-1 before it started: no such port" in str(session.wait(LIMIT).error)
    assert session.status is SessionStatus.FAILED


# --- A runner


class Typed(RunnerEvent):
    """Somebody has typed this."""

    def __init__(self, data):
        self.data = data


class Tick(RunnerEvent):
    """It is time for something."""


class Echo(IRunner):
    """Sends back what comes, tells what happens to it, and ends with status 7 at ``bye``."""

    def __init__(self, session, started):
        self.seen = queue.Queue()
        self.session = session
        self.started = started
        self.threads = {threading.current_thread().name}
        self.timer = session.new_timer(lambda: self._saw("due"))
        runners.append(self)

    def start(self):
        self._saw("start")

    def output(self, payload_type, data):
        self._saw((payload_type, data))
        self.session.data_channel.send_input_data(data)
        if data == b"bye":
            self.exit_code = 7
            self.session.end(7)

    def event(self, event):
        self._saw(type(event).__name__)
        if isinstance(event, Typed):
            self.session.data_channel.send_input_data(event.data)
        else:
            self.timer.set(0.01)

    def signalled(self, event):
        self._saw(event)
        return event.signum == 10

    def farewell(self):
        self._saw("farewell")

    def stop(self):
        self._saw("stop")

    def _saw(self, what):
        self.threads.add(threading.current_thread().name)
        self.seen.put(what)

    def next(self):
        return self.seen.get(timeout=LIMIT)


runners = []


class EchoPlugin(Plugin):
    def create_runner(self, session, started):
        return Echo(session, started)


def started_session(registry, channel):
    """A session with this channel, at which a node has opened a port."""
    session = Session(
        SessionConfig("s-1", "wss://host/", "t"),
        ClientConfig("c-1", SessionType.PORT),
        registry,
        quiet(),
    )
    session.set_data_channel(channel)
    session.execute()
    channel.tell(STARTED)
    return session


def test_a_plugin_with_its_own_runner_from_end_to_end():
    channel = TellingChannel()
    registry = SessionPluginRegistry()
    registry.register_plugin("Port", EchoPlugin(lambda: channel))
    session = started_session(registry, channel)
    channel.tell(Output(OUTPUT, b"hello"))
    session.tell(Typed(b"typed"))
    session.tell(Tick())
    session.signal(Signalled(10))
    channel.tell(Output(OUTPUT, b"bye"))
    assert session.wait(LIMIT) == (7, 7, "", None)
    runner = runners.pop()
    seen = []
    while not runner.seen.empty():
        seen.append(runner.seen.get())
    assert [one for one in seen if one != "due"] == [
        "start",
        (OUTPUT, b"hello"),
        "Typed",
        "Tick",
        Signalled(10),
        (OUTPUT, b"bye"),
        "farewell",
        "stop",
    ]
    assert channel.sent == [b"hello", b"typed", b"bye"]
    assert runner.started is STARTED
    assert runner.threads == {"ssm-session"}, "all in one thread"
    properties = session.get_session_properties()
    assert (properties["status"], properties["data_channel_open"]) == ("Terminated", False)


def test_a_timer_is_due_in_the_sessions_thread():
    channel = TellingChannel()
    session = telling_session(channel, Echo)
    session.execute()
    channel.tell(STARTED)
    session.tell(Tick())
    runner = runner_of(session)
    assert [runner.next() for _ in range(3)] == ["start", "Tick", "due"]
    assert runner.threads == {"ssm-session"}
    session.terminate_session()
    assert [runner.next() for _ in range(2)] == ["farewell", "stop"]


def runner_of(session):
    """Once the session has made one, which its first event shows."""
    while not runners:
        assert session.wait(0.01) is None
    return runners.pop()


def test_a_signal_that_the_runner_leaves_alone_ends_the_session():
    channel = TellingChannel()
    session = telling_session(channel, Echo)
    session.execute()
    channel.tell(STARTED)
    session.signal(Signalled(15))
    assert session.wait(LIMIT) == (143, None, "", None)


def test_a_runner_may_end_its_session_by_terminating_it():
    channel = TellingChannel()

    class Terminates(Echo):
        def start(self):
            self.session.terminate_session()

    session = telling_session(channel, Terminates)
    session.execute()
    channel.tell(STARTED)
    assert session.wait(LIMIT).status == 0


def test_a_runner_may_end_its_session_with_any_line():
    channel, notices = TellingChannel(), Collected()
    environment = Environment(environ={}, streams=CallableStreams(notices.add, notices.add))

    class Counts(Echo):
        def start(self):
            self.session.end(3, 'session {session_id}: {"files": {2}}\n')

    session = telling_session(channel, Counts, environment=environment)
    session.execute()
    channel.tell(STARTED)
    assert session.wait(LIMIT) == (3, None, "", None)
    assert notices.data.endswith(b'\nsession s-1: {"files": {2}}\n')


def test_a_type_that_no_plugin_serves_is_a_failure_that_names_it():
    channel = TellingChannel()
    registry = SessionPluginRegistry()
    session = started_session(registry, channel)
    error = session.wait(LIMIT).error
    assert isinstance(error, SessionPropertyError)
    assert "session type Port" in str(error)


# --- What raises


class Oddity(BaseException):
    pass


ODD = Oddity("odd")


@pytest.mark.parametrize("member", ["open", "is_open", "deliver_to"])
@pytest.mark.parametrize("error", [OSError(5, "no"), ValueError("x")], ids=["os", "value"])
def test_a_channel_that_cannot_be_opened_fails_the_session(member, error):
    channel = TellingChannel(**{member: error})
    session = telling_session(channel, Echo)
    with pytest.raises(RuntimeError, match="channel of session s-1 did not open") as caught:
        session.execute()
    assert caught.value.__cause__ is error
    assert session.wait(0.0).error is error
    assert session.status is SessionStatus.FAILED
    assert channel.closed == 1


def test_a_channel_that_breaks_while_it_is_closed_fails_the_session_and_its_owner_hears_of_it():
    error = OSError(5, "no")
    session = telling_session(TellingChannel(close=error), Echo)
    session.execute()
    with pytest.raises(OSError) as caught:
        session.terminate_session()
    assert caught.value is error
    assert session.status is SessionStatus.FAILED
    assert session.wait(0.0) == (255, None, "", error)


@pytest.mark.parametrize("member", ["send_input_data", "delivered"])
def test_a_channel_that_breaks_at_work_fails_the_session(member):
    channel = TellingChannel(**{member: ODD})
    session = telling_session(channel, Echo)
    session.execute()
    channel.tell(STARTED)
    channel.tell(Output(OUTPUT, b"hello"))
    assert session.wait(LIMIT).error is ODD
    assert channel.closed == 1


@pytest.mark.parametrize("method", ["start", "output", "event", "signalled", "closed", "missing"])
def test_a_runner_that_breaks_fails_the_session_and_is_stopped(method):
    def fail(*arguments):
        raise ODD

    channel = TellingChannel()
    session = telling_session(channel, type("Broken", (Echo,), {method: fail}))
    session.execute()
    channel.tell(STARTED)
    channel.tell(Output(OUTPUT, b"hello"))
    session.tell(Tick())
    session.events.put(Signalled(10))
    channel.tell(ChannelClosed(""))
    assert session.wait(LIMIT).error is ODD
    assert session.status is SessionStatus.FAILED
    assert channel.closed == 1
    seen = runners.pop().seen.queue
    assert seen[-1] == "stop"


@pytest.mark.parametrize("method", ["farewell", "stop"])
def test_a_runner_that_breaks_at_the_end_keeps_nothing_else_from_it(method):
    def fail(*arguments):
        raise ODD

    channel = TellingChannel()
    session = telling_session(channel, type("Broken", (Echo,), {method: fail}))
    session.execute()
    channel.tell(STARTED)
    runner = runner_of(session)
    assert runner.next() == "start"
    with pytest.raises(Oddity):
        session.terminate_session()
    assert session.wait(0.0).error is ODD
    assert channel.closed == 1
    assert runner.next() == ("stop" if method == "farewell" else "farewell")


def test_a_runner_that_is_stuck_and_breaks_at_the_end_keeps_nothing_else_from_it():
    go_on = threading.Event()

    class Stuck(Echo):
        def output(self, payload_type, data):
            go_on.wait(LIMIT)

        def stop(self):
            raise ODD

    channel = TellingChannel()
    session = telling_session(channel, Stuck)
    session.execute()
    channel.tell(STARTED)
    channel.tell(Output(OUTPUT, b"hello"))
    session.signal(Signalled(15))
    assert session.wait(LIMIT).error is ODD
    assert session.status is SessionStatus.FAILED
    assert channel.closed == 1
    go_on.set()


def test_a_factory_that_breaks_fails_the_session():
    def fail(session, started):
        raise ODD

    channel = TellingChannel()
    session = telling_session(channel, fail)
    session.execute()
    channel.tell(STARTED)
    assert session.wait(LIMIT).error is ODD


def test_a_channel_that_opens_after_the_end_is_closed_again():
    opening, go_on = threading.Event(), threading.Event()

    class Late(OtherChannel):
        def open(self):
            opening.set()
            assert go_on.wait(LIMIT)
            return super().open()

    channel = Late()
    session = telling_session(channel)
    failures = []

    def execute():
        try:
            session.execute()
        except SessionInterrupted as error:
            failures.append(error)

    before = set(threading.enumerate())
    other = threading.Thread(target=execute)
    other.start()
    assert opening.wait(LIMIT)
    session.terminate_session()
    other.join(LIMIT)
    assert len(failures) == 1
    go_on.set()
    assert threads_left(before) == []
    assert not channel.is_open
