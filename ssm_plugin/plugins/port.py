"""Port sessions. The node says which kind: a stream on stdio, or local connections."""

import functools
import select
import signal
import time
from typing import Optional, Tuple

from ..channel.events import Started
from ..errors import SessionLost, SessionPropertyError
from ..session.events import RunnerEvent
from ..session.protocols import IRunner, IRunnerSession
from ..session.session import Session
from ..session.streams import Streams
from ..session.types import InputHandler, SessionType
from ..terminal.input import InputReader
from ..transport.worker import Worker
from ..version import MULTIPLEXED_PORTS_AFTER, newer_than
from ..wire import payloads
from .base import BuiltInPlugin
from .port_basic import BasicRunner
from .port_mux import MuxRunner
from .port_runner import PortRunner

LOCAL_FORWARDING = "LocalPortForwarding"
SSH_DOCUMENT = "AWS-StartSSHSession"

# Seconds without output, after the end of input, until we take it that nothing more will come: the
# end of input cannot be told to the node without ending the other direction, too.
GRACE = 30.0
_CHECK_INTERVAL = 1.0


class PortPlugin(BuiltInPlugin):
    session_types = [SessionType.PORT]

    def create_runner(self, session: IRunnerSession, started: Started) -> IRunner:
        if not listens(started):
            return StdioRunner(session, started)
        if not _may_listen(session):
            raise SessionPropertyError(
                "the node wants session %s to listen on a local port, which nobody has asked for; "
                "for a tunnel name a document for it, such as AWS-StartPortForwardingSession"
                % session.session_id
            )
        if is_multiplexed(started):
            return MuxRunner(session, started)
        return BasicRunner(session, started)


def listens(started: Started) -> bool:
    """Whether the session is for local connections; else it is a stream."""
    return started.properties.get("type") == LOCAL_FORWARDING


def is_multiplexed(started: Started) -> bool:
    """Whether one that listens takes many connections at once."""
    return newer_than(started.agent_version, MULTIPLEXED_PORTS_AFTER)


def _may_listen(session: IRunnerSession) -> bool:
    """Whether a port session that listens is what was asked for: the node has no say in this."""
    assert isinstance(session, Session), "built-in plugins are for sessions of our own"
    if session.environment.listener is not None or session.environment.may_listen:
        return True
    expected = session.client_config.session_type is SessionType.PORT
    return expected and session.config.document_name != SSH_DOCUMENT


class StdinEnded(RunnerEvent):
    """The event: standard input is over, and all of it was sent."""


class StdioRunner(PortRunner):
    """The ProxyCommand of SSH: standard input and output, every byte untouched."""

    output_is_stream = True

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._reader: Optional[InputReader] = None
        self._input_ended = False
        self._quiet_since = 0.0
        self._next_check = session.new_timer(
            lambda: self._check(time.monotonic() - self._quiet_since)
        )

    def start(self) -> None:
        streams = self.session.streams
        read = self.session.client_config.input_stream_message_handler
        if read is None and streams.stdin is not None:
            self._reader = InputReader(streams.stdin)
            read = self._reader.read
        if read is not None:
            pump = functools.partial(self._pump, read)
            Worker("input", pump, self.session.events.put).start()

    def output(self, payload_type: int, data: bytes) -> None:
        if payload_type == payloads.OUTPUT:
            handler = self.session.client_config.output_stream_message_handler
            handler(data) if handler else self.session.streams.output(data)
            self._quiet_since = time.monotonic()
        elif payload_type == payloads.FLAG:
            self.flagged(data)

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, StdinEnded):
            self._input_ended = True
            self.resumed()
            self._check(0.0)

    def paused(self) -> None:
        self._next_check.cancel()

    def resumed(self) -> None:
        if self._input_ended:
            self._quiet_since = time.monotonic()
            self._next_check.set(_CHECK_INTERVAL)

    def signal_end(self, signum: int) -> Tuple[int, str]:
        status, line = super().signal_end(signum)
        # So OpenSSH ends its ProxyCommand, each time: nothing that a user should read about.
        return status, "" if signum == signal.SIGHUP else line

    def stop(self) -> None:
        if self._reader:
            self._reader.close()

    def send_input(self, data: Optional[bytes]) -> None:
        """In the thread that reads input; None is its end, which an agent cannot be told."""
        if data is not None:
            self.session.channel.send_input_data(data)

    def may_end(self, quiet: float) -> bool:
        """Whether nothing more is to come once input is over, after so many seconds without."""
        return quiet >= GRACE

    def _check(self, quiet: float) -> None:
        """Input is over: end if nobody is there for the output, or none has come for long."""
        sent = self.session.channel.drain(0.0)
        if sent and (self.may_end(quiet) or _nobody_reads(self.session.streams)):
            self.session.end(0)
        else:
            self._next_check.set(_CHECK_INTERVAL)

    def _pump(self, read: InputHandler) -> None:
        """In a thread of its own: input to the channel, which waits while the window is full."""
        try:
            while True:
                data = read()
                if data is None:
                    return
                if not data:
                    break
                self.send_input(data)
            self.send_input(None)
            self.session.tell(StdinEnded())
        except SessionLost:
            pass  # the session ended with input unsent; it says so itself


def _nobody_reads(streams: Streams) -> bool:
    """Whether the reader of standard output is gone: an SSH client that ended, or was killed."""
    if type(streams) is not Streams:
        return False
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
