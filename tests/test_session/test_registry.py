import subprocess
import sys

import pytest

from ssm_plugin.errors import SessionPropertyError
from ssm_plugin.plugins.interactive import ShellPlugin
from ssm_plugin.session.registry import BUILT_IN, SessionPluginRegistry, get_session_registry
from ssm_plugin.session.session import Session
from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType

from .plugins import OtherPlugin

CONFIG = SessionConfig("s-1", "wss://host/", "t")


def client_config(session_type):
    return ClientConfig("c-1", session_type)


def test_a_registry_starts_empty():
    registry = SessionPluginRegistry()
    assert registry.get_supported_session_types() == []
    assert registry.get_plugin(SessionType.PORT) is None


def test_a_plugin_serves_the_types_that_it_is_registered_for():
    """As texts or as members of SessionType; also a type that only the two of them know."""
    registry, plugin = SessionPluginRegistry(), OtherPlugin()
    registry.register_plugin(SessionType.PORT, plugin)
    registry.register_plugin("Telepathy", plugin)
    for name in (SessionType.PORT, "Port", "Telepathy"):
        assert registry.get_plugin(name) is plugin
    assert registry.get_plugin(SessionType.INTERACTIVE_COMMANDS) is None
    supported = registry.get_supported_session_types()
    assert sorted(supported) == ["Port", "Telepathy"]
    assert {type(name) for name in supported} == {str}


def test_the_plugin_registered_last_serves():
    registry = SessionPluginRegistry(BUILT_IN)
    for plugin in (OtherPlugin(), OtherPlugin()):
        registry.register_plugin("Port", plugin)
        assert registry.get_plugin(SessionType.PORT) is plugin
    assert isinstance(registry.get_plugin(SessionType.STANDARD_STREAM), ShellPlugin)
    assert len(registry.get_supported_session_types()) == len(SessionType)


def test_an_entry_point_is_loaded_once_and_when_it_is_needed():
    registry = SessionPluginRegistry(BUILT_IN)
    assert len(registry.get_supported_session_types()) == len(SessionType)
    plugin = registry.get_plugin(SessionType.STANDARD_STREAM)
    assert isinstance(plugin, ShellPlugin)
    assert registry.get_plugin(SessionType.STANDARD_STREAM) is plugin


def test_asking_what_is_supported_loads_no_plugin():
    script = (
        "import sys\n"
        "from ssm_plugin.session.registry import get_session_registry\n"
        "assert len(get_session_registry().get_supported_session_types()) == 4\n"
        "assert not [name for name in sys.modules if name.startswith('ssm_plugin.plugins')]\n"
    )
    subprocess.check_call([sys.executable, "-c", script], timeout=40)


def test_a_session_is_of_the_expected_type_and_waits():
    session = get_session_registry().create_session(CONFIG, client_config(SessionType.PORT))
    assert isinstance(session, Session)
    assert session.status is SessionStatus.CREATED
    assert session.client_config.session_type is SessionType.PORT


@pytest.mark.parametrize("session_type", list(SessionType))
def test_the_default_registry_serves_every_type(session_type):
    registry = get_session_registry()
    assert registry is get_session_registry()
    plugin = registry.get_plugin(session_type)
    assert session_type in plugin.get_supported_session_types()
    assert registry.create_session(CONFIG, client_config(session_type)).session_id == "s-1"


def test_a_type_that_nobody_serves_is_named():
    registry = SessionPluginRegistry()
    with pytest.raises(SessionPropertyError, match="Port"):
        registry.create_session(CONFIG, client_config(SessionType.PORT))
    with pytest.raises(ValueError):
        registry.create_session(CONFIG, client_config(SessionType.PORT))


@pytest.mark.parametrize(
    "target, complaint", [("forbidden", "target is forbidden"), ("unsuitable", "do not suit")]
)
def test_what_a_plugin_finds_wrong_prevents_its_session(target, complaint):
    registry = SessionPluginRegistry()
    registry.register_plugin(SessionType.PORT, OtherPlugin())
    with pytest.raises(SessionPropertyError, match=complaint):
        registry.create_session(CONFIG._replace(target=target), client_config(SessionType.PORT))


@pytest.mark.parametrize("field", ["session_id", "stream_url", "token_value"])
def test_the_built_in_plugins_name_the_field_that_is_empty(field):
    config = CONFIG._replace(**{field: ""})
    for session_type in SessionType:
        with pytest.raises(SessionPropertyError, match=field):
            get_session_registry().create_session(config, client_config(session_type))
