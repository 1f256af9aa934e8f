import pytest

from ssm_plugin.channel.events import Started
from ssm_plugin.plugins.port import PortPlugin, StdioRunner
from ssm_plugin.plugins.port_basic import BasicRunner
from ssm_plugin.plugins.port_mux import MuxRunner
from ssm_plugin.session.registry import get_session_registry
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionType
from ssm_plugin.wire import payloads
from tests.support.service import local_service

from .port_helpers import RunningSession, TargetServer, echo

FORWARDING = {"type": "LocalPortForwarding", "portNumber": "80"}


def started(properties, agent_version):
    return Started("Port", properties, agent_version, "", False)


@pytest.fixture
def session():
    with local_service() as service, TargetServer(echo) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            session.wait_open()
            yield session.session


@pytest.mark.parametrize(
    "properties, agent_version, runner",
    [
        ({}, "3.3.0.0", StdioRunner),
        ({"portNumber": "22"}, "3.3.0.0", StdioRunner),
        ({"type": "something else"}, "3.3.0.0", StdioRunner),
        (FORWARDING, "3.3.0.0", MuxRunner),
        (FORWARDING, "3.0.196.1", MuxRunner),
        (FORWARDING, "3.0.196.0", BasicRunner),
        (FORWARDING, "2.9", BasicRunner),
        (FORWARDING, "", BasicRunner),
    ],
)
def test_type_and_agent_decide_which_kind_it_is(session, properties, agent_version, runner):
    made = PortPlugin().create_runner(session, started(properties, agent_version))
    assert type(made) is runner


def test_the_registry_knows_it():
    plugin = get_session_registry().get_plugin(SessionType.PORT)
    assert isinstance(plugin, PortPlugin)
    config = SessionConfig("s", "wss://ssmmessages.eu-west-1.amazonaws.com/x", "token")
    made = get_session_registry().create_session(config, ClientConfig("c", SessionType.PORT))
    assert isinstance(made, Session)


@pytest.mark.parametrize("version", ["3.3.0.0", "3.0.100.0"])
@pytest.mark.parametrize(
    "data", [b"", b"abc", payloads.build_flag(payloads.TERMINATE_SESSION), payloads.build_flag(99)]
)
def test_flags_that_mean_nothing_to_us_are_ignored(version, data):
    with local_service(agent_version=version) as service, TargetServer(echo) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            session.wait_open()
            service.session()._agent.channel.send_control(payloads.FLAG, data)
            with session.connect() as connection:
                connection.sendall(b"x")
                assert connection.recv(1) == b"x"
    assert session.error is None
    assert b"failed" not in session.notices.data


@pytest.mark.parametrize("agent_version, told", [("2.3.722.0", False), ("2.3.723.0", True)])
def test_only_agents_that_understand_it_get_the_flag_of_the_end(agent_version, told):
    with local_service(agent_version=agent_version) as service, TargetServer(echo) as target:
        with RunningSession(service, portNumber=str(target.port)) as session:
            session.wait_open()
        if told:
            service.wait_for(lambda: service.open_sessions() == [])
        else:
            service.wait_for(lambda: service.session().state == "Disconnected")
            assert len(service.open_sessions()) == 1
