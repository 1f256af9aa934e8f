"""One command on many nodes, for programs that embed us: a result as each node ends.

    for result in ssm_plugin.run_many("tag:Role=web", ["uname", "-r"], parallel=50):
        print(result.target, result.status, result.stdout.decode())
"""

import queue
import signal
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from . import config
from .config import Settings
from .errors import SsmPluginError, UsageError
from .fleet_plan import MOST_PARALLEL, PARALLEL, FleetPlan, error_limit
from .jobs.engine import FleetEngine, FleetOrder, SessionsEngine
from .jobs.fleet import LEAVE_LIMIT, FleetEvent
from .jobs.request import DEFAULT_DOCUMENT, CommandResult, command_words
from .named_tuple import NamedTuple
from .nodes.grammar import split_targets
from .nodes.targets import Found, check_target, find_all
from .run_command.engine import RunCommandEngine
from .session.environment import Environment, make_environment
from .session.streams import CallableStreams
from .terminal.signals import Signalled
from .transport.worker import Worker, WorkerFailed
from .units import check_seconds

# The engines, by what ``via`` says.
ENGINES: Dict[str, Callable[[Environment], FleetEngine]] = {
    "sessions": SessionsEngine,
    "run-command": lambda environment: RunCommandEngine(environment, quiet=True),
}


class NodeResult(NamedTuple):
    """What became of one node.

    Attributes:
        target: what the node is called, ``node`` its id
        status: the command's exit status; 124 where the time was over, 255 where the command could
            not be run or its status never arrived
        stdout: all of it, as is ``stderr``
        reason: what went wrong, in words; empty if the command ended by itself
        session_id: empty if there was no session
        command_id: of Run Command; empty if that was not the engine
        truncated: of ``stdout`` and ``stderr``, what lacks its end
        seconds: from the start to the end
        error: what went wrong on our side, if anything did
    """

    target: str
    node: str
    status: int
    stdout: bytes
    stderr: bytes
    reason: str
    session_id: str
    seconds: float
    error: Optional[SsmPluginError]
    command_id: str = ""
    truncated: Tuple[str, ...] = ()


def run_many(
    targets: Union[str, Sequence[str]],
    argv: Union[str, Sequence[str]],
    *,
    parallel: int = PARALLEL,
    max_errors: Union[None, int, str] = None,
    rolling: Optional[int] = None,
    pause: float = 0,
    timeout: Optional[float] = None,
    via: str = "sessions",
    profile: Optional[str] = None,
    region: Optional[str] = None,
    endpoint_url: Optional[str] = None,
    document_name: Optional[str] = None,
    reason: Optional[str] = None,
    config_file: Optional[str] = None
) -> Iterator[NodeResult]:
    """Run a command on many nodes: a generator of a :class:`NodeResult` for each, in the order in
    which they end. Settings come as for ``ssm-plugin exec``.

    ``targets`` is a list, or a str with commas in between: ids, names, ``tag:KEY=VALUE``, as for
    ``exec``. ``argv`` is a list, whose words arrive as they are, or a str, which ``sh`` at the node
    reads. So many run at once as ``parallel`` says; once ``max_errors`` (``3``, ``"10%"``) have
    failed no more are started, and those come last, with their reason. With ``rolling`` they run in
    batches of so many, with ``pause`` seconds after each. ``timeout`` is in seconds, for each node.
    ``via`` is the engine: ``"sessions"``, or ``"run-command"``, which AWS runs. That one keeps only
    the beginning of an output; ``truncated`` of a result names the streams that are not whole.

    The targets are looked up by this call; the commands start with the first ``next``. A node that
    fails is a result and raises nothing. All output of a node is kept in memory until its result
    is taken; who takes none keeps further nodes from being started. Closing the generator, or an
    exception that comes meanwhile (KeyboardInterrupt), ends the commands that run.

    :raises UsageError: if a target means no node, or an argument makes no sense
    :raises SsmPluginError: if the targets cannot be looked up
    """
    check_seconds(pause=pause, timeout=timeout)
    plan = FleetPlan(
        _number(parallel, "parallel"),
        error_limit(max_errors),
        None if rolling is None else _number(rolling, "rolling"),
        pause,
    ).check()
    if via not in ENGINES:
        raise UsageError("via is one of %s" % ", ".join(sorted(ENGINES)))
    command = command_words(argv)
    settings = config.load(config_file).override(
        profile=profile, region=region, endpoint_url=endpoint_url, document_name=document_name
    )
    words = _words(targets, settings)
    environment = make_environment(settings)
    order = FleetOrder(
        find_all(words, settings, environment.service),
        command,
        plan,
        settings.document_name or DEFAULT_DOCUMENT,
        timeout,
        reason=reason,
    )
    return _results(ENGINES[via](environment), order)


def _words(targets: Union[str, Sequence[str]], settings: Settings) -> List[str]:
    words = split_targets(targets) if isinstance(targets, str) else list(targets)
    if not words:
        raise UsageError("there is no target")
    for word in words:
        check_target(word, settings)
    return list(dict.fromkeys(words))


def _number(given: int, what: str) -> int:
    if not isinstance(given, int) or not 1 <= given <= MOST_PARALLEL:
        raise UsageError("%s is a number from 1 to %d, not %r" % (what, MOST_PARALLEL, given))
    return given


def _results(engine: FleetEngine, order: FleetOrder) -> Iterator[NodeResult]:
    run = _Run(engine, order)
    try:
        yield from run.results()
    finally:
        run.end()


class _Run:
    """An engine at work in a thread of its own, which waits where nobody takes its results. None
    comes after the last of them."""

    def __init__(self, engine: FleetEngine, order: FleetOrder) -> None:
        self._engine = engine
        self._order = order
        self._events: "queue.Queue[FleetEvent]" = queue.Queue()
        self._ended: "queue.Queue[Union[NodeResult, WorkerFailed, None]]" = queue.Queue(
            order.plan.parallel
        )
        self._outputs: Dict[str, Tuple[List[bytes], List[bytes]]] = {}
        self._is_over = False
        Worker("fleet", self._work, self._ended.put).start()

    def results(self) -> Iterator[NodeResult]:
        while True:
            ended = self._ended.get()
            if isinstance(ended, NodeResult):
                yield ended
                continue
            self._is_over = True
            if isinstance(ended, WorkerFailed):
                raise ended.error
            return

    def end(self) -> None:
        """End what runs, and wait for it."""
        if not self._is_over:
            self._events.put(Signalled(signal.SIGTERM))
        try:
            while not self._is_over:
                self._is_over = not isinstance(self._ended.get(timeout=LEAVE_LIMIT), NodeResult)
        except queue.Empty:
            pass  # it is stuck, and its threads end with the process

    def _work(self) -> None:
        self._engine.run(self._order, self._streams, self._events, tell=self._tell)
        self._ended.put(None)

    def _streams(self, node: Found) -> CallableStreams:
        stdout, stderr = self._outputs[node.target] = [], []
        return CallableStreams(stdout.append, stderr.append)

    def _tell(self, result: CommandResult) -> None:
        stdout, stderr = self._outputs.pop(result.target, ([], []))
        self._ended.put(
            NodeResult(
                result.name,
                result.target,
                result.status,
                b"".join(stdout),
                b"".join(stderr),
                result.reason,
                result.session_id,
                result.seconds,
                result.error,
                result.command_id,
                result.truncated,
            )
        )
