"""Runs in a child process: credentials that botocore resolves, printed like a credential_process.

In a child, because botocore has no time limit over all and reads the environment of its process.
"""

import importlib
import json
import os

from ..errors import CredentialsError


def export(profile: str, region: str) -> str:
    """JSON with the credentials of ``profile``, or of the environment if it is empty.

    Whatever botocore raises goes through: the parent shows its last line.
    """
    session = importlib.import_module("botocore.session").Session(profile=profile or None)
    if region:
        session.set_config_variable("region", region)
    _share_cache(session)
    try:
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
    except EOFError:  # it asked for the code on stdin, which is empty
        raise CredentialsError(
            "the role wants an MFA code: run 'aws sts get-caller-identity' with this profile first"
        ) from None
    if frozen is None:
        raise CredentialsError("botocore found no credentials")
    answer = {
        "Version": 1,
        "AccessKeyId": frozen.access_key,
        "SecretAccessKey": frozen.secret_key,
        "SessionToken": frozen.token,
    }
    expires = getattr(credentials, "_expiry_time", None)  # no public name; the AWS CLI uses it too
    if expires is not None:
        answer["Expiration"] = expires.isoformat()
    return json.dumps(answer)


def _share_cache(session: object) -> None:
    """Roles that the AWS CLI has assumed are in its cache: no second MFA code for those."""
    directory = os.path.expanduser("~/.aws/cli/cache")
    if os.path.isdir(directory):
        cache = importlib.import_module("botocore.credentials").JSONFileCache(directory)
        chain = session.get_component("credential_provider")  # type: ignore[attr-defined]
        chain.get_provider("assume-role").cache = cache
