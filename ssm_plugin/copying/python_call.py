"""What programs that embed us call. Works from any thread.

    import ssm_plugin
    ssm_plugin.copy("i-0123456789abcdef0:/var/log/app.log", "logs/")
"""

import os
import queue
import signal
from typing import Callable, List, Optional, Sequence, Union

from .. import config
from ..errors import UsageError
from ..files import as_path
from ..jobs.fleet import Fleet, FleetEvent
from ..jobs.request import DEFAULT_DOCUMENT, CommandResult
from ..nodes.targets import Found
from ..session.environment import make_environment
from ..terminal.signals import Signalled
from ..transport.worker import run_aside
from ..units import check_seconds, check_speed
from .options import CopiedFile, CopyFailed, CopyOptions, CopyProgress
from .places import Direction, Place, parse_place, plan
from .transfer import TargetCopy, nodes_of

# Seconds that a copy which is interrupted here may take to be ended.
_END_LIMIT = 6.0

Path = Union[str, "os.PathLike[str]"]


def copy(
    source: Union[Path, Sequence[Path]],
    destination: Path,
    *,
    recursive: bool = False,
    preserve: bool = False,
    resume: bool = False,
    compress: bool = False,
    sudo: bool = False,
    timeout: Optional[float] = None,
    progress: Optional[Callable[[CopyProgress], object]] = None,
    profile: Optional[str] = None,
    region: Optional[str] = None,
    endpoint_url: Optional[str] = None,
    document_name: Optional[str] = None,
    reason: Optional[str] = None,
    speed: Optional[str] = None,
    config_file: Optional[str] = None
) -> List[CopiedFile]:
    """Copy files to a node, or from it, and wait. Settings come as for ``ssm-plugin cp``: what is
    given here, then the environment, then the configuration file.

    One side is ``"TARGET:PATH"``; a ``pathlib.Path`` is always on this machine. ``source`` may be a
    list, and the target of a destination may be many, with commas in between. ``timeout`` is in
    seconds, for each target. ``speed`` is ``"plain"``, ``"auto"`` or ``"fast"``, as for
    ``ssm-plugin cp``; None takes that of the configuration. ``progress`` is called with a
    :class:`CopyProgress` in another thread, once for each piece of some 64 KiB; what it raises ends
    the copy and comes out here.

    Returns a result for each file or directory and target. Nothing half-written is ever under the
    final name.

    :raises CopyFailed: if a file could not be copied; ``files`` has the results of all
    :raises SessionInterrupted: if the time limit passed; its ``exit_status`` is 124
    :raises SsmPluginError: if a session could not be started, or was lost
    """
    if speed is not None:
        check_speed(speed)
    check_seconds(timeout=timeout)
    direction = _plan(source, destination)
    settings = config.load(config_file).override(
        profile=profile, region=region, endpoint_url=endpoint_url, document_name=document_name
    )
    options = CopyOptions(
        recursive, preserve, resume, compress, sudo, timeout,
        settings.document_name or DEFAULT_DOCUMENT, reason,
    )
    return _copied(direction, options, speed, settings, progress or (lambda progress: None))


def _copied(
    direction: Direction,
    options: CopyOptions,
    speed: Optional[str],
    settings: config.Settings,
    tell: Callable[[CopyProgress], object],
) -> List[CopiedFile]:
    environment = make_environment(settings)
    files: List[CopiedFile] = []

    def make(node: Found) -> TargetCopy:
        chosen = options._replace(speed=speed or settings.speed_for(node.name))
        return TargetCopy(node, direction, chosen, environment, tell, files.append)

    events: "queue.Queue[FleetEvent]" = queue.Queue()
    nodes = nodes_of(direction, settings, environment.service)
    outcome = run_aside(
        "copy",
        Fleet(nodes, make, events=events).run,
        lambda: events.put(Signalled(signal.SIGTERM)),
        _END_LIMIT,
    )
    return _all_of(_in_order(files, nodes), outcome.results)


def _plan(source: Union[Path, Sequence[Path]], destination: Path) -> Direction:
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    places = [_place(one) for one in sources + [destination]]
    direction = plan(places)
    if any(place.is_stream for place in places):
        raise UsageError("'-' is for the command line; here, run() takes stdin and gives stdout")
    return direction


def _in_order(files: List[CopiedFile], nodes: Sequence[Found]) -> List[CopiedFile]:
    """The files in the order of their nodes, whichever node was done first."""
    places = {node.name: number for number, node in enumerate(nodes)}
    return sorted(files, key=lambda file: places[file.target])


def _all_of(files: List[CopiedFile], results: List[CommandResult]) -> List[CopiedFile]:
    errors = [result.error for result in results if result.error]
    for error in errors:
        if not isinstance(error, CopyFailed):
            raise error
    failed = [result.reason for result in results if result.status]
    if failed:
        raise CopyFailed(failed[0], files) from (errors[0] if errors else None)
    return files


def _place(word: Path) -> Place:
    text = as_path(os.fsdecode(word))
    return parse_place(text) if isinstance(word, str) else Place(None, text)
