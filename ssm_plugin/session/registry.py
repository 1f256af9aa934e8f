"""Which plugin serves which session type."""

import importlib
from typing import Dict, List, Optional, Union

from ..errors import SessionPropertyError
from .protocols import ISession, ISessionPlugin
from .types import ClientConfig, SessionConfig, SessionType

# A type, or its text.
TypeName = Union[SessionType, str]

# The built-in plugins, as ``module:class``: a session imports only the one that it runs.
BUILT_IN = {
    SessionType.STANDARD_STREAM.value: "ssm_plugin.plugins.interactive:ShellPlugin",
    SessionType.INTERACTIVE_COMMANDS.value: "ssm_plugin.plugins.interactive:ShellPlugin",
    SessionType.NON_INTERACTIVE_COMMANDS.value: "ssm_plugin.plugins.command:CommandPlugin",
    SessionType.PORT.value: "ssm_plugin.plugins.port:PortPlugin",
}


class SessionPluginRegistry:
    """Starts empty, or with the entry points given: ``module:class`` by session type."""

    def __init__(self, entry_points: Optional[Dict[str, str]] = None) -> None:
        self._entry_points = dict(entry_points or {})
        self._plugins: Dict[str, ISessionPlugin] = {}

    def register_plugin(self, session_type: TypeName, plugin: ISessionPlugin) -> None:
        """Serve the type with this plugin, in place of any other."""
        self._plugins[_text(session_type)] = plugin

    def get_plugin(self, session_type: TypeName) -> Optional[ISessionPlugin]:
        """The plugin for the type, or None."""
        name = _text(session_type)
        if name not in self._plugins and name in self._entry_points:
            module, _, attribute = self._entry_points[name].partition(":")
            self._plugins[name] = getattr(importlib.import_module(module), attribute)()
        return self._plugins.get(name)

    def get_supported_session_types(self) -> List[str]:
        """As the agent's handshake names them."""
        return list(dict.fromkeys(list(self._entry_points) + list(self._plugins)))

    def create_session(self, config: SessionConfig, client_config: ClientConfig) -> ISession:
        """A session of the type that ``client_config`` expects.

        :raises SessionPropertyError: (a ValueError) if no plugin serves the type, or its plugin
            finds the properties wrong
        """
        name = _text(client_config.session_type)
        plugin = self.get_plugin(name)
        if plugin is None:
            raise SessionPropertyError("no plugin is registered for session type %s" % name)
        if not plugin.validate_session_properties(config):
            raise SessionPropertyError(
                "the session's properties do not suit session type %s" % name
            )
        return plugin.create_session(config, client_config)


def _text(session_type: TypeName) -> str:
    return session_type.value if isinstance(session_type, SessionType) else session_type


_registry: Optional[SessionPluginRegistry] = None


def get_session_registry() -> SessionPluginRegistry:
    """The registry that holds the built-in plugins; one for the process."""
    global _registry
    if _registry is None:
        _registry = SessionPluginRegistry(BUILT_IN)
    return _registry
