"""The local service with real agents: for demonstrations, and for tests of everything above it."""

import base64
import secrets
from typing import Any, Mapping, Optional

from ..aws.keys import Credentials
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


def private_service(keys: Credentials, **options: Any) -> LocalService:
    """For whoever has ``keys``, and nobody else on this machine, by a browser or otherwise.
    ``options`` are those of :func:`demo_service`."""
    return demo_service(
        secret_keys={keys.access_key: keys.secret_key},
        require_signatures=True,
        own_host_only=True,
        **options
    )


def new_keys() -> Credentials:
    """Random keys of the form that AWS gives them."""
    access_key = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode("ascii")
    return Credentials(access_key, base64.b64encode(secrets.token_bytes(30)).decode("ascii"))
