"""What SendCommand is asked for, with the limits that AWS has for it.

``{{ NAME }}`` in a parameter stands for another parameter of the document. What names nothing, the
Parameter Store's ``{{ ssm:NAME }}`` included, is refused: this service has no such store.
"""

import json
import re
from typing import Any, Callable, Dict, List, Mapping, Match, Sequence, Tuple

from ..named_tuple import NamedTuple
from .json_api import ApiError, Fields, field
from .nodes import LocalNode

DOCUMENT = "AWS-RunShellScript"
PARAMETERS = ("commands", "workingDirectory", "executionTimeout")

MOST_IDS = 50
MOST_TARGETS = 5
MOST_VALUES = 50
MOST_COMMENT = 100
# Bytes that the document and its parameters may have together, as JSON in ASCII: what is not ASCII
# takes six or twelve. AWS's documents alone may have 64 KB; this limit was measured by others.
SIZE_LIMIT = 97 * 1024
DOCUMENT_SIZE = 1200
LEAST_TIMEOUT, MOST_TIMEOUT, DEFAULT_TIMEOUT = 30, 2592000, 3600

# An agent takes the default instead of what is out of its range.
LEAST_EXECUTION, MOST_EXECUTION, DEFAULT_EXECUTION = 5, 172800, 3600

_COUNT = re.compile(r"([1-9][0-9]{0,6}|[1-9][0-9]?%|100%)\Z")
_ERRORS = re.compile(r"(0|[1-9][0-9]{0,6}|[0-9]%|[1-9][0-9]%|100%)\Z")
_EXECUTION = re.compile(r"[1-9][0-9]{0,5}\Z")
_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class CommandRequest(NamedTuple):
    """``parameters`` as they were sent; ``script`` is what the agent writes into its file.
    ``concurrency`` and ``max_errors`` are a number or a percentage. Times are in seconds."""

    parameters: Mapping[str, List[str]]
    script: str
    working_directory: str
    execution_timeout: float
    instance_ids: Sequence[str]
    targets: Sequence[Fields]
    concurrency: str
    max_errors: str
    timeout: int
    comment: str
    bucket: str
    prefix: str


def parse_request(fields: Fields) -> CommandRequest:
    """:raises ApiError: with the code that AWS has for what is wrong"""
    document = field(fields, "DocumentName").rpartition("/")[2]
    if document != DOCUMENT:
        raise ApiError("InvalidDocument", "Document with name %s does not exist." % document[:128])
    parameters = _parameters(field(fields, "Parameters", dict, {}))
    values = {name: _interpolated(parameters, name) for name in parameters}
    instance_ids, targets = _chosen(fields)
    return CommandRequest(
        parameters,
        "\n".join(values["commands"]) + "\n",
        "".join(values.get("workingDirectory", [])[:1]),
        _execution_timeout(values.get("executionTimeout", [])),
        instance_ids,
        targets,
        _matching(fields, "MaxConcurrency", "50", _COUNT),
        _matching(fields, "MaxErrors", "0", _ERRORS),
        _timeout(field(fields, "TimeoutSeconds", int, DEFAULT_TIMEOUT)),
        _short(fields, "Comment", 0, MOST_COMMENT),
        _short(fields, "OutputS3BucketName", 3, 63),
        _short(fields, "OutputS3KeyPrefix", 0, 500),
    )


