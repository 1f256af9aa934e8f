"""From what the user wrote to what the service wants. An id is not looked up, and loads nothing."""

from collections import Counter
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

from ..aws.client import ServiceClient
from ..config import Settings
from ..errors import ServiceError, UsageError
from ..named_tuple import NamedTuple
from ..strict_yaml import nearest
from .grammar import CONTAINER, ID, NAME, Target, parse_target

if TYPE_CHECKING:
    from .directory import NodeDirectory
    from .node import Node

# So many nodes are listed in an error, which is one line.
LISTED = 8


class Found(NamedTuple):
    """``target`` is what the service knows, ``name`` what the user knows it by. No two that are
    found together have the same name."""

    target: str
    name: str


def check_target(word: str, settings: Settings) -> Target:
    """Parse a target, without looking anything up.

    :raises UsageError: for what can be no target"""
    target = parse_target(word, settings.targets)
    if target.kind == CONTAINER:
        from .containers import address_of  # most targets are nodes

        address_of(target)
    return target


def find_one(
    word: str,
    settings: Settings,
    service: Optional[ServiceClient],
    ask: bool = False,
) -> str:
    """The node that a word means, as the service knows it. Of several, the person at the terminal
    says which, if there is one who may be asked.

    :raises UsageError: if there is none; if there are several, and nobody to ask
    """
    return find_host(word, settings, service, ask, any_case=False).target


def find_host(
    word: str,
    settings: Settings,
    service: Optional[ServiceClient],
    ask: bool = False,
    any_case: bool = True,
) -> Found:
    """As :func:`find_one`, with the word that it is known by here. With ``any_case`` a name that
    nobody has may mean the only one that differs from it in capitals alone."""
    target = check_target(word, settings)
    if target.kind == ID:
        return Found(target.value, word)
    if target.kind == CONTAINER:
        from .chooser import one_container

        return Found(one_container(_needed(service), target, ask), word)
    directory = _directory(service)
    found = _looked_up(directory, target, names=False)
    if not found:
        known = _known(directory, target, settings)
        wanted = target.value.casefold() if any_case else None
        same = {name for name in known if name.casefold() == wanted}
        if len(same) != 1:
            raise _none(target, settings, known)
        return find_host(same.pop(), settings, service, ask, any_case=False)
    if len(found) == 1:
        return Found(found[0].node_id, word)
    from .chooser import choose, somebody_is_there
    from .directory import by_name

    found = by_name(directory.named(found))
    if not (ask and somebody_is_there()):
        raise _several(target, found)
    return Found(choose(target, found).node_id, word)


def find_all(
    words: Sequence[str],
    settings: Settings,
    service: Optional[ServiceClient],
    ask: bool = False,
    all_tasks: bool = False,
) -> List[Found]:
    """All nodes that the words mean, each once, in the order of the words, then by name. If a word
    means several containers, one is chosen as by :func:`find_one`; with ``all_tasks`` one of each
    task.

    :raises UsageError: if a word means none"""
    found: List[Found] = []
    for word in words:
        target = check_target(word, settings)
        if target.kind == ID:
            found.append(Found(target.value, target.written))
        elif target.kind == CONTAINER:
            from .chooser import one_container, one_of_each_task

            if all_tasks:
                several = one_of_each_task(_needed(service), target)
                found += [Found(one, one.shown) for one in several]
            else:
                found.append(Found(one_container(_needed(service), target, ask), target.written))
        else:
            nodes = nodes_of(_directory(service), target, settings)
            one = target.kind == NAME and len(nodes) == 1
            found += [Found(n.node_id, target.written if one else n.name) for n in nodes]
    return distinct(found)


def distinct(found: Sequence[Found]) -> List[Found]:
    """Each node once. A node without a name, or with the name of another one, is called by its
    id."""
    once: Dict[str, Found] = {}
    for one in found:
        once.setdefault(one.target, one)
    many = Counter(one.name for one in once.values())
    # Nobody is called by the id of another one, who may be called by it.
    many.update(one.target for one in once.values() if one.name != one.target)
    return [
        one if one.name and many[one.name] == 1 else Found(one.target, one.target)
        for one in once.values()
    ]


def _needed(service: Optional[ServiceClient]) -> ServiceClient:
    assert service is not None, "targets are looked up at the service"
    return service


def _directory(service: Optional[ServiceClient]) -> "NodeDirectory":
    from .directory import NodeDirectory  # an id needs none

    return NodeDirectory(_needed(service))


def nodes_of(directory: "NodeDirectory", target: Target, settings: Settings) -> "List[Node]":
    """All nodes that a target means, sorted by name.

    :raises UsageError: if there is none; its text suggests similar names"""
    found = _looked_up(directory, target, names=True)
    if not found:
        raise _none(target, settings, _known(directory, target, settings))
    return found


def _looked_up(directory: "NodeDirectory", target: Target, names: bool) -> "List[Node]":
    try:
        return directory.of(target, names)
    except ServiceError as error:
        text = "cannot look up the target %r: %s" % (target.written[:200], error)
        raise ServiceError(text, error.code, error.status) from error


def _known(directory: "NodeDirectory", target: Target, settings: Settings) -> List[str]:
    """The names that one which nobody has may stand for."""
    return list(settings.targets) + directory.names() if target.kind == NAME else []


def _none(target: Target, settings: Settings, known: Sequence[str]) -> UsageError:
    text = "no node is found for the target %r" % target.written[:200]
    meaning = settings.targets.get(target.written)
    if meaning is not None:
        text += ", which means %r in the configuration" % meaning[:200]
    text += near_names(target.value, known)
    return UsageError(text + "; 'ssm-plugin list' shows those that are there")


def near_names(name: str, known: Sequence[str]) -> str:
    """The end of an error message: the names that are closest; empty if none is close."""
    near = nearest(name, known, 3)
    if not near:
        return ""
    said = [repr(one[:100]) for one in near]
    return "; did you mean %s?" % " or ".join(filter(None, (", ".join(said[:-1]), said[-1])))


def _several(target: Target, found: "Sequence[Node]") -> UsageError:
    listed = ", ".join(
        "%s (%s)" % (n.node_id, ", ".join(filter(None, (n.name[:100], n.address, n.status))))
        for n in found[:LISTED]
    )
    more = " and %d more" % (len(found) - LISTED) if len(found) > LISTED else ""
    return UsageError(
        "the target %r means %d nodes, and one is wanted: %s%s; give the id of one"
        % (target.written[:200], len(found), listed, more)
    )
