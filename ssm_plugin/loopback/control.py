"""The few messages that the service itself sends, in place of relaying them."""

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


def pause_publication() -> bytes:
    """Asks the client to read no new input for now."""
    return _without_payload(message.PAUSE_PUBLICATION)


def start_publication() -> bytes:
    return _without_payload(message.START_PUBLICATION)


def _without_payload(message_type: str) -> bytes:
    high, low = message.random_uuid()
    return message.build(message_type, 0, 0, high, low, 0, b"", _now())


def _now() -> int:
    return int(time.time() * 1000)
