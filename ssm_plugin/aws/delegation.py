"""Credentials whose sources we leave to others: single sign-on, roles, web identity, login.

botocore does it if it is installed beside us, else the AWS CLI: ``configure export-credentials``,
or for version 1, which has no such command, the botocore that it runs with. Each is a child
process, for the sake of the time limit: botocore has none over all, and it reads the environment of
its process.
"""

import importlib
import json
import os
import sys
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from ..errors import CredentialsError
from ..files import as_path
from ..net.timing import Deadline
from .keys import Credentials
from .profiles import Section

_SETTINGS = (
    "role_arn",
    "web_identity_token_file",
    "sso_account_id",
    "sso_role_name",
    "login_session",
)
_LOGINS = {
    "sso_account_id": "aws sso login",
    "sso_role_name": "aws sso login",
    "login_session": "aws login",
}
_WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
# With our own search path, as we may run from a zip file or out of an embedder's path. The AWS
# CLI's Python keeps its own before ours.
_EXPORT = "from %s import export; sys.stdout.write(export(sys.argv[1], sys.argv[2]))" % __name__
_CHILD = "import sys; sys.path[:] = sys.argv[3:]; " + _EXPORT
_CHILD_ELSEWHERE = "import sys; sys.path += sys.argv[3:]; " + _EXPORT
_PLACE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_NO_SUCH_COMMAND = "nvalid choice"


def reason(settings: Section) -> Optional[str]:
    """The setting for which a profile must be left to others, if there is one."""
    return next((name for name in _SETTINGS if settings.get(name)), None)


def has_web_identity(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a role and the token for it, as in pods of EKS."""
    return all(environ.get(name) for name in _WEB_IDENTITY)


def resolve(
    profile: Optional[str],
    why: str,
    region: Optional[str],
    environ: Mapping[str, str],
    deadline: Deadline,
) -> Credentials:
    """Asks botocore, then the AWS CLI. ``why`` is the setting that calls for them.

    CredentialsError with what each of them said, or naming both if neither is there.
    """
    from .process import run  # takes long to load

    failures: List[str] = []
    for source, arguments in _ways(profile, region, environ, failures):
        try:
            return run(arguments, source, environ, deadline)
        except CredentialsError as error:
            failures.append(str(error))
    of = "of the AWS profile %r" % profile if profile else "of the environment"
    if failures:
        login = ""
        if why in _LOGINS:
            login = "; log in with '%s --profile %s'" % (_LOGINS[why], profile)
        raise CredentialsError(
            "no credentials for %s %s: %s%s" % (why, of, "; ".join(failures), login)
        )
    raise CredentialsError(
        "the setting %s %s needs botocore (pip install botocore, for %s) or "
        "the AWS CLI on PATH: install one of them"
        % (why, of, sys.executable)
    )


def _ways(
    profile: Optional[str], region: Optional[str], environ: Mapping[str, str], failures: List[str]
) -> Iterator[Tuple[str, List[str]]]:
    """``failures`` holds what those said that were tried."""
    import importlib.util
    import shutil

    profile = as_path(profile or "")
    region = region or environ.get("AWS_REGION", "")  # which botocore itself passes over
    frozen = getattr(sys, "frozen", False)  # then the executable is a program, not Python
    if sys.executable and not frozen and importlib.util.find_spec("botocore"):
        yield "botocore", [sys.executable, "-c", _CHILD, profile, region] + sys.path
    aws = shutil.which("aws", path=environ.get("PATH", os.defpath))
    if aws:
        named = ["--profile", profile] if profile else []
        export = [aws, "configure", "export-credentials", "--format", "process"]
        yield "'aws configure export-credentials'", export + named
        python = _interpreter(aws)
        if python and failures and _NO_SUCH_COMMAND in failures[-1]:
            failures.pop()
            child = ["-c", _CHILD_ELSEWHERE, profile, region, _PLACE]
            yield "the AWS CLI's botocore", python + child


def _interpreter(script: str) -> List[str]:
    """The command of the Python that runs ``script``; empty if another program does, or none."""
    try:
        with open(script, "rb") as file:
            line = file.readline(1000).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return line[2:].split() if line.startswith("#!") and "python" in line else []


def export(profile: str, region: str) -> str:
    """Runs in a child process: credentials that botocore resolves, printed as a credential_process
    prints them. ``profile`` is empty for those of the environment.

    Whatever botocore raises goes through: the parent shows its last line.
    """
    session = _botocore("session").Session(profile=profile or None)
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
        cache = _botocore("credentials").JSONFileCache(directory)
        chain = session.get_component("credential_provider")  # type: ignore[attr-defined]
        chain.get_provider("assume-role").cache = cache


def _botocore(module: str) -> Any:
    try:
        return importlib.import_module("botocore.%s" % module)
    except ImportError:  # newer AWS CLIs have it within them
        return importlib.import_module("awscli.botocore.%s" % module)
