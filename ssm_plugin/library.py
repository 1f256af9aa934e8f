"""What programs that embed us call. Works from any thread, and several at once in one process.

    import ssm_plugin
    result = ssm_plugin.run("i-0123456789abcdef0", ["uname", "-a"], timeout=60)
    print(result.status, result.stdout.decode())
"""

import io
import signal
from typing import IO, Callable, List, Optional, Sequence, Union

from . import config
from .errors import SsmPluginError, UsageError
from .jobs.remote_command import RemoteCommand
from .jobs.request import DEFAULT_DOCUMENT, CommandRequest, CommandResult, ReadInput, command_words
from .named_tuple import NamedTuple
from .nodes.targets import check_target, find_one
from .session.environment import make_environment
from .session.streams import CallableStreams
from .terminal.signals import Signalled
from .transport.worker import run_aside
from .units import check_seconds

_PIECE = 65536

# Seconds that a command which is interrupted here may take to be ended.
END_LIMIT = 6.0


class CompletedCommand(NamedTuple):
    """``status`` is the command's exit status, 128+n if signal n ended it at the node. ``stdout``
    and ``stderr`` are empty where a callable took the output. ``reason`` is what the service said
    of the end; usually nothing."""

    status: int
    stdout: bytes
    stderr: bytes
    session_id: str
    reason: str


class CommandFailed(SsmPluginError):
    """The command ran, and its status is not 0; raised with ``check``. ``result`` is its result."""

    def __init__(self, message: str, result: CompletedCommand) -> None:
        super().__init__(message)
        self.result = result


def run(
    target: str,
    argv: Union[str, Sequence[str]],
    *,
    stdin: Union[None, bytes, IO[bytes]] = None,
    timeout: Optional[float] = None,
    check: bool = False,
    stdout: Optional[Callable[[bytes], object]] = None,
    stderr: Optional[Callable[[bytes], object]] = None,
    profile: Optional[str] = None,
    region: Optional[str] = None,
    endpoint_url: Optional[str] = None,
    document_name: Optional[str] = None,
    reason: Optional[str] = None,
    config_file: Optional[str] = None
) -> CompletedCommand:
    """Run a command on a node and wait for it. Settings come as for ``ssm-plugin exec``: what is
    given here, then the environment, then the configuration file.

    ``target`` is an id, a configured name, ``tag:KEY=VALUE``, ``ip:ADDRESS``, ``name:NAME`` or the
    name of a node, and must mean one node. ``argv`` is a list, whose words arrive as they are, or
    a str, which ``sh`` at the node reads.
    ``stdin`` is bytes, or a binary file that is read to its end in another thread. ``timeout`` is
    in seconds, from the call on. All output is kept in memory, unless ``stdout`` and ``stderr``
    are callables: they get it piece by piece, in another thread, and a slow one slows the command
    down. What they raise, or reading ``stdin`` does, ends the command and comes out here. A
    KeyboardInterrupt that comes meanwhile ends the command, too.

    :raises UsageError: if ``target`` means no node, or several, or ``argv`` can be no command
    :raises CommandFailed: with ``check``, for a status that is not 0; it has ``result``
    :raises SessionInterrupted: if the time limit passed; its ``exit_status`` is 124
    :raises SsmPluginError: if the command could not be started, or its status never arrived
    """
    command = command_words(argv)
    check_seconds(timeout=timeout)
    settings = config.load(config_file).override(
        profile=profile, region=region, endpoint_url=endpoint_url, document_name=document_name
    )
    check_target(target, settings)
    environment = make_environment(settings)
    broken: List[BaseException] = []  # what reading stdin raised
    request = CommandRequest(
        find_one(target, settings, environment.service),
        command,
        target,
        settings.document_name or DEFAULT_DOCUMENT,
        timeout,
        read_input=_reader(stdin, broken.append),
        reason=reason,
    )
    kept: List[List[bytes]] = [[], []]
    streams = CallableStreams(stdout or kept[0].append, stderr or kept[1].append)
    remote, end = RemoteCommand(request, environment, streams), Signalled(signal.SIGTERM)
    result = run_aside("run", remote.run, lambda: remote.signal(end), END_LIMIT)
    completed = _completed(result, broken, b"".join(kept[0]), b"".join(kept[1]))
    if check and completed.status:
        raise CommandFailed(
            "the command on %s ended with status %d" % (target, completed.status), completed
        )
    return completed


def _completed(
    result: CommandResult, broken: List[BaseException], stdout: bytes, stderr: bytes
) -> CompletedCommand:
    error: Optional[SsmPluginError] = result.error
    if error:
        raise broken[0] if broken else error  # without one, it needed no more of its input
    return CompletedCommand(result.status, stdout, stderr, result.session_id, result.reason)


def _reader(stdin: object, failed: Callable[[BaseException], object]) -> Optional[ReadInput]:
    if stdin is None:
        return None
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        stdin = io.BytesIO(stdin)
    if not hasattr(stdin, "read") or isinstance(stdin, io.TextIOBase):
        raise UsageError("stdin is bytes or a binary file, not %s" % type(stdin).__name__)
    # ``read1`` gives what is there; ``read`` of a pipe would wait for a whole piece.
    read_some = getattr(stdin, "read1", stdin.read)

    def read() -> bytes:
        try:
            return bytes(read_some(_PIECE))
        except BaseException as error:  # whatever it is, it is the caller's
            failed(error)
            raise

    return read
