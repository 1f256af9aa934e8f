import uuid

import pytest

from ssm_plugin.errors import ConnectError, SessionPropertyError, UsageError
from ssm_plugin.session.environment import Environment
from ssm_plugin.session.registry import SessionPluginRegistry
from ssm_plugin.session.session import Session
from ssm_plugin.session.session_handler import SessionHandler
from ssm_plugin.session.streams import CallableStreams
from ssm_plugin.session.types import SessionStatus, SessionType

from .plugins import OtherPlugin

ARGUMENTS = {"sessionId": "s-1", "streamUrl": "wss://host/path", "tokenValue": "the-token"}


def handler(**options):
    registry = SessionPluginRegistry()
    for session_type in SessionType:
        registry.register_plugin(session_type, OtherPlugin(**options))
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
        "s-1",
        "wss://host/path",
        "the-token",
        "i-1",
        "doc",
        {"command": ["ls"]},
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


def test_active_sessions_are_told_with_their_properties():
    starting = handler()
    for name in ("s-1", "s-2"):
        starting.validate_input_and_start_session(arguments(sessionId=name))
    active = starting.get_active_sessions()
    assert [one["session_id"] for one in active] == ["s-1", "s-2"]
    assert {one["status"] for one in active} == {SessionStatus.CONNECTED.value}
    active.clear()
    assert len(starting.get_active_sessions()) == 2


def test_an_id_that_is_active_is_not_started_again():
    starting = handler()
    session = starting.validate_input_and_start_session(ARGUMENTS)
    with pytest.raises(SessionPropertyError, match="s-1 is active"):
        starting.validate_input_and_start_session(ARGUMENTS)
    session.terminate_session()
    assert starting.validate_input_and_start_session(ARGUMENTS) is not session


def test_a_session_that_ended_by_itself_is_not_active():
    starting = handler()
    session = starting.validate_input_and_start_session(ARGUMENTS)
    session.terminate_session()
    assert starting.get_active_sessions() == []


def test_a_session_is_terminated_by_its_id_once():
    starting = handler()
    session = starting.validate_input_and_start_session(ARGUMENTS)
    starting.terminate_session("s-1")
    assert session.status is SessionStatus.TERMINATED
    assert starting.get_active_sessions() == []
    starting.terminate_session("s-1")
    starting.terminate_session("unknown")
    assert session.terminated == 1


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
    session = SessionHandler(environment=environment).create_session(arguments(sessionType="Port"))
    assert isinstance(session, Session)
    assert session.environment is environment
    assert session.status is SessionStatus.CREATED
