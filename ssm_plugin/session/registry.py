"""Which plugin serves which session type."""

import importlib
from typing import Dict, List, Optional

from ..errors import SessionPropertyError
from .protocols import ISession, ISessionPlugin
from .types import ClientConfig, SessionConfig, SessionType

# The built-in plugins, as names: a session imports only the one that it runs.
BUILT_IN = {
    SessionType.STANDARD_STREAM: "ssm_plugin.plugins.shell:ShellPlugin",
    SessionType.INTERACTIVE_COMMANDS: "ssm_plugin.plugins.shell:ShellPlugin",
    SessionType.NON_INTERACTIVE_COMMANDS: "ssm_plugin.plugins.command:CommandPlugin",
    SessionType.PORT: "ssm_plugin.plugins.port:PortPlugin",
}


class SessionPluginRegistry:
    """Starts empty, or with the entry points given: ``module:class`` by session type."""

    def __init__(self, entry_points: Optional[Dict[SessionType, str]] = None) -> None:
        self._entry_points = dict(entry_points or {})
        self._plugins: Dict[SessionType, ISessionPlugin] = {}

    def register_plugin(self, plugin: ISessionPlugin) -> None:
        """Serve all types that the plugin supports with it, in place of any other."""
        for session_type in plugin.get_supported_session_types():
            self._plugins[session_type] = plugin

    def get_plugin(self, session_type: SessionType) -> Optional[ISessionPlugin]:
        """The plugin for the type, or None."""
        if session_type not in self._plugins and session_type in self._entry_points:
            module, _, name = self._entry_points[session_type].partition(":")
            self._plugins[session_type] = getattr(importlib.import_module(module), name)()
        return self._plugins.get(session_type)

    def get_supported_session_types(self) -> List[SessionType]:
        return [
            session_type
            for session_type in SessionType
            if session_type in self._plugins or session_type in self._entry_points
        ]

    def create_session(self, config: SessionConfig, client_config: ClientConfig) -> ISession:
        """A session of the type that ``client_config`` expects.
        SessionPropertyError if no plugin serves it, or its plugin finds the properties wrong."""
        plugin = self.get_plugin(client_config.session_type)
        if plugin is None:
            raise SessionPropertyError(
                "no plugin is registered for session type %s" % client_config.session_type.value
            )
        if plugin.validate_session_properties(config) is False:
            raise SessionPropertyError(
                "the session's properties do not suit session type %s"
                % client_config.session_type.value
            )
        return plugin.create_session(config, client_config)


_registry: Optional[SessionPluginRegistry] = None


def get_session_registry() -> SessionPluginRegistry:
    """The registry that holds the built-in plugins; one for the process."""
    global _registry
    if _registry is None:
        _registry = SessionPluginRegistry(BUILT_IN)
    return _registry
