import queue

import pytest

from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.channel.role import Role
from ssm_plugin.session.connector import OwnDataChannel
from ssm_plugin.session.protocols import IDataChannel, ISession, ISessionPlugin
from ssm_plugin.session.registry import get_session_registry
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType


@pytest.mark.parametrize(
    "interface, names",
    [
        (IDataChannel, {"open", "send_input_data", "close", "is_open"}),
        (
            ISession,
            {"execute", "open_data_channel", "terminate_session", "session_id", "status"},
        ),
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
    events = queue.Queue()
    channel = OwnDataChannel(ChannelProtocol(Role.CLIENT), events.put, events.qsize)
    assert isinstance(channel, IDataChannel)
    config = SessionConfig("s-1", "wss://host/", "t")
    session = Session(config, ClientConfig("c-1", SessionType.PORT))
    assert isinstance(session, ISession)
    for session_type in SessionType:
        assert isinstance(get_session_registry().get_plugin(session_type), ISessionPlugin)
