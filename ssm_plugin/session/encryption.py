"""The data key of an encrypted session, from KMS."""

from ..aws.client import DataKey
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
) -> DataKey:
    """Blocks; raises what KMS said, or why there is nothing to ask."""
    reason = unavailable_reason()
    if reason is not None:
        raise EncryptionError(reason)
    if environment.service is None or not config.target:
        raise EncryptionError(_NO_TARGET)
    context = {"aws:ssm:SessionId": config.session_id, "aws:ssm:TargetId": config.target}
    if request.challenge:
        context["aws:ssm:RandomChallenge"] = request.challenge
    return environment.service.generate_data_key(request.key_id, context)
