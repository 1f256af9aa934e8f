"""The drop-in for AWS's plugin: runs the session that the AWS CLI has started.

::

    session-manager-plugin RESPONSE REGION StartSession [PROFILE REQUEST ENDPOINT]

RESPONSE is the JSON that StartSession returned, or the name of an environment variable, beginning
with ``AWS_SSM_START_SESSION_RESPONSE``, that holds it. ``aws ecs execute-command`` passes the same
with lower-case keys.
"""

import json
import os
import re
from contextlib import ExitStack
from typing import Any, Dict, List, MutableMapping, NamedTuple, Optional

from .. import config, logs
from ..errors import SsmPluginError, UsageError
from ..session.session import Session
from ..session.session_handler import SessionHandler
from ..session.surroundings import make_environment
from ..session.types import SessionType
from .faces import RESPONSE_VARIABLE
from .frame import check_status_setting
from .new_session import run_in_foreground
from .process_memory import overwrite

USAGE = (
    "this is what the AWS CLI calls: session-manager-plugin RESPONSE REGION StartSession "
    "[PROFILE REQUEST ENDPOINT]; for our own commands see 'ssm-plugin --help'"
)

# What AWS's own documents open. Others open what the handshake says.
_DOCUMENT_TYPES = {
    "AWS-StartInteractiveCommand": SessionType.INTERACTIVE_COMMANDS,
    "AWS-StartNonInteractiveCommand": SessionType.NON_INTERACTIVE_COMMANDS,
    "AWS-StartSSHSession": SessionType.PORT,
    "AWS-StartPortForwardingSession": SessionType.PORT,
    "AWS-StartPortForwardingSessionToRemoteHost": SessionType.PORT,
    "AWS-StartPortForwardingSessionToSocket": SessionType.PORT,
}


# ``aws ecs execute-command`` passes the endpoint that it has called itself, which knows nothing of
# sessions. SSM's own, in the same region, is to be called then.
_ECS_ENDPOINT = re.compile(r"https://(?:[^/]*\.)?ecs(?:-fips)?\.")


class Invocation(NamedTuple):
    """What the arguments say. ``repr`` would show the token: there is none."""

    response: Dict[str, Any]
    region: str
    profile: Optional[str]
    request: Dict[str, Any]
    endpoint_url: Optional[str]

    def __repr__(self) -> str:
        return "Invocation(%s)" % self.region


def parse(arguments: List[str], environ: MutableMapping[str, str]) -> Invocation:
    """Read the arguments, and take the response out of the environment."""
    if not 3 <= len(arguments) <= 6:
        raise UsageError("wanted 3 to 6 arguments, not %d: %s" % (len(arguments), USAGE))
    response, region, operation, profile, request, endpoint_url = (
        arguments + [""] * (6 - len(arguments))
    )
    if operation != "StartSession":
        raise UsageError("operation %r is not StartSession: %s" % (operation[:50], USAGE))
    return Invocation(
        _object(_response_text(response, environ), "the response"),
        region,
        profile or None,
        _object(request or "{}", "the request"),
        None if _ECS_ENDPOINT.match(endpoint_url) else endpoint_url or None,
    )


def session_arguments(invocation: Invocation) -> Dict[str, Any]:
    """As ``SessionHandler`` wants them, both spellings accepted."""
    response, request = invocation.response, invocation.request
    document = _text(request, "DocumentName")
    return {
        "sessionId": _either(response, "SessionId"),
        "streamUrl": _either(response, "StreamUrl"),
        "tokenValue": _either(response, "TokenValue"),
        "target": _text(request, "Target"),
        "documentName": document,
        "parameters": request.get("Parameters"),
        "sessionType": _DOCUMENT_TYPES.get(document or ""),
    }


def run(arguments: List[str]) -> int:
    spelled = _token_as_written(os.environ.get(arguments[0], arguments[0]) if arguments else "")
    invocation = parse(arguments, os.environ)
    overwrite(spelled)
    # Whose session it is, and where, was for the AWS CLI to say: defaults of our own configuration
    # could be another identity's.
    settings = config.load()._replace(
        profile=invocation.profile,
        region=invocation.region or None,
        endpoint_url=invocation.endpoint_url,
    )
    logs.configure(settings.log, os.environ)
    handler = SessionHandler(environment=make_environment(settings))
    session = handler.create_session(session_arguments(invocation))
    assert isinstance(session, Session)
    _check_status_setting(session)
    with ExitStack() as stack:
        if session.client_config.session_type is SessionType.PORT:
            _bind_first(session, stack)
        elif session.client_config.session_type is SessionType.NON_INTERACTIVE_COMMANDS:
            # A killed AWS CLI passes nothing on, and its command is not to go on without it.
            from .parent import parent_watch

            stack.enter_context(parent_watch(session.events, called_by_aws=True))
        return run_in_foreground(session)


def _check_status_setting(session: Session) -> None:
    """The AWS CLI has started the session already: it is not left behind for a wrong setting."""
    try:
        check_status_setting(os.environ)
    except UsageError:
        session.terminate_session()
        raise


def _bind_first(session: Session, stack: ExitStack) -> None:
    """A port that is taken is told at once. The session, which the AWS CLI has started already, is
    not left behind for that."""
    from ..plugins.local_end import bind_local_end, names_local_end

    try:
        if names_local_end(session.config.parameters):
            listener = stack.enter_context(bind_local_end(session.config.parameters))
            session.use(session.environment._replace(listener=listener))
    except SsmPluginError:
        session.terminate_session()
        raise


def _response_text(argument: str, environ: MutableMapping[str, str]) -> str:
    if not argument.startswith(RESPONSE_VARIABLE):
        return argument
    text = environ.pop(argument, None)
    if text is None:
        raise UsageError("the environment variable %s is not set: %s" % (argument[:80], USAGE))
    return text


def _object(text: str, name: str) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("%s is not JSON: %s" % (name, USAGE)) from error
    if not isinstance(value, dict):
        raise UsageError("%s is not a JSON object: %s" % (name, USAGE))
    return value


def _token_as_written(response: str) -> str:
    """With the escapes that the response's JSON has in it."""
    found = re.search(r'"[tT]okenValue"\s*:\s*"((?:[^"\\]|\\.)*)"', response)
    return found.group(1) if found else ""


def _text(request: Dict[str, Any], name: str) -> Optional[str]:
    value = request.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError("%s of the request is not text: %s" % (name, USAGE))
    return value or None


def _either(response: Dict[str, Any], name: str) -> Any:
    """The field, in the spelling of ``ssm`` or of ``ecs``."""
    return response.get(name, response.get(name[0].lower() + name[1:]))
