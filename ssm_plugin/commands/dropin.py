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
from typing import Any, Dict, List, Mapping, MutableMapping, Optional, Tuple
from urllib.parse import unquote, urlsplit

from .. import config, logs
from ..aws.endpoints import check_region, session_region_of
from ..aws.profiles import ProfileNotFound, read_profile, without_profiles
from ..errors import SessionInterrupted, SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from ..session.environment import Environment, make_environment
from ..session.session import Session
from ..session.session_handler import SessionHandler
from ..session.streams import say
from ..session.termination import TERMINATE_LIMIT, terminate_unwanted
from ..session.types import SessionType
from .exit_status import check_status_setting
from .foreground import run_in_foreground
from .program import RESPONSE_VARIABLE

USAGE = (
    "this is what the AWS CLI calls: session-manager-plugin RESPONSE REGION StartSession "
    "[PROFILE REQUEST ENDPOINT]; for our own commands see 'ssm-plugin --help'"
)

# What AWS's own documents open. Others open what the handshake says.
_SSH_DOCUMENT = "AWS-StartSSHSession"
_DOCUMENT_TYPES = {
    "SSM-SessionManagerRunShell": SessionType.STANDARD_STREAM,
    "AWS-StartInteractiveCommand": SessionType.INTERACTIVE_COMMANDS,
    "AWS-StartNonInteractiveCommand": SessionType.NON_INTERACTIVE_COMMANDS,
    _SSH_DOCUMENT: SessionType.PORT,
    "AWS-StartPortForwardingSession": SessionType.PORT,
    "AWS-StartPortForwardingSessionToRemoteHost": SessionType.PORT,
    "AWS-StartPortForwardingSessionToSocket": SessionType.PORT,
}

# ``aws ecs execute-command`` passes the endpoint that it has called itself, which knows nothing of
# sessions. SSM's own, in the same region, is to be called then; likewise for Packer, which passes
# the stream's URL.
_ECS_ENDPOINT = re.compile(r"https://(?:[^/]*\.)?ecs(?:-fips|-a-[0-9]+)?\.", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)

# ecsta passes the endpoint at which the agents of ECS poll. Its requests name the target alone,
# also where it has asked for a tunnel.
_POLL_ENDPOINT = re.compile(r"https://ecs-a-[0-9]+\.", re.IGNORECASE)

# If no profile has this name, it counts as none given: many callers always pass it.
_NO_PROFILE = "default"

# ``/proc/PID/cmdline`` and ``/proc/PID/environ`` show a process's own memory while it runs: a
# variable that was removed is still there. On Linux ``/proc/self/stat`` says where they lie, and
# ``/proc/self/mem`` writes there. Elsewhere, and where the kernel forbids it, nothing happens.
_AREAS = slice(45, 49)  # arg_start, arg_end, env_start, env_end in stat, counted from the state
_LARGEST = 8 << 20  # bytes; the kernel's own limit for both is below that


class Invocation(NamedTuple):
    """What the arguments say. It has no ``repr`` of its fields, which hold the token."""

    response: Dict[str, object]
    region: str
    profile: Optional[str]
    request_text: str
    called_url: str

    def __repr__(self) -> str:
        return "Invocation(%s)" % self.region

    @property
    def request(self) -> Dict[str, object]:
        """:raises UsageError: if it cannot be read"""
        text = self.request_text
        return {} if text.strip() in ("", "null") else _object(text, "the request")

    @property
    def names_nothing(self) -> bool:
        """The caller has said neither what it asked for nor that it was a shell."""
        asked = self.request
        is_ecsta = _POLL_ENDPOINT.match(self.called_url) and not asked.get("DocumentName")
        return not asked or bool(is_ecsta)

    @property
    def endpoint_url(self) -> Optional[str]:
        url = self.called_url
        return url if _HTTP.match(url) and not _ECS_ENDPOINT.match(url) else None


def parse(arguments: List[str], environ: MutableMapping[str, str]) -> Invocation:
    """Read the arguments, and take the response out of the environment."""
    if not 3 <= len(arguments) <= 6:
        raise UsageError("wanted 3 to 6 arguments, not %d: %s" % (len(arguments), USAGE))
    response, region, operation, profile, request, called_url = (
        arguments + [""] * (6 - len(arguments))
    )
    if operation != "StartSession":
        raise UsageError("operation %r is not StartSession: %s" % (operation[:50], USAGE))
    answer = _object(_response_text(response, environ), "the response")
    return Invocation(answer, region, profile or None, request, called_url)


