"""The local service with real agents: for demonstrations, and for tests of everything above it."""

from typing import Any, Optional

from .agent import AgentOptions, agent_factory
from .service import LocalService


def demo_service(options: Optional[AgentOptions] = None, **service: Any) -> LocalService:
    """Not started yet; ``service`` are further arguments of :class:`LocalService`."""
    return LocalService(agent_factory(options), **service)
