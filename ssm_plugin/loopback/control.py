"""The messages between the service and one of the two ends, which nobody numbers."""

import time

from ..wire import message, payloads


def channel_closed(session_id: str, destination: str, reason: str) -> bytes:
    """The end of a session, for either side; ``reason`` is empty on a normal end."""
    high, low = message.random_uuid()
    created = _now()
    payload = payloads.build_channel_closed(
        session_id, message.uuid_text(high, low), created, destination, reason
    )
    return message.build(message.CHANNEL_CLOSED, 0, 0, high, low, 0, payload, created)


def session_state(session_id: str, state: str) -> bytes:
    """The agent tells the service ``Connected`` or ``Terminating``."""
    payload = payloads.build_session_state(session_id, state)
    flags = message.FLAG_SYN | message.FLAG_FIN
    return _without_number(message.AGENT_SESSION_STATE, flags, payload)


def pause_publication() -> bytes:
    """Asks the client to read no new input for now."""
    return _without_number(message.PAUSE_PUBLICATION)


def start_publication() -> bytes:
    return _without_number(message.START_PUBLICATION)


def _without_number(message_type: str, flags: int = 0, payload: bytes = b"") -> bytes:
    high, low = message.random_uuid()
    return message.build(message_type, 0, flags, high, low, 0, payload, _now())


def _now() -> int:
    return int(time.time() * 1000)