def session_arguments(invocation: Invocation) -> Dict[str, Any]:
    """The arguments for ``SessionHandler``, from either spelling of the fields."""
    response, request = invocation.response, invocation.request
    document = _text(request, "DocumentName")
    return {
        "sessionId": _session_id(response),
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
    settings, mistake = _settings()
    environment = _environment(invocation, settings)
    with ExitStack() as stack:
        try:
            if mistake is not None:
                raise mistake
            check_status_setting(os.environ)
            session = _session(invocation, environment, stack)
        except SsmPluginError:
            _end_unused(invocation, environment)
            raise
        command = session.client_config.session_type is SessionType.NON_INTERACTIVE_COMMANDS
        # An AWS CLI that is killed cannot end us, and the session must not go on without it.
        from .parent import parent_watch

        watch = parent_watch(session.signal, session.events.put, aws_cli_only=not command)
        stack.enter_context(watch)
        try:
            return run_in_foreground(session).status
        except SessionInterrupted as interruption:
            if interruption.exit_status:
                raise
            return 0


def _settings() -> Tuple[config.Settings, Optional[SsmPluginError]]:
    """Those of our configuration, or else the defaults and what is wrong with it, or with the
    log."""
    settings = config.Settings()
    try:
        settings = config.load()
        logs.configure(settings.log, os.environ)
    except SsmPluginError as error:
        return settings, error
    return settings, None


def _environment(invocation: Invocation, settings: config.Settings) -> Environment:
    profile, environ = _identity(invocation.profile)
    # The AWS CLI has chosen the identity and the region: defaults of our own configuration could be
    # another identity's.
    settings = settings._replace(
        profile=profile, region=invocation.region or None, endpoint_url=invocation.endpoint_url
    )
    try:
        return make_environment(settings, environ=environ)
    except UsageError:  # the region is none: the session can be ended all the same, in its own
        region = _stream_region(invocation.response)
        if region is None:
            raise
        return make_environment(settings._replace(region=region), environ=environ)


def _session(invocation: Invocation, environment: Environment, stack: ExitStack) -> Session:
    if invocation.region:
        check_region(invocation.region)
    given = session_arguments(invocation)
    document = given["documentName"]
    known = document in _DOCUMENT_TYPES
    environment = environment._replace(
        # The AWS CLI turns any other status into ten lines, with the session's token.
        port_signal_status=0,
        # What a document of the user's own opens, only the node can say.
        may_listen=not known if document else invocation.names_nothing,
        start_line_first=os.isatty(1) or (known and document != _SSH_DOCUMENT),
    )
    session = SessionHandler(environment=environment).create_session(given)
    assert isinstance(session, Session)
    if document != _SSH_DOCUMENT and given["sessionType"] is SessionType.PORT:
        _bind_first(session, stack)
    return session


def _end_unused(invocation: Invocation, environment: Environment) -> None:
    """End the session, which the AWS CLI has started already."""
    session_id = _session_id(invocation.response)
    if environment.service is not None and session_id and isinstance(session_id, str):
        terminate_unwanted(environment.service, session_id, TERMINATE_LIMIT)


def _identity(profile: Optional[str]) -> Tuple[Optional[str], Mapping[str, str]]:
    """The profile, if it exists, and the environment to find credentials in. Where the profile does
    not exist, only the environment's credentials are used: another profile, or the role of this
    machine, may be another identity."""
    try:
        read_profile(profile, os.environ)
        return profile, os.environ
    except ProfileNotFound as error:
        why = str(error).partition(":")[0]
        say("warning: %s; going on with the environment's credentials, if any" % why)
    environ = without_profiles(os.environ)
    if profile != _NO_PROFILE:
        environ["AWS_EC2_METADATA_DISABLED"] = "true"
    return None, environ


def _bind_first(session: Session, stack: ExitStack) -> None:
    """Bind the local port before connecting: the document is one of AWS's for local ports."""
    from ..net.local_end import bind_local_end, exposure_warnings, names_local_end

    parameters, host = session.config.parameters, session.environment.network.local_host
    if names_local_end(parameters):
        listener = stack.enter_context(bind_local_end(parameters, host))
        session.use(session.environment._replace(listener=listener))
        for line in exposure_warnings(listener):
            session.notices.warn(line)


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
    """The token as it stands in the JSON, with its escapes."""
    found = re.search(r'"[tT]okenValue"\s*:\s*"((?:[^"\\]|\\.)*)"', response)
    return found.group(1) if found else ""


def _either(response: Dict[str, Any], name: str) -> Any:
    """The field, in the spelling of ``ssm`` or of ``ecs``."""
    value = response.get(name)
    return response.get(name[0].lower() + name[1:]) if value is None else value


def _session_id(response: Dict[str, object]) -> object:
    """The session's id. VS Code's ``ec2_connect`` passes the token in its place, by mistake: then
    the id is taken from the URL."""
    session_id = _either(response, "SessionId")
    if session_id is None or session_id != _either(response, "TokenValue"):
        return session_id
    try:
        return unquote(urlsplit(_either(response, "StreamUrl")).path.rpartition("/")[2]) or None
    except (ValueError, TypeError, AttributeError):
        return None  # no URL at all, which is told where it is read


def _stream_region(response: Dict[str, object]) -> Optional[str]:
    try:
        return session_region_of(_either(response, "StreamUrl"))
    except (UsageError, TypeError):
        return None


def _text(request: Dict[str, object], name: str) -> Optional[str]:
    value = request.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError("%s in the request is not text: %s" % (name, USAGE))
    return value or None


def overwrite(secret: str) -> bool:
    """Put ``*`` over each place of ``secret`` in the arguments and the environment that this
    process was started with; whether that could be done."""
    wanted = os.fsencode(secret)
    if not wanted:
        return False
    try:
        with open("/proc/self/stat", "rb") as stat:
            areas = [int(number) for number in stat.read().rpartition(b")")[2].split()[_AREAS]]
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            _overwrite(memory.fileno(), areas[0], areas[1], wanted)
            _overwrite(memory.fileno(), areas[2], areas[3], wanted)
    except (OSError, ValueError, IndexError, OverflowError):
        return False
    return True


def _overwrite(memory: int, start: int, end: int, wanted: bytes) -> None:
    if not 0 < end - start <= _LARGEST:
        return
    data = os.pread(memory, end - start, start)
    place = data.find(wanted)
    while place >= 0:
        os.pwrite(memory, b"*" * len(wanted), start + place)
        place = data.find(wanted, place + len(wanted))
