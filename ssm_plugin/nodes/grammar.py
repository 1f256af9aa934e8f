"""How a target is written. Pure: nothing is looked up, and nothing that could is imported.

======================= ========================================================
``i-...`` ``mi-...``    the id of a node, as it is; likewise ``ecs:CLUSTER_TASK_RUNTIME``
``ecs:CLUSTER/NAME``    a service's container, or a task's; ``/CONTAINER`` may follow
``tag:KEY=VALUE``       nodes with this tag
``ip:ADDRESS``          the node with this address
``name:NAME``           nodes whose tag ``Name`` has this value
any other word          a name of the configuration, else as ``name:``
======================= ========================================================

The configuration's names come first, whatever they look like, and stand for any of these.
"""

import ipaddress
import re
from typing import List, Mapping

from ..errors import UsageError
from ..files import as_typed
from ..named_tuple import NamedTuple

# For users.
TARGET_HELP = "id or name of a node, tag:KEY=VALUE, ip:ADDRESS, ecs:CLUSTER/SERVICE"

ID, TAG, ADDRESS, NAME, CONTAINER = "id", "tag", "address", "name", "container"

# The second is how nodes of a SageMaker cluster are addressed.
_AS_THEY_ARE = re.compile(r"m?i-|ecs:|sagemaker-cluster:")


class Target(NamedTuple):
    """``kind`` is one of the above, ``value`` the id, address, name, or the tag's value.
    ``written`` is what the user wrote."""

    kind: str
    value: str
    written: str
    key: str = ""


def parse_target(word: str, configured: Mapping[str, str] = {}) -> Target:
    """:raises UsageError: for what can be no target"""
    word = as_typed(word)
    meaning = configured.get(word, word)
    if not meaning:
        raise UsageError("the target is empty")
    if meaning.startswith("ecs:") and ("/" in meaning or meaning.count("_") < 2):
        return Target(CONTAINER, meaning[len("ecs:"):], word)
    if _AS_THEY_ARE.match(meaning):
        return Target(ID, meaning, word)
    kind, colon, value = meaning.partition(":")
    if kind == "tag" and colon:
        return _tag(value, word)
    if kind == "ip" and colon:
        return _address(value, word)
    if kind == "name" and colon:
        if not value:
            raise UsageError("the target %r holds no name: it is written name:NAME" % word[:100])
        return Target(NAME, value, word)
    return Target(NAME, meaning, word)


def split_targets(text: str) -> List[str]:
    """Targets with commas in between. A comma of a name is written ``\\,``."""
    words = re.split(r"(?<!\\),", text)
    return [word.replace("\\,", ",").strip() for word in words if word.strip()]


def _tag(text: str, word: str) -> Target:
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise UsageError("the target %r is not written tag:KEY=VALUE" % word[:100])
    return Target(TAG, value, word, key)


def _address(text: str, word: str) -> Target:
    try:
        return Target(ADDRESS, str(ipaddress.ip_address(text)), word)
    except ValueError as error:
        raise UsageError("the target %r holds no IP address" % word[:100]) from error
