"""The fast way up: a port session into a listener at the node, which the upload's command starts.

The terminal that carries input otherwise needs text where nobody knows the length in advance; a
port takes bytes, and an end. Nothing is sent before the node has told, by the command's output,
that its listener has the connection which brought the secret.
"""

import queue
import struct
import threading
from typing import Callable, Optional

from ..channel.events import Started
from ..errors import RemoteError, SessionLost, SsmPluginError
from ..jobs.request import ReadInput
from ..plugins.port import SSH_DOCUMENT, StdioRunner, listens
from ..session.environment import Environment
from ..session.events import EndRequested, SessionEvent
from ..session.protocols import IRunner, IRunnerSession
from ..session.session import Session
from ..session.starting import SessionRequest, make_session, start_session
from ..session.streams import CallableStreams
from ..session.types import SessionType
from ..transport.data_channel import DataChannel
from ..transport.worker import Worker, WorkerFailed

# Seconds for the listener to tell that it has our connection, once the session is open.
TAKEN_LIMIT = 20.0

# Seconds for the script to say that it has ended, once the node has closed its port.
OVER_LIMIT = 2.0

# Seconds for the session to end, once the command has.
CLOSE_LIMIT = 5.0

_LENGTH = struct.Struct(">I")


class NotFast(RemoteError):
    """This way is closed, and nothing has gone through it: the other way can be used."""


def not_fast(error: BaseException) -> BaseException:
    """What to raise for it: an error of our own program as it is."""
    if not isinstance(error, SsmPluginError):
        return error
    return NotFast("the fast way up is closed: %s; use --speed auto or plain" % error)


class PortWay:
    """``heard`` gets each line of the command's output; ``read`` gives what is to go up. What goes
    wrong is in ``failure`` before ``failed`` is called, once, by a thread of this."""

    def __init__(
        self,
        target: str,
        reason: Optional[str],
        environment: Environment,
        read: ReadInput,
        failed: Callable[[], object],
    ) -> None:
        self.failure: Optional[BaseException] = None
        self.is_taken = False
        self._target = target
        self._reason = reason
        self._environment = environment._replace(
            streams=CallableStreams(lambda data: None, lambda data: None),
            silent=True,
            listener=None,
        )
        self._read = read
        self._failed = failed
        self._taken = threading.Event()
        self._over = threading.Event()
        self._port = self._secret = ""
        self._events: "queue.Queue[SessionEvent]" = queue.Queue()
        self._worker = Worker("port way", self._run, self._broke)

    def heard(self, line: bytes) -> bool:
        """Whether it was for us. In the thread of the command's session."""
        words = line.decode("ascii", "replace").split(" ")
        if words == ["taken"]:
            self.is_taken = True
            self._taken.set()
        elif words == ["listen", "none"]:
            self.failure = RemoteError("the node has neither Python nor perl to take it with")
        elif words == ["end"]:
            self._over.set()
        elif words[0] == "listen" and len(words) == 3 and not self._port:
            self._port, self._secret = words[1:]
            self._worker.start()
        return words[0] in ("taken", "listen")

    def close(self) -> None:
        """The command is over."""
        self._over.set()
        self._events.put(EndRequested(0))
        self._worker.join(CLOSE_LIMIT)

    def runner(self, session: IRunnerSession, started: Started) -> IRunner:
        if listens(started):
            raise RemoteError("the document %s forwards local ports" % SSH_DOCUMENT)
        return _Runner(session, started, self._pump, self._broke)

    def _run(self) -> None:
        try:
            session = self._start()
        except SsmPluginError as error:
            self._fail(error)
            return
        outcome = session.wait()
        self._taken.set()
        why = outcome.error
        if why is None and not self.is_taken:
            text = outcome.reason or "the node closed the connection to its listener"
            why = SessionLost(text)
        # With the script the listener ends, too: then it is the script that says why.
        if why is not None and not self._over.wait(OVER_LIMIT):
            self._fail(why)

    def _start(self) -> Session:
        service = self._environment.service
        assert service is not None, "sessions are started at the service"
        request = SessionRequest(
            self._target,
            SessionType.PORT,
            SSH_DOCUMENT,
            {"portNumber": [self._port]},
            self._reason,
        )
        started = start_session(service, request, self._events)
        session = make_session(request, started, self._environment, self._events, self.runner)
        session.execute()
        return session

    def _pump(self, channel: DataChannel) -> None:
        try:
            channel.send_input_data(self._secret.encode("ascii") + b"\n")
            if not self._taken.wait(TAKEN_LIMIT):
                raise RemoteError("its listener was not reached within %g s" % TAKEN_LIMIT)
            if not self.is_taken:
                return  # the session ended
            for data in iter(self._read, b""):
                if data is None:
                    return
                channel.send_input_data(_LENGTH.pack(len(data)) + data)
            channel.send_input_data(_LENGTH.pack(0))
        except SessionLost:
            pass  # the session ended with input unsent; it says so itself

    def _broke(self, event: WorkerFailed) -> None:
        self._fail(event.error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            self._failed()


class _Runner(StdioRunner):
    """Sends what its pump has; nothing comes back."""

    def __init__(
        self,
        session: IRunnerSession,
        started: Started,
        pump: Callable[[DataChannel], None],
        broke: Callable[[WorkerFailed], object],
    ) -> None:
        super().__init__(session, started)
        channel = self.session.channel
        self._pump_worker = Worker("input", lambda: pump(channel), broke)

    def start(self) -> None:
        self._pump_worker.start()

    def refused(self) -> None:
        raise RemoteError("the node could not connect to its listener")
