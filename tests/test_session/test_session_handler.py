import gc
import threading
import uuid
import weakref

import pytest

from ssm_plugin.errors import (
    ConnectError,
    SessionInterrupted,
    SessionPropertyError,
    UsageError,
)
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.registry import SessionPluginRegistry
from ssm_plugin.session.session import Session
from ssm_plugin.session.session_handler import SessionHandler
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import SessionStatus, SessionType
from tests.support.service import local_service
from tests.support.threads import threads_left

from .plugins import OtherPlugin
from .sessions import (
    LIMIT,
    SilentListener,
    arguments_of,
    quiet,
    read_to_end,
    real_environment,
    started_at,
)

ARGUMENTS = {"sessionId": "s-1", "streamUrl": "wss://host/path", "tokenValue": "the-token"}


def handler(**options):
    registry, plugin = SessionPluginRegistry(), OtherPlugin(**options)
    for name in plugin.get_supported_session_types():
        registry.register_plugin(name, plugin)
    return SessionHandler(registry)


def arguments(**changes):
    found = dict(ARGUMENTS, **changes)
    return {name: value for name, value in found.items() if value is not KeyError}


def test_a_session_is_made_of_the_arguments_and_connected():
    given = arguments(
        target="i-1",
        documentName="doc",
        parameters={"command": ["ls"]},
        sessionType="InteractiveCommands",
        clientId="c-1",
    )
    session = handler().validate_input_and_start_session(given)
    assert session.status is SessionStatus.CONNECTED
    assert session.config == (
        "s-1", "wss://host/path", "the-token", "i-1", "doc", {"command": ["ls"]}
    )
    assert session.client_config[:2] == ("c-1", SessionType.INTERACTIVE_COMMANDS)


def test_three_arguments_are_enough():
    session = handler().validate_input_and_start_session(ARGUMENTS)
    assert session.config == ("s-1", "wss://host/path", "the-token", None, None, {})
    assert session.client_config.session_type is SessionType.STANDARD_STREAM


def test_each_session_has_a_fresh_random_client_id():
    ids = [
        handler().validate_input_and_start_session(ARGUMENTS).client_config.client_id
        for _ in range(3)
    ]
    assert len(set(ids)) == 3
    assert {uuid.UUID(client_id).version for client_id in ids} == {4}
    assert ids == [str(uuid.UUID(client_id)) for client_id in ids]


def test_a_session_type_may_be_text_or_one_of_ours():
    for given in ("Port", SessionType.PORT):
        session = handler().create_session(arguments(sessionType=given))
        assert session.client_config.session_type is SessionType.PORT


@pytest.mark.parametrize("name", ["sessionId", "streamUrl", "tokenValue"])
@pytest.mark.parametrize(
    "value, complaint",
    [(KeyError, "missing"), (None, "missing"), ("", "empty"), (" \t", "empty"), (7, "text")],
)
def test_what_is_needed_is_named_if_it_is_missing_empty_or_no_text(name, value, complaint):
    with pytest.raises(SessionPropertyError, match="^%s .*%s" % (name, complaint)) as caught:
        handler().validate_input_and_start_session(arguments(**{name: value}))
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UsageError)
    assert "the-token" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://host/", "host/path", "wss:", "wss://", "wss:///path", "ws://[::1", "//host"],
)
def test_what_is_not_a_websocket_url_is_refused(url):
    with pytest.raises(SessionPropertyError, match="streamUrl"):
        handler().validate_input_and_start_session(arguments(streamUrl=url))


@pytest.mark.parametrize(
    "name, value",
    [
        ("parameters", "text"),
        ("parameters", ["list"]),
        ("sessionType", "Dance"),
        ("sessionType", "port"),
        ("sessionType", 7),
        ("sessionType", []),
        ("clientId", ""),
        ("clientId", " "),
        ("clientId", 7),
    ],
)
def test_what_may_be_left_out_is_named_if_it_is_wrong(name, value):
    with pytest.raises(SessionPropertyError, match=name):
        handler().validate_input_and_start_session(arguments(**{name: value}))


def test_a_session_that_was_refused_is_not_active():
    refusing = handler()
    with pytest.raises(SessionPropertyError, match="target is forbidden"):
        refusing.validate_input_and_start_session(arguments(target="forbidden"))
    assert refusing.get_active_sessions() == []


def test_a_session_that_could_not_connect_is_not_active():
    failing = handler(failure=ConnectError("refused"))
    with pytest.raises(ConnectError, match="refused"):
        failing.validate_input_and_start_session(ARGUMENTS)
    assert failing.get_active_sessions() == []


def test_active_sessions_are_a_list_of_their_properties():
    starting = handler()
    for session_id in ("s-1", "s-2"):
        starting.validate_input_and_start_session(arguments(sessionId=session_id))
    active = starting.get_active_sessions()
    assert active == [
        {"session_id": "s-1", "status": "Connected"},
        {"session_id": "s-2", "status": "Connected"},
    ]
    active.clear()
    assert len(starting.get_active_sessions()) == 2


