"""Names and ids of nodes, kept for five minutes, so that a shell can complete them without asking.

One private file in the user's cache folder: the nodes of the account that was asked last. It is
only a help: a file with anything wrong counts as absent. Its content is only shown, or completed.
"""

import json
import os
import time
from typing import Any, Iterable, List, Mapping, Optional

from ..aws.profiles import profile_name
from ..config import Settings
from ..files import MIB, make_private_directories, read_regular, replace_whole, user_directory
from .node import Node

MAX_AGE = 300.0  # s
MOST = 10000  # nodes

_FORMAT = 1


def cache_path(environ: Mapping[str, str]) -> str:
    base = user_directory(environ, "XDG_CACHE_HOME", ".cache")
    return os.path.join(base, "ssm-plugin", "nodes.json")


def store(nodes: Iterable[Node], settings: Settings, environ: Mapping[str, str]) -> None:
    """Keep what was found for whoever asks with the same profile, region and endpoint."""
    path = cache_path(environ)
    document = {
        "format": _FORMAT,
        "asked": _asked(settings, environ),
        "at": time.time(),
        "nodes": [[node.node_id, node.name] for node in nodes][:MOST],
    }
    try:
        make_private_directories(os.path.dirname(path))
        replace_whole(path, json.dumps(document) + "\n")
    except OSError:
        pass  # a full disk, no home: then nothing is completed


def load(settings: Settings, environ: Mapping[str, str]) -> List[Node]:
    """Those that were found at most :data:`MAX_AGE` ago; none where there is no such file."""
    try:
        data = read_regular(cache_path(environ), 4 * MIB, trusted=True)
        document = json.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        return []
    at = document.get("at")
    fresh = isinstance(at, (int, float)) and 0 <= time.time() - at <= MAX_AGE
    if not fresh or document.get("asked") != _asked(settings, environ):
        return []
    entries = document.get("nodes")
    found = [_node(entry) for entry in entries] if isinstance(entries, list) else []
    return [node for node in found if node is not None]


def _asked(settings: Settings, environ: Mapping[str, str]) -> List[Optional[str]]:
    """Who was asked by whom. Keys are no part of it: the file names nothing secret."""
    profile = profile_name(settings.profile, environ)
    return [profile, settings.region, settings.endpoint_url]


def _node(entry: Any) -> Optional[Node]:
    if isinstance(entry, list) and len(entry) == 2 and all(isinstance(e, str) for e in entry):
        return Node(entry[0], entry[1])
    return None
