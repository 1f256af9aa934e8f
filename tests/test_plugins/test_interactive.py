"""The shell plugin inside a program that embeds us: no terminal, callables in place of streams."""

import queue

import pytest

from ssm_plugin.channel.events import Started
from ssm_plugin.errors import SessionPropertyError
from ssm_plugin.plugins.interactive import ShellPlugin, ShellRunner
from ssm_plugin.plugins.interactive_input import (
    TYPE_AHEAD,
    HelpWanted,
    InputEnded,
    InputPump,
    KeyPump,
)
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.session import Session
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
from ssm_plugin.transport.worker import Worker
from ssm_plugin.wire import payloads
from tests.support.drop_in import TARGET, DropIn
from tests.support.service import local_service

CONFIG = SessionConfig("s-1", "ws://127.0.0.1:1/", "token")


def test_it_serves_shells_and_interactive_commands():
    types = ShellPlugin().get_supported_session_types()
    assert types == [SessionType.STANDARD_STREAM, SessionType.INTERACTIVE_COMMANDS]


@pytest.mark.parametrize(
    "session_type", [SessionType.STANDARD_STREAM, SessionType.INTERACTIVE_COMMANDS]
)
def test_it_makes_sessions_of_the_type_that_is_expected(session_type):
    session = ShellPlugin().create_session(CONFIG, ClientConfig("c-1", session_type))
    assert session.client_config == ("c-1", session_type, None, None)


@pytest.mark.parametrize("field", ["session_id", "stream_url", "token_value"])
def test_a_session_without_what_it_needs_is_refused(field):
    with pytest.raises(SessionPropertyError) as caught:
        ShellPlugin().validate_session_properties(CONFIG._replace(**{field: ""}))
    assert field in str(caught.value)


def embedded(started, service, read, streams, **environment):
    gateway = service.gateway
    return Session(
        SessionConfig(
            started.session_id, gateway.stream_url(started.session), started.session.token, TARGET
        ),
        ClientConfig("c-1", SessionType.STANDARD_STREAM, *read),
        environment=Environment(streams=streams, **environment),
    )


def test_input_and_output_may_be_callables(tmp_path):
    pieces = [b"echo $((6*7))\n", b"exit\n"]
    output = []
    with local_service() as service:
        started = DropIn(tmp_path, service).start()
        read = (lambda: pieces.pop(0) if pieces else b"", output.append)
        streams = CallableStreams(lambda data: None)
        session = embedded(started, service, read, streams, silent=True)
        session.execute()
        assert session.wait(15) == (0, None, "", None)
        service.wait_for(lambda: started.session.is_over)
    assert b"\r\n42\r\n" in b"".join(output)


def test_without_any_input_the_session_lasts_as_long_as_the_node_wants(tmp_path):
    notices = []
    with local_service(shell=("sh", "-c", "echo hello")) as service:
        started = DropIn(tmp_path, service).start()
        session = embedded(started, service, (), CallableStreams(notices.append))
        session.execute()
        assert session.wait(15) == (0, None, "", None)
    assert b"".join(notices) == (
        "\nStarting session with SessionId: {0}\nhello\r\n"
        "\n\nExiting session with sessionId: {0}.\n\n"
    ).format(started.session_id).encode("ascii")


# The parts that read


class Recorder:
    """In place of a session: ``sent`` are the pieces that went to its channel, which takes nothing
    while ``stuck``."""

    def __init__(self):
        self.events = queue.Queue()
        self.channel = self
        self.sent = queue.Queue()
        self.stuck = queue.Queue()
        self.ended = []

    def send_input_data(self, data):
        self.sent.put(data)
        self.stuck.get(timeout=10)

    def tell(self, event):
        self.events.put(event)

    def leave_soon(self, status):
        self.ended.append("soon")

    def end(self, status):
        self.ended.append(status)


def reader(*pieces):
    pieces = list(pieces)
    return lambda: pieces.pop(0)


def run(pump):
    failures = queue.Queue()
    worker = Worker("pump", pump.run, failures.put)
    worker.start()
    assert worker.join(10)
    assert failures.empty()


@pytest.mark.parametrize(
    "last, line_open",
    [(b"x", True), (b"x\n", False), (b"x\r", False), (b"x\x04", False), (b"", False)],
)
def test_the_end_of_input_tells_whether_a_line_is_unfinished(last, line_open):
    session = Recorder()
    session.stuck.put(None)
    run(InputPump(session, reader(last, b"")))
    event = session.events.get_nowait()
    assert isinstance(event, InputEnded)
    assert event.line_open is line_open


def test_input_that_nobody_wants_any_more_has_no_end():
    session = Recorder()
    session.stuck.put(None)
    run(InputPump(session, reader(b"x", None)))
    assert session.events.empty()


def test_keys_are_looked_at_while_the_channel_takes_none():
    session = Recorder()
    pump = KeyPump(session, reader(b"a", b"b\r~?", b"~", b".", None))
    run(pump)
    assert isinstance(session.events.get_nowait(), HelpWanted)
    assert session.ended == ["soon", 0]
    assert session.sent.get(timeout=10) == b"a"
    assert session.sent.empty()
    session.stuck.put(None)
    assert session.sent.get(timeout=10) == b"b\r"
    session.stuck.put(None)
    pump.stop()


def test_what_is_typed_once_the_session_has_ended_holds_up_nobody():
    session = Recorder()
    pump = KeyPump(session, reader(*[b"x"] * (TYPE_AHEAD + 2), None))
    pump.stop()
    run(pump)
    assert session.sent.empty()


def test_a_tilde_that_was_held_back_goes_out_at_the_end():
    session = Recorder()
    session.stuck.put(None)
    run(KeyPump(session, reader(b"~", b"")))
    assert session.sent.get(timeout=10) == b"~"
    assert isinstance(session.events.get(timeout=10), InputEnded)


def test_output_that_is_neither_data_nor_errors_is_left_alone():
    written = []
    config = ClientConfig("c-1", SessionType.STANDARD_STREAM)
    session = ShellPlugin().create_session(CONFIG, config)
    session.use(Environment(streams=CallableStreams(written.append, written.append)))
    runner = ShellRunner(session, Started("", {}, "", "", False))
    runner.output(payloads.EXIT_CODE, b"EXIT_CODE: 0")
    runner.output(payloads.STDERR, b"err")
    runner.output(payloads.OUTPUT, b"out")
    assert written == [b"err", b"out"]
