"""The local service with real agents: for demonstrations, and for tests of everything above it."""

from typing import Any, Mapping, Optional

from .agent import AgentOptions, agent_factory
from .agent_handshake import Encryption
from .kms import KmsApi
from .service import LocalService


def demo_service(
    faults: str = "",
    options: Optional[AgentOptions] = None,
    kms_key_id: str = "",
    require_challenge: bool = False,
    **service: Any
) -> LocalService:
    """Not started yet. With ``kms_key_id`` every session but ports is encrypted, by a key service
    that listens where the SSM API does. ``service`` are further arguments of
    :class:`LocalService`."""
    chosen = options or AgentOptions()
    if kms_key_id:

        def decrypt(ciphertext: str, context: Mapping[str, str]) -> bytes:
            return keys.decrypt(ciphertext, context)

        encryption = Encryption(kms_key_id, decrypt, require_challenge=require_challenge)
        chosen = chosen._replace(encryption=encryption)
    local = LocalService(agent_factory(chosen), faults, **service)
    keys = KmsApi(local.signatures)
    local.serve_also("TrentService", keys)
    return local