def share_of(text: str, count: int, at_least: int) -> int:
    """A number as it is, or a percentage of ``count``."""
    if text.endswith("%"):
        return max(at_least, int(text[:-1]) * count // 100)
    return int(text)


def matching(targets: Sequence[Fields], nodes: Sequence[LocalNode]) -> List[LocalNode]:
    """The nodes that all ``targets`` fit. A node that is unknown to the service but named by its id
    is among them, as one without an agent."""
    tests = [_test(one) for one in targets]
    found = [node for node in nodes if all(test(node) for test in tests)]
    known = {node.node_id for node in nodes}
    named = [one for target in targets if target["Key"] == "InstanceIds" for one in _values(target)]
    unknown = [one for one in dict.fromkeys(named) if one not in known]
    if len(targets) > 1:
        return found
    return found + [LocalNode(one, is_registered=False) for one in unknown]


def _test(target: Fields) -> Callable[[LocalNode], bool]:
    key, values = str(target["Key"]), frozenset(_values(target))
    if key == "InstanceIds":
        return lambda node: node.node_id in values
    if key == "tag-key":
        return lambda node: any(tag in values for tag in node.all_tags)
    return lambda node: node.all_tags.get(key[4:]) in values


def _values(target: Fields) -> List[str]:
    values: List[str] = field(target, "Values", list)
    return values


def _chosen(fields: Fields) -> Tuple[List[str], List[Fields]]:
    ids: List[str] = field(fields, "InstanceIds", list, [])
    targets: List[Fields] = field(fields, "Targets", list, [])
    if bool(ids) == bool(targets):
        raise ApiError("ValidationException", "Give either InstanceIds or Targets.")
    if len(ids) > MOST_IDS:
        raise _too_long("instanceIds", MOST_IDS)
    if len(targets) > MOST_TARGETS:
        raise _too_long("targets", MOST_TARGETS)
    if not all(isinstance(one, str) for one in ids):
        raise ApiError("ValidationException", "an instance id is a text")
    if len(set(ids)) < len(ids):
        raise ApiError("DuplicateInstanceId", "You can't specify a managed node ID twice.")
    for target in targets:
        _check_target(target)
    return ids, targets


def _check_target(target: Any) -> None:
    if not isinstance(target, dict):
        raise ApiError("ValidationException", "a target is not an object")
    key, values = field(target, "Key"), _values(target)
    if key not in ("InstanceIds", "tag-key") and not (key.startswith("tag:") and len(key) > 4):
        raise ApiError("InvalidParameters", "The target key %s is not supported." % key[:163])
    if len(values) > MOST_VALUES:
        raise _too_long("targets.1.member.values", MOST_VALUES)
    if not values or not all(isinstance(value, str) for value in values):
        raise ApiError("ValidationException", "a target needs values, each a text")


def _parameters(given: Dict[str, Any]) -> Dict[str, List[str]]:
    for name, values in given.items():
        if name not in PARAMETERS:
            raise ApiError("InvalidParameters", "Parameter %s is not supported." % name[:100])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ApiError("SerializationException", "a parameter is not a list of texts")
    if not given.get("commands"):
        raise ApiError("InvalidParameters", "Parameter commands is required.")
    if len(json.dumps(given)) + DOCUMENT_SIZE > SIZE_LIMIT:
        text = "The total size of your parameter(s) and document exceeds the 97KB limit."
        raise ApiError("MaxDocumentSizeExceeded", text)
    return given


def _interpolated(parameters: Mapping[str, List[str]], name: str) -> List[str]:
    def value(found: "Match[str]") -> str:
        other = found.group(1)
        if other not in parameters or other == name:
            text = "Invalid parameters provided: {{ %s }} in %s can't be resolved."
            raise ApiError("InvalidParameters", text % (other[:100], name))
        return "".join(parameters[other])

    return [_PLACE.sub(value, one) for one in parameters[name]]


def _execution_timeout(values: List[str]) -> float:
    text = "".join(values[:1])
    if text and not _EXECUTION.match(text):
        raise ApiError("InvalidParameters", "Parameter executionTimeout is not valid.")
    seconds = int(text or DEFAULT_EXECUTION)
    in_range = LEAST_EXECUTION <= seconds <= MOST_EXECUTION
    return float(seconds if in_range else DEFAULT_EXECUTION)


def _timeout(seconds: int) -> int:
    if not LEAST_TIMEOUT <= seconds <= MOST_TIMEOUT:
        why = "Member must have value between %d and %d" % (LEAST_TIMEOUT, MOST_TIMEOUT)
        raise invalid("timeoutSeconds", str(seconds), why)
    return seconds


def _matching(fields: Fields, name: str, default: str, pattern: "re.Pattern[str]") -> str:
    text: str = field(fields, name, str, default)
    if not pattern.match(text):
        raise invalid(name[0].lower() + name[1:], text, "Member must be a number or a percentage")
    return text


def _short(fields: Fields, name: str, least: int, most: int) -> str:
    text: str = field(fields, name, str, "")
    if text and not least <= len(text) <= most:
        word = "Member must have length between %d and %d" % (least, most)
        raise invalid(name[0].lower() + name[1:], text, word)
    return text


def _too_long(name: str, most: int) -> ApiError:
    return invalid(name, "[...]", "Member must have length less than or equal to %d" % most)


def invalid(name: str, value: str, why: str) -> ApiError:
    text = "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s"
    return ApiError("ValidationException", text % (value[:200], name, why))