def test_an_id_that_is_active_is_refused_until_its_session_has_ended():
    starting = handler()
    first = starting.validate_input_and_start_session(ARGUMENTS)
    with pytest.raises(ValueError, match="s-1 is active already"):
        starting.validate_input_and_start_session(ARGUMENTS)
    assert first.status is SessionStatus.CONNECTED
    first.terminate_session()
    second = starting.validate_input_and_start_session(ARGUMENTS)
    assert len(starting.get_active_sessions()) == 1
    starting.terminate_all_sessions()
    assert (first.terminated, second.terminated) == (1, 1)


def test_a_session_that_was_only_made_is_not_active():
    making = handler()
    session = making.create_session(ARGUMENTS)
    assert session.status is SessionStatus.CREATED
    assert making.get_active_sessions() == []
    making.terminate_all_sessions()
    assert session.terminated == 0


def test_sessions_that_have_ended_are_not_kept():
    starting, ended = handler(), []
    for number in range(3):
        session = starting.validate_input_and_start_session(arguments(sessionId="s-%d" % number))
        session.terminate_session()
        ended.append(weakref.ref(session))
        del session
    starting.validate_input_and_start_session(arguments(sessionId="s-new"))
    gc.collect()
    assert [one() for one in ended] == [None] * 3


def test_a_session_that_ended_by_itself_is_not_active():
    starting = handler()
    session = starting.validate_input_and_start_session(ARGUMENTS)
    session.terminate_session()
    assert starting.get_active_sessions() == []


def test_a_session_is_terminated_by_its_id_once_and_an_unknown_one_is_passed_over():
    starting = handler()
    session = starting.validate_input_and_start_session(ARGUMENTS)
    for session_id in ("unknown", "s-1", "s-1"):
        starting.terminate_session(session_id)
    assert session.status is SessionStatus.TERMINATED
    assert session.terminated == 1
    assert starting.get_active_sessions() == []


def test_all_sessions_are_terminated_even_if_one_is_unwilling():
    starting = handler()
    sessions = [
        starting.validate_input_and_start_session(arguments(sessionId=name, target=target))
        for name, target in (("s-1", "i-1"), ("s-2", "unwilling"), ("s-3", "i-3"))
    ]
    with pytest.raises(ConnectError, match="unwilling"):
        starting.terminate_all_sessions()
    assert [session.terminated for session in sessions] == [1, 1, 1]
    assert starting.get_active_sessions() == []
    starting.terminate_all_sessions()


def test_the_default_registry_and_an_environment_serve_real_sessions():
    environment = Environment(streams=CallableStreams(bytes))
    session = SessionHandler(environment=environment).create_session(ARGUMENTS)
    assert isinstance(session, Session)
    assert session.environment is environment
    assert session.status is SessionStatus.CREATED


# --- Real sessions


@pytest.fixture(scope="module")
def service():
    with local_service() as service:
        yield service


@pytest.fixture
def real(service):
    """A handler; no thread, and nothing at the service, may be left of what it started."""
    before = set(threading.enumerate())
    yield SessionHandler(environment=real_environment(service))
    try:
        service.wait_for(lambda: not service.open_sessions(), 5.0)
    finally:
        for session in service.open_sessions():
            session.terminate()
    assert threads_left(before) == []


def test_a_real_session_is_active_while_it_lives(service, real):
    at_service = started_at(service)
    session = real.validate_input_and_start_session(arguments_of(at_service, service))
    assert [one["session_id"] for one in real.get_active_sessions()] == [session.session_id]
    with pytest.raises(ValueError, match="is active already"):
        real.validate_input_and_start_session(arguments_of(at_service, service))
    assert session.wait(0.0) is None
    at_service.terminate()
    assert session.wait(LIMIT) is not None
    assert real.get_active_sessions() == []


def test_all_real_sessions_are_terminated_here_and_at_the_service(service, real):
    sessions = [
        real.validate_input_and_start_session(arguments_of(started_at(service), service))
        for _ in range(3)
    ]
    real.terminate_all_sessions()
    assert [session.status for session in sessions] == [SessionStatus.TERMINATED] * 3
    service.wait_for(lambda: not service.open_sessions())
    assert real.get_active_sessions() == []


def test_a_session_that_is_refused_after_the_upgrade_is_not_active(service):
    """Nobody waits for it."""
    refused = SessionHandler(environment=quiet())
    at_service = started_at(service)
    before = set(threading.enumerate())
    wrong = dict(arguments_of(at_service, service), tokenValue="wrong")
    try:
        refused.validate_input_and_start_session(wrong)
    except RuntimeError:
        pass  # the refusal was faster
    assert threads_left(before) == []
    assert refused.get_active_sessions() == []
    at_service.terminate()


def test_sessions_that_are_being_connected_can_be_terminated(service, real):
    with SilentListener() as listener:
        given = dict(arguments_of(started_at(service), service), streamUrl=listener.url)
        statuses = []

        def end():
            peer = listener.accept()
            statuses.extend(one["status"] for one in real.get_active_sessions())
            real.terminate_all_sessions()
            read_to_end(peer)

        other = threading.Thread(target=end)
        other.start()
        with pytest.raises(SessionInterrupted):
            real.validate_input_and_start_session(given)
        other.join(LIMIT)
    assert statuses == ["Connecting"]
    assert real.get_active_sessions() == []
