"""Asks the service what became of commands."""

from typing import Any, Iterator, List, Mapping, Tuple

from ..aws.call import entries_of, pages
from ..errors import ServiceError, UsageError
from ..named_tuple import NamedTuple
from .following import Seen
from .patience import PatientCalls
from .statuses import OVER, normal

LIST = "ssm:ListCommandInvocations"
DESCRIBE = "ssm:ListCommands"
PAGE = 50


class Look(NamedTuple):
    """``is_over``: the service says so of the whole command; only asked with ``with_whole``."""

    seen: List[Seen]
    is_over: bool = False
    details: str = ""


def look(calls: PatientCalls, command_id: str, with_whole: bool = False) -> Look:
    # First the whole: a list that is read after the end is complete.
    whole = described(calls, command_id) if with_whole else {}
    seen = list(invocations(calls, command_id))
    is_over = bool(whole) and whole.get("Status") in OVER
    return Look(seen, is_over, normal(whole.get("StatusDetails")))


def invocations(calls: PatientCalls, command_id: str) -> Iterator[Seen]:
    request = {"CommandId": command_id, "MaxResults": PAGE}
    for answer in pages(lambda page: calls.call(LIST, page, command_id), request, LIST):
        for fields in entries_of(answer, "CommandInvocations"):
            found = tuple(fields.get(name) for name in ("InstanceId", "Status", "StatusDetails"))
            if all(isinstance(one, str) for one in found):
                node_id, status, details = (str(one) for one in found)
                yield Seen(node_id, normal(status), normal(details))


def described(calls: PatientCalls, command_id: str) -> Mapping[str, Any]:
    """What ListCommands says of it; empty if nothing."""
    answer = calls.call(DESCRIBE, {"CommandId": command_id}, command_id)
    return next(iter(entries_of(answer, "Commands")), {})


def known(calls: PatientCalls, command_id: str) -> Tuple[Mapping[str, Any], List[Seen]]:
    """A command that was sent before. :raises UsageError: if the service knows none"""
    try:
        whole = described(calls, command_id)
    except ServiceError as error:
        if error.code != "InvalidCommandId":
            raise
        whole = {}
    if not whole:
        raise UsageError(
            "the service knows no command %s: check the id, the region and the account; it forgets "
            "commands after 30 days" % command_id[:40]
        )
    return whole, list(invocations(calls, command_id))
