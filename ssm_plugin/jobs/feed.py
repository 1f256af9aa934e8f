"""Standard input for a command that has none: a second session carries it into a FIFO.

The agent gives a command without a terminal no input, and a command on a terminal neither a clean
output nor an exit status. So the command runs in a session of the one kind, and next to it runs a
``cat`` in one of the other kind, on a raw terminal, which copies base64 lines from us into the FIFO
that the command's wrapper has made: a lost terminal cannot be taken for the end of the lines. A
command that knows how much it is to get has the bytes themselves. It needs permission for that
second document too, and both must run as the same user. The command sees its input in blocks, not
byte by byte.
"""

import base64
import queue
from typing import Optional

from ..channel.events import Started
from ..errors import RemoteError, SessionLost, SsmPluginError
from ..plugins.base import BuiltInRunner
from ..session.environment import Environment
from ..session.events import EndRequested, SessionEvent, Tell
from ..session.protocols import IRunnerSession
from ..session.starting import SessionRequest, make_session, start_session
from ..session.streams import CallableStreams
from ..session.types import SessionType
from ..transport.data_channel import DataChannel
from ..transport.worker import Worker
from .remote_line import new_marker, quote
from .request import CommandRequest, ReadInput
from .trailer_runner import CommandRecord, InputFailed

DOCUMENT = "AWS-StartInteractiveCommand"

# Seconds for the second session to end, once the command has.
CLOSE_LIMIT = 5.0

# $1: the FIFO, which the other session makes. $2 $3: the two halves of the word that says that the
# terminal is ready. Before that it would echo, and interpret some bytes as keys.
_SCRIPT = """\
stty raw -echo || exit 1; n=0
until [ -p "$1" ]; do n=$((n+1)); [ $n -le 150 ] || { echo no FIFO; exit 1; }; sleep .1; done
printf "%s%s" "$3" "$2"; exec cat >"$1\""""

# Whole base64 lines without padding: multiples of 57 bytes.
_LINE = 57

# One dot would do, but busybox's sed handles a line only when it has the next one.
END_OF_TEXT = b".\n.\n"


class InputFeed:
    """``with InputFeed(…):`` feeds the command while the block runs. What keeps it from doing so
    is told to the command as an :class:`InputFailed`."""

    def __init__(
        self,
        request: CommandRequest,
        directory: str,
        environment: Environment,
        record: CommandRecord,
        tell: Tell,
    ) -> None:
        assert request.read_input is not None
        self.read: ReadInput = request.read_input
        self.send = send_as_is if request.raw_input else send_as_text
        self.seen = b""  # the end of what the second session says
        self.has_begun = False
        self.is_complete = False
        self._record = record
        self._request = request
        self._environment = environment
        self._tell_command = tell
        self.ready, halves = new_marker()
        self._line = quote(["sh", "-c", _SCRIPT, "ssm-plugin", directory + "/i"] + halves)
        self._events: "queue.Queue[SessionEvent]" = queue.Queue()
        self._worker = Worker("input feed", self._run, tell)

    def __enter__(self) -> "InputFeed":
        self._worker.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._events.put(EndRequested(0))
        self._worker.join(CLOSE_LIMIT)

    def _run(self) -> None:
        try:
            self._feed()
        except SsmPluginError as error:
            self._fail(error)

    def _feed(self) -> None:
        service = self._environment.service
        assert service is not None
        parameters = {"command": [self._line]}
        request = SessionRequest(
            self._request.target,
            SessionType.INTERACTIVE_COMMANDS,
            DOCUMENT,
            parameters,
            self._request.reason,
        )
        started = start_session(service, request, self._events)
        streams = CallableStreams(lambda data: None, lambda data: None)
        environment = self._environment._replace(streams=streams, silent=True)
        session = make_session(request, started, environment, self._events, self._runner)
        session.execute()
        outcome = session.wait()
        if isinstance(outcome.error, SsmPluginError):
            raise outcome.error
        if not self.is_complete:
            words = self.seen.replace(self.ready, b"").decode("utf-8", "replace").split()
            self._fail(RemoteError(" ".join(words)[:200] or "its session ended"))

    def _runner(self, session: IRunnerSession, started: Started) -> "_FeedRunner":
        return _FeedRunner(session, started, self)

    def _fail(self, error: SsmPluginError) -> None:
        failure = SessionLost("the input did not reach the command: %s" % error)
        failure.__cause__ = error
        self._record.was_fed = self.has_begun
        self._record.feed_error = failure
        self._tell_command(InputFailed())


class _FeedRunner(BuiltInRunner):
    def __init__(self, session: IRunnerSession, started: Started, feed: InputFeed) -> None:
        super().__init__(session, started)
        self._feed = feed
        self._pump: Optional[Worker] = None

    def start(self) -> None:
        """Nothing yet: input begins when the node says that it is ready."""

    def output(self, payload_type: int, data: bytes) -> None:
        feed = self._feed
        feed.seen = (feed.seen + data)[-4096:]
        if self._pump is None and feed.ready in feed.seen:
            feed.has_begun = True
            self._pump = Worker("input", self._pump_input, self.session.events.put)
            self._pump.start()

    def _pump_input(self) -> None:
        feed = self._feed
        feed.is_complete = feed.send(self.session.channel, feed.read)


def send_as_is(channel: DataChannel, read: ReadInput) -> bool:
    """Send what ``read`` gives; blocks. False as for :func:`send_as_text`."""
    try:
        for data in iter(read, b""):
            if data is None:
                return False
            channel.send_input_data(data)
        return True
    except SessionLost:
        return False


def send_as_text(channel: DataChannel, read: ReadInput) -> bool:
    """Send what ``read`` gives as lines of base64, and dots on lines of their own as its end;
    blocks. False if nobody wanted the rest, or the session ended first: it says so itself."""
    rest = b""
    try:
        while True:
            data = read()
            if not data:
                break
            data = rest + data
            whole = len(data) // _LINE * _LINE
            rest = data[whole:]
            if whole:
                channel.send_input_data(base64.encodebytes(data[:whole]))
        if data is None:
            return False
        channel.send_input_data(base64.encodebytes(rest) + END_OF_TEXT)
        return True
    except SessionLost:
        return False
