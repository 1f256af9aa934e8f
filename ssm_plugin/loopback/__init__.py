"""A local service to try things on: message gateway, agent and API on 127.0.0.1."""
