"""The data key of an encrypted session, from KMS."""

from typing import Any, Optional

from ..channel.aes_gcm import unavailable_reason
from ..channel.events import KeyRequested
from ..errors import EncryptionError
from .environment import Environment
from .types import SessionConfig

_NO_TARGET = (
    "the session is encrypted with KMS, which needs AWS credentials and the session's target, and "
    "this AWS CLI passed neither: update the AWS CLI, or use ssm-plugin shell"
)


def generate_data_key(
    request: KeyRequested, config: SessionConfig, environment: Environment
) -> Any:
    """An ``aws.client.DataKey``. Blocks; raises what KMS said, or why there is nothing to ask."""
    reason: Optional[str] = unavailable_reason()
    if reason is None and (environment.service is None or not config.target):
        reason = _NO_TARGET
    if reason is not None:
        raise EncryptionError(reason)
    context = {"aws:ssm:SessionId": config.session_id, "aws:ssm:TargetId": config.target}
    if request.challenge:
        context["aws:ssm:RandomChallenge"] = request.challenge
    assert environment.service is not None
    return environment.service.generate_data_key(request.key_id, context)
