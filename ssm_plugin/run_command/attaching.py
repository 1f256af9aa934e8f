"""Finds commands again that were sent before, by their ids: their nodes, names and limits."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..aws.call import entries_of, text_of
from ..config import Settings
from ..errors import NetworkError, ServiceError, UsageError
from ..named_tuple import NamedTuple
from ..nodes.directory import NodeDirectory, by_name
from ..nodes.targets import Found, distinct
from .following import SentCommand
from .listing import known
from .patience import PatientCalls
from .script import is_by_id
from .sending import MOST_EXECUTION, Bucket, is_command_id


class Attached(NamedTuple):
    """``nodes`` of all the commands, named as by the one who sent them, as far as can be known.
    ``timeout`` is what the agents were told, in seconds."""

    commands: Sequence[SentCommand]
    nodes: Sequence[Found]
    timeout: Optional[float] = None
    bucket: Optional[Bucket] = None


def parse_ids(text: str) -> List[str]:
    """:raises UsageError: for what are no ids of commands, with commas in between"""
    ids = [one.strip() for one in text.split(",") if one.strip()]
    wrong = [one for one in ids if not is_command_id(one)]
    if wrong or not ids:
        raise UsageError("%r is not the id of a command" % (wrong[0] if wrong else text)[:50])
    return list(dict.fromkeys(ids))


def find_commands(ids: Sequence[str], calls: PatientCalls, settings: Settings) -> Attached:
    """Look up the commands with these ids.

    :raises UsageError: if the service does not know one of them
    :raises ServiceError: and others, as the service client does"""
    wholes: List[Mapping[str, Any]] = []
    commands: List[SentCommand] = []
    taken: Dict[str, str] = {}
    for command_id in ids:
        whole, seen = known(calls, command_id)
        wholes.append(whole)
        named = entries_of(whole, "InstanceIds", str)  # just after it was sent none is seen yet
        node_ids = list(dict.fromkeys(named + [one.node_id for one in seen]))
        if not node_ids:
            raise UsageError("command %s has not reached any node, or not yet" % command_id)
        again = next((one for one in node_ids if one in taken), None)
        if again is not None:
            raise UsageError(
                "both commands %s and %s went to the node %s: attach to one of them"
                % (taken[again], command_id, again[:100])
            )
        taken.update((one, command_id) for one in node_ids)
        commands.append(SentCommand(command_id, node_ids, takes_more=True))
    first = _parameters(wholes[0])
    if is_by_id(first.get("commands")):
        nodes = [Found(one, one) for one in taken]
    else:
        nodes = _named(list(taken), calls, settings)
    return Attached(commands, nodes, _timeout(first), _bucket(wholes[0]))


def _named(ids: Sequence[str], calls: PatientCalls, settings: Settings) -> List[Found]:
    configured = {target: name for name, target in settings.targets.items()}
    directory = NodeDirectory(calls.service)
    try:
        nodes = by_name(directory.named(directory.with_ids(ids)))
    except (ServiceError, NetworkError):  # not permitted, or no way: their ids are names enough
        nodes = []
    found = [Found(n.node_id, configured.get(n.node_id, n.name)) for n in nodes]
    return distinct(found + [Found(one, configured.get(one, "")) for one in ids])


def _parameters(whole: Mapping[str, Any]) -> Mapping[str, Any]:
    given = whole.get("Parameters")
    return given if isinstance(given, Mapping) else {}


def _timeout(parameters: Mapping[str, Any]) -> Optional[float]:
    values = parameters.get("executionTimeout")
    text = str(values[0]) if isinstance(values, list) and values else ""
    if not text.isdecimal() or int(text) >= MOST_EXECUTION:
        return None
    return float(text)


def _bucket(whole: Mapping[str, Any]) -> Optional[Bucket]:
    name = text_of(whole, "OutputS3BucketName")
    return Bucket(name, text_of(whole, "OutputS3KeyPrefix")) if name else None
