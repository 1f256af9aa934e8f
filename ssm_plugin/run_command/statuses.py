"""What the service says of a command on a node, in words, and the exit status that it means."""

import signal
from typing import Dict, Optional

from ..errors import SessionInterrupted, SessionLost, SsmPluginError
from ..named_tuple import NamedTuple
from ..plugins.command import status_of
from ..session.starting import EXIT_TIME_UP

EXIT_FAILED = 255

# Statuses after which nothing changes any more.
OVER = frozenset(("Success", "Cancelled", "Failed", "TimedOut"))

RUNNING = "InProgress"

# What had begun, or may have.
HAVE_OUTPUT = frozenset(("Success", "Cancelled", "Failed", "ExecutionTimedOut"))

_NOT_BEGUN: Dict[str, str] = {
    "DeliveryTimedOut": (
        "the node did not answer in time; check that it is running and its SSM Agent is online"
    ),
    "Undeliverable": (
        "AWS cannot deliver commands to the node; check that it exists, that it is running and "
        "that its SSM Agent is online"
    ),
    "Terminated": "too many others had failed",
    "InvalidPlatform": "AWS-RunShellScript is for Linux and macOS, and the node has neither",
    "AccessDenied": "the node is not permitted to run commands; check its role and its agent",
    "RateExceeded": "too many commands wait in this account; try again later",
    "NoInstancesInTag": "no node has the tag any more",
    "NotChosen": "AWS did not choose the node; its tags may have changed",
}


class Cause(NamedTuple):
    """Why we cancelled it: a signal, or a time limit (s), or as so many others had failed."""

    signum: Optional[int] = None
    time_limit: Optional[float] = None
    delivery: Optional[float] = None
    failed: Optional[int] = None


NOBODY = Cause()


class Verdict(NamedTuple):
    """``error`` is None if the command ended by itself, or a signal ended it."""

    status: int
    reason: str = ""
    error: Optional[SsmPluginError] = None


def normal(details: object) -> str:
    """``StatusDetails`` without the spaces that some of the documentation has in them."""
    return details.replace(" ", "") if isinstance(details, str) else ""


def verdict(
    name: str,
    details: str,
    code: int,
    said: str = "",
    ran: bool = True,
    cause: Cause = NOBODY,
    time_limit: Optional[float] = None,
) -> Verdict:
    """``code`` is the command's own status, ``said`` what the agent says where there is none.
    ``ran``: it had begun."""
    if details in ("Success", "Failed"):
        if code >= 0 and not said:
            return Verdict(status_of(code))
        return _lost(name, "the node could not run it: %s" % (said or "no exit status came"))
    if details == "ExecutionTimedOut" or (details == "Cancelled" and cause.time_limit and ran):
        return _late(name, cause.time_limit or time_limit)
    if details == "Cancelled":
        return _cancelled(name, ran, cause)
    if details == "Terminated" and cause.failed:
        return _not_begun(name, "%d had failed" % cause.failed)
    return _not_begun(name, _NOT_BEGUN.get(details) or "the service says %s" % details[:40])


def _cancelled(name: str, ran: bool, cause: Cause) -> Verdict:
    if cause.signum is not None:
        return signalled(name, cause.signum, ran)
    if cause.failed is not None:
        why = "%d had failed" % cause.failed
        return _lost(name, "cancelled: %s" % why) if ran else _not_begun(name, why)
    if cause.delivery is not None or cause.time_limit is not None:
        return _not_begun(name, _NOT_BEGUN["DeliveryTimedOut"])
    return _lost(name, "somebody cancelled it at AWS")


def signalled(name: str, signum: int, ran: bool) -> Verdict:
    """The verdict on a node that a signal ended, or kept from beginning."""
    if ran:
        return Verdict(128 + signum, "ended by signal %d here" % signum)
    reason = "not begun: signal %d came" % signum
    return Verdict(128 + signum, reason, _interrupted(name, "was " + reason, 128 + signum))


def not_sent(name: str, signum: Optional[int], failed: int) -> Verdict:
    """The verdict on a node to which nothing was sent any more, after a signal or so many
    failures."""
    if failed and signum is None:
        return _not_begun(name, "%d had failed" % failed)
    return signalled(name, signum or int(signal.SIGTERM), ran=False)


def without_result(
    name: str, signum: int, command_id: Optional[str], is_detached: bool
) -> Verdict:
    """The verdict on a node that a signal kept from beginning; or that goes on without us; or that
    was cancelled and has not ended, as far as we know."""
    if command_id is None:
        return signalled(name, signum, ran=False)
    what = reason = "goes on at AWS: 'ssm-plugin exec --attach %s' follows it" % command_id
    if not is_detached:
        reason = "given up: it did not end after signal %d" % signum
        what = "was " + reason
    return Verdict(128 + signum, reason, _interrupted(name, what, 128 + signum))


def not_chosen(name: str, details: str) -> Verdict:
    """The verdict on a node that the command, which is over, never reached."""
    return _not_begun(name, _NOT_BEGUN.get(details) or _NOT_BEGUN["NotChosen"])


def _late(name: str, time_limit: Optional[float]) -> Verdict:
    limit = "" if time_limit is None else " of %g s" % time_limit
    reason = "the time limit%s for the command on %s has passed" % (limit, name)
    return Verdict(EXIT_TIME_UP, reason, SessionInterrupted(reason, EXIT_TIME_UP))


def _not_begun(name: str, why: str) -> Verdict:
    reason = "not begun: %s" % why
    return Verdict(
        EXIT_FAILED, reason, SessionLost("the command on %s was %s" % (name, reason))
    )


def _lost(name: str, reason: str) -> Verdict:
    return Verdict(EXIT_FAILED, reason, SessionLost("the command on %s: %s" % (name, reason)))


def _interrupted(name: str, what: str, status: int) -> SessionInterrupted:
    return SessionInterrupted("the command on %s %s" % (name, what), status)
