"""All checks: which wait for which, those that do not at once, each under its time limit.

What fails makes others fail, so a cause is not told twice: without a region nothing is connected
to, without a way to the service it is not asked. The findings keep the order of causes, in which
the first problem is the one to be mended first.
"""

import queue
import time
from functools import partial
from typing import Callable, Dict, Mapping, Optional, Tuple

from ..aws.client import ServiceClient
from ..aws.credentials import CredentialProvider
from ..config import Settings
from ..errors import SsmPluginError
from ..session.environment import given_endpoint
from ..transport.worker import Worker, WorkerFailed
from .document import DOCUMENT, KMS, check_document
from .finding import NOTE, PROBLEM, SKIPPED, Finding, Findings, clean, from_error, problems
from .installation import PATH, check_path, check_program
from .node import (
    AGENT,
    CONNECTION,
    LISTING,
    SPEED,
    TARGET,
    check_connection,
    check_listing,
    check_node,
    check_speed,
    resolve_target,
)
from .settings import (
    CREDENTIALS,
    IDENTITY,
    Known,
    check_credentials,
    check_identity,
    check_settings,
)
from .way import CLOCK, check_way

TIME_LIMIT = 9.5  # s for each check
CALL_LIMIT = 8.0  # s for each call with its retries

Check = Callable[[], Findings]
Checks = Dict[str, Check]

PERMISSIONS = "permissions"

# Findings are sorted by this. What stands first is the cause of what stands later: by a clock that
# is ahead, credentials look expired.
_ORDER = (
    "program", "configuration", "profile", "region", CLOCK, CREDENTIALS, "way to ssm",
    "way to ssmmessages", IDENTITY, PERMISSIONS, TARGET, AGENT, CONNECTION, LISTING, DOCUMENT, KMS,
    SPEED, PATH,
)  # fmt: skip
# With a problem there, no service can be asked.
_BLOCKING = ("profile", "region", CLOCK, CREDENTIALS, "way to ssm")


class Examination:
    """``target`` is a word as the user wrote it; None: everything but a target."""

    def __init__(
        self, load: Callable[[], Settings], target: Optional[str], environ: Mapping[str, str]
    ) -> None:
        self._load = load
        self._target = target
        self._environ = environ

    def findings(self) -> Findings:
        known, found = check_settings(self._load, self._environ)
        provider = CredentialProvider(
            known.settings.profile, self._environ, CALL_LIMIT, region=known.region
        )
        found += check_program() + at_once(self._before_the_service(known, provider))
        found += self._at_the_service(known, provider, found)
        return sorted(map(clean, found), key=lambda one: _ORDER.index(one.check))

    def _before_the_service(self, known: Known, provider: CredentialProvider) -> Checks:
        checks: Checks = {
            PATH: partial(check_path, self._environ),
            CREDENTIALS: partial(check_credentials, provider),
        }
        for name in ("ssm", "ssmmessages") if known.region else ():
            checks["way to " + name] = partial(check_way, name, known, self._environ)
        return checks

    def _at_the_service(
        self, known: Known, provider: CredentialProvider, found: Findings
    ) -> Findings:
        wrong = [one.check for one in problems(found)]
        obstacle = next((name for name in _BLOCKING if name in wrong), None)
        if obstacle is not None:
            asked = LISTING if self._target is None else TARGET
            why = "not asked, because of the problem with: %s" % obstacle
            return [Finding(name, SKIPPED, why) for name in (IDENTITY, asked, DOCUMENT)]
        service = self._service(known, provider)
        target, resolved = self._resolved(known.settings, service)
        checks: Checks = {IDENTITY: partial(check_identity, service)}
        if target:
            checks[TARGET] = partial(check_node, target, service)
            checks[CONNECTION] = partial(check_connection, target, service)
        elif self._target is None:
            checks[LISTING] = partial(check_listing, service)
        name = known.settings.document_name
        checks[DOCUMENT] = partial(check_document, name, target, service)
        speed = known.settings.speed_for(self._target or "")
        if speed != "plain":
            checks[SPEED] = partial(check_speed, speed, target, service)
        return resolved + _judge_permissions(at_once(checks), target)

    def _service(self, known: Known, provider: CredentialProvider) -> ServiceClient:
        assert known.region is not None, "without a region no service is asked"
        return ServiceClient(
            provider,
            known.region,
            given_endpoint(known.settings, self._environ),
            known.settings.network,
            self._environ,
            known.profile,
            timeout=CALL_LIMIT,
        )

    def _resolved(self, settings: Settings, service: ServiceClient) -> Tuple[str, Findings]:
        if self._target is None:
            return "", []
        word = self._target
        found: Dict[str, str] = {}

        def check() -> Findings:
            found[TARGET], findings = resolve_target(word, settings, service)
            return findings

        findings = at_once({TARGET: check})
        return found.get(TARGET, ""), findings


def at_once(checks: Checks) -> Findings:
    """Run the checks, each in a thread of its own. One that takes longer than :data:`TIME_LIMIT` is
    not waited for."""
    answers: "queue.Queue[Tuple[str, Findings]]" = queue.Queue()
    for name, check in checks.items():
        Worker("doctor " + name, partial(_answer, answers, name, check), _ignore).start()
    until = time.monotonic() + TIME_LIMIT
    found: Dict[str, Findings] = {}
    while len(found) < len(checks):
        try:
            name, findings = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        found[name] = findings
    text = "it took longer than %g s" % TIME_LIMIT
    late = [Finding(name, PROBLEM, text, "try again") for name in checks if name not in found]
    return [one for findings in found.values() for one in findings] + late


def _answer(answers: "queue.Queue[Tuple[str, Findings]]", name: str, check: Check) -> None:
    try:
        answers.put((name, check()))
    except SsmPluginError as error:
        answers.put((name, [from_error(name, error)]))
    except Exception as error:  # a mistake of ours in one check must not hide what others found
        text = "internal error: %s: %s" % (type(error).__name__, error)
        answers.put((name, [Finding(name, PROBLEM, text)]))


def _ignore(failed: WorkerFailed) -> None:
    """What is not an ``Exception`` ends the process elsewhere; here it is late, and no more."""


def _judge_permissions(found: Findings, target: str) -> Findings:
    """Sessions need none of the permissions that we need to look around. But where all that is
    asked is denied, sessions most likely are, too."""
    asked = [one for one in found if one.check in (TARGET, CONNECTION, LISTING, DOCUMENT)]
    denied = [one for one in asked if one.denied]
    noted = [one._replace(mark=NOTE) if one in denied else one for one in found]
    if not denied or len(denied) < len(asked):
        return noted
    text = "the credentials allow no call of SSM: %s" % denied[0].text
    remedy = "they need the permission ssm:StartSession on %s and on the session document" % (
        target or "the nodes"
    )
    return noted + [Finding(PERMISSIONS, PROBLEM, text, remedy)]
