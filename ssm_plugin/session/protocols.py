"""The interfaces between a session, its data channel, its plugin and its runner.

Whoever writes one of them needs this file and the events, and nothing else of the session. Methods
that are not abstract may be left out; what they do then is said here.
"""

import abc
from typing import Any, Callable, Dict, List, Optional

from ..channel.events import Acknowledged, Started
from ..terminal.signals import Signalled
from ..wire.message import Buffer
from .events import RunnerEvent, Tell
from .lifecycle import Outcome
from .timers import SessionTimer
from .types import ClientConfig, SessionConfig, SessionStatus


class IDataChannel(abc.ABC):
    """The way to the agent: ordered, complete, each byte once."""

    @abc.abstractmethod
    def open(self) -> bool:
        """Connect; blocks until it is done. False, or an error that says why, if it cannot."""

    @abc.abstractmethod
    def send_input_data(self, data: Buffer) -> None:
        """Send bytes to the agent; blocks while there is no room for them."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all that belongs to the channel. More calls do nothing."""

    @property
    @abc.abstractmethod
    def is_open(self) -> bool:
        """Whether a connection is there now."""

    def deliver_to(self, tell: Tell) -> None:
        """Called once, before :meth:`open`: every event of the session is to be given to ``tell``,
        from any thread. A channel that only sends need not override this."""

    def delivered(self, size: int) -> None:
        """So many bytes of output have been passed on: there is room for more."""


class ISession(abc.ABC):
    """One session, from its connection to its end."""

    @abc.abstractmethod
    def execute(self) -> None:
        """Connect, and let the session live in a thread of its own. RuntimeError says why not."""

    @abc.abstractmethod
    def open_data_channel(self) -> bool:
        """Connect the data channel, if it is not yet; whether it is."""

    @abc.abstractmethod
    def terminate_session(self) -> None:
        """End the session, here and at the service; returns when it is over. May be called from
        any thread, in any state, and repeatedly."""

    @property
    @abc.abstractmethod
    def session_id(self) -> str:
        ...

    @property
    @abc.abstractmethod
    def status(self) -> SessionStatus:
        ...

    def get_session_properties(self) -> Dict[str, Any]:
        """What is known of the session, for people and for logs; nothing secret."""
        return {"session_id": self.session_id, "status": self.status.value}


class IRunnerSession(ISession):
    """A session as its runner sees it.

    Attributes:
        config: what StartSession returned, and what it was asked
        client_config: who we are, what is expected, and who takes input and output
    """

    config: SessionConfig
    client_config: ClientConfig

    @property
    @abc.abstractmethod
    def data_channel(self) -> Optional[IDataChannel]:
        """The way to the agent; there is one once the session is open."""

    @abc.abstractmethod
    def wait(self, timeout: Optional[float] = None) -> Optional[Outcome]:
        """Wait for the end, at most ``timeout`` s; None if it has not come by then."""

    @abc.abstractmethod
    def end(self, status: int, line: Optional[str] = None) -> None:
        """Have it end with this exit status; ``line`` is a notice in place of the usual one, with
        ``{session_id}`` filled in. From any thread; returns at once."""

    @abc.abstractmethod
    def tell(self, event: RunnerEvent) -> None:
        """Let :meth:`IRunner.event` have this event, in the session's thread. From any thread."""

    @abc.abstractmethod
    def new_timer(self, due: Callable[[], None]) -> SessionTimer:
        """A timer that calls ``due`` in the session's thread."""


class IRunner(abc.ABC):
    """What a session does while it is open. All methods are called in the session's thread.

    Attributes:
        output_is_stream: stdout carries a stream and nothing else, so that notices go to stderr
        awaits_output: where a person waits for the session, they wait for its first output
        keeps_output: the runner itself tells the channel what was ``delivered``; else the session
            does, after :meth:`output`
        needs_termination: what runs at the node ends only if the service ends the session
        exit_code: how the command in it ended, once the node has told
    """

    output_is_stream = False
    awaits_output = False
    keeps_output = False
    needs_termination = False
    exit_code: Optional[int] = None

    @abc.abstractmethod
    def start(self) -> None:
        """The session is open: start reading input."""

    @abc.abstractmethod
    def output(self, payload_type: int, data: bytes) -> None:
        """Pass the agent's data on."""

    def event(self, event: RunnerEvent) -> None:
        """An event from this runner's own threads, or from its owner."""

    def acknowledged(self, event: Acknowledged) -> None:
        """The node has got a control message whose sender wanted to know."""

    def signalled(self, event: Signalled) -> bool:
        """A signal came. False if it is not dealt with here: then an ending one ends the
        session."""
        return False

    def paused(self) -> None:
        """The connection was lost and is being resumed."""

    def resumed(self) -> None:
        """The connection is back; nothing was lost."""

    def closed(self, reason: str) -> int:
        """The exit status of a session that the service ended, with its reason in words, or none.
        A reason in place of the session's own end is a failure."""
        return 255 if reason else 0

    def missing(self, reason: str) -> str:
        """What is known to be missing of a session that was ended by the service, in words."""
        return ""

    def farewell(self) -> None:
        """We are leaving a session that goes on: tell the agent, if there is a way."""

    def stop(self) -> None:
        """End threads, restore the terminal. Called once, on every way out, errors included."""

    def not_terminated(self) -> None:
        """With :attr:`needs_termination`, after :meth:`stop`: the service has refused to end the
        session, or does not answer. The channel is still there."""


class ISessionPlugin(abc.ABC):
    """What is special to one or more session types."""

    @abc.abstractmethod
    def get_supported_session_types(self) -> List[str]:
        """As the agent's handshake names them."""

    @abc.abstractmethod
    def create_session(self, config: SessionConfig, client_config: ClientConfig) -> ISession:
        """A session that waits to be executed."""

    @abc.abstractmethod
    def validate_session_properties(self, config: SessionConfig) -> bool:
        """Whether the session could work; SessionPropertyError says why not."""

    def create_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        """What the session does once the agent has said what it is. Without this, output goes to
        the client's output handler, and nothing is read."""
        return _OutputOnly(session)


class _OutputOnly(IRunner):
    def __init__(self, session: IRunnerSession) -> None:
        self._handler = session.client_config.output_stream_message_handler

    def start(self) -> None:
        pass  # there is no input

    def output(self, payload_type: int, data: bytes) -> None:
        if self._handler:
            self._handler(data)


RunnerFactory = Callable[[IRunnerSession, Started], IRunner]
