"""Which end of a data channel a piece of the core plays."""

import enum


class Role(enum.Enum):
    """We are the client; the local service runs the same core as the agent."""

    CLIENT = "client"
    AGENT = "agent"
