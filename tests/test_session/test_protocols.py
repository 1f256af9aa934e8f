import pytest

from ssm_plugin.session.connector import OwnDataChannel
from ssm_plugin.session.protocols import (
    IDataChannel,
    IRunner,
    IRunnerSession,
    ISession,
    ISessionPlugin,
)
from ssm_plugin.session.registry import get_session_registry
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType

SESSION = {"execute", "open_data_channel", "terminate_session", "session_id", "status"}


@pytest.mark.parametrize(
    "interface, names",
    [
        (IDataChannel, {"open", "send_input_data", "close", "is_open"}),
        (ISession, SESSION),
        (IRunnerSession, SESSION | {"data_channel", "wait", "end", "tell", "new_timer"}),
        (IRunner, {"start", "output"}),
        (
            ISessionPlugin,
            {"get_supported_session_types", "create_session", "validate_session_properties"},
        ),
    ],
)
def test_an_interface_is_these_names_and_cannot_be_made(interface, names):
    assert interface.__abstractmethods__ == names
    with pytest.raises(TypeError, match="abstract"):
        interface()


def test_our_own_classes_are_what_the_interfaces_say():
    assert issubclass(OwnDataChannel, IDataChannel)
    assert not OwnDataChannel.__abstractmethods__
    config = SessionConfig("s-1", "wss://host/", "t")
    session = Session(config, ClientConfig("c-1", SessionType.PORT))
    assert isinstance(session, IRunnerSession)


@pytest.mark.parametrize("session_type", list(SessionType))
def test_the_built_in_plugins_are_what_the_interfaces_say(session_type):
    assert isinstance(get_session_registry().get_plugin(session_type), ISessionPlugin)


class Least(IRunner):
    """Has only what it must have."""

    def start(self):
        pass

    def output(self, payload_type, data):
        pass


def test_a_runner_that_leaves_out_what_it_may_changes_nothing_and_fails_for_a_reason_only():
    runner = Least()
    for name in ("paused", "resumed", "farewell", "stop", "not_terminated"):
        assert getattr(runner, name)() is None
    assert runner.signalled(None) is False
    assert (runner.closed(""), runner.closed("timed out")) == (0, 255)
    assert (runner.missing(""), runner.exit_code) == ("", None)
