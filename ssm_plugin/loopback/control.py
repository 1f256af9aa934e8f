"""The few messages that the service itself sends, in place of relaying them."""

import time
import uuid

from ..wire import message, payloads


def channel_closed(session_id: str, destination: str, reason: str) -> bytes:
    """The end of a session, for either side; ``reason`` is empty on a normal end."""
    message_id = uuid.uuid4()
    created = _now()
    payload = payloads.build_channel_closed(
        session_id, str(message_id), created, destination, reason
    )
    return _build(message.CHANNEL_CLOSED, message_id, payload, created)


def pause_publication() -> bytes:
    """Asks the client to read no new input for now."""
    return _build(message.PAUSE_PUBLICATION, uuid.uuid4(), b"", _now())


def start_publication() -> bytes:
    return _build(message.START_PUBLICATION, uuid.uuid4(), b"", _now())


def _build(message_type: str, message_id: uuid.UUID, payload: bytes, created: int) -> bytes:
    high, low = message.uuid_halves(message_id.hex)
    return message.build(message_type, 0, 0, high, low, 0, payload, created)


def _now() -> int:
    return int(time.time() * 1000)
