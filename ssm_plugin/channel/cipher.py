"""What an encrypted session does to each payload: AES-256-GCM under the session's data key.

A sealed payload is a random 12-byte nonce, the ciphertext, and a 16-byte tag; there is no
associated data.
"""

import os
from typing import Optional

from ..errors import EncryptionError, StateError
from ..wire.message import Buffer
from .aes_gcm import KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH, Source, new_aes_gcm, unavailable_reason
from .role import Role

DATA_KEY_LENGTH = 2 * KEY_LENGTH

_SHORTEST = NONCE_LENGTH + TAG_LENGTH


def available() -> Optional[str]:
    """None if sessions can be encrypted here, else why not, in one line."""
    return unavailable_reason()


class Cipher:
    """Both directions of one session. ``data_key`` is 64 bytes: what the agent sends is under its
    first half, what the client sends under its second. For one thread at a time.
    """

    def __init__(self, data_key: bytes, role: Role, source: Source = new_aes_gcm) -> None:
        if len(data_key) != DATA_KEY_LENGTH:
            raise StateError("a data key has %d bytes, not %d" % (DATA_KEY_LENGTH, len(data_key)))
        from_agent, from_client = data_key[:KEY_LENGTH], data_key[KEY_LENGTH:]
        if role is Role.AGENT:
            from_agent, from_client = from_client, from_agent
        self._opener = source(from_agent)
        self._sealer = source(from_client)
        self._role = role

    def seal(self, data: Buffer) -> bytes:
        nonce = os.urandom(NONCE_LENGTH)
        return nonce + self._sealer.seal(nonce, data)

    def open(self, sealed: Buffer) -> bytes:
        """Raises EncryptionError if ``sealed`` was damaged, or sealed with another key."""
        if len(sealed) < _SHORTEST:
            raise EncryptionError(
                "a sealed message has %d bytes, which is too few to be one" % len(sealed)
            )
        sealed = bytes(sealed)
        return self._opener.open(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:])

    def __repr__(self) -> str:
        return "Cipher(%s, keys hidden)" % self._role.value
