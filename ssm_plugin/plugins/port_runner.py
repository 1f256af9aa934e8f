"""What port sessions share: their end by a signal, the node's flags, local connections."""

from typing import Optional, Tuple

from ..channel.events import Started
from ..errors import MessageError
from ..net.local_end import LocalEnd, bind_local_end, exposure_warnings
from ..session import notices
from ..session.events import RunnerEvent
from ..session.expectations import signal_end
from ..session.protocols import IRunnerSession
from ..session.types import SessionType
from ..terminal.signals import ENDING_SIGNALS, Signalled
from ..terminal.wake import Inbox
from ..version import TERMINATE_FLAG_AFTER, newer_than
from ..wire import payloads
from .base import BuiltInRunner
from .local_connection import Connection, Holdings
from .local_reader import GRACE, Accepted, LocalReader, Shortage, Uplink
from .local_writer import LocalWriter

# The parameters that say where we listen.
_PLACES = frozenset(("localPortNumber", "localConnectionType", "localUnixSocket"))

# Seconds for local peers to take what had arrived when the session ended.
FLUSH_LIMIT = 2.0

# Seconds for the reading thread, which may wait for the window, and then ends with the channel.
_READER_LIMIT = 0.2


class PortRunner(BuiltInRunner):
    """Ends by a signal with the agent told; tells the user of failed connections at the node."""

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._leaving = False

    def signalled(self, event: Signalled) -> bool:
        if event.signum not in ENDING_SIGNALS:
            return False
        status, line = self.signal_end(event.signum)
        self.session.end(status, line)
        return True

    def signal_end(self, signum: int) -> Tuple[int, str]:
        """The exit status of a session that this signal ends, and what is said then."""
        status, line = signal_end(self.session.environment, SessionType.PORT, signum)
        return status, line or notices.TERMINATE_SIGNAL

    def farewell(self) -> None:
        self._leaving = True
        if newer_than(self.started.agent_version, TERMINATE_FLAG_AFTER):
            flag = payloads.build_flag(payloads.TERMINATE_SESSION)
            self.session.channel.send_control(payloads.FLAG, flag)

    def flagged(self, data: bytes) -> None:
        """A flag came. One that cannot be read, or is unknown, means nothing to us."""
        try:
            flag = payloads.parse_flag(data)
        except MessageError:
            return
        if flag == payloads.CONNECT_TO_PORT_ERROR:
            self.refused()

    def refused(self) -> None:
        """The node could not connect to its port."""
        self.session.notices.show(notices.CONNECT_FAILED)


class ListeningRunner(PortRunner):
    """Local connections: a listener, a thread that reads them and one that writes to them.

    The listener is the one of the session's environment, which stays open, or else one of our own.
    """

    keeps_output = True
    limit = float("inf")
    blind_grace = GRACE

    def __init__(self, session: IRunnerSession, started: Started) -> None:
        super().__init__(session, started)
        self._own: Optional[LocalEnd] = None
        self._reader: Optional[LocalReader] = None
        self._writer: Optional[LocalWriter] = None
        self.holdings = Holdings(self.session.channel.delivered)

    def uplink(self) -> Uplink:
        raise NotImplementedError

    def announce(self, local_end: LocalEnd) -> None:
        """Say that connections are welcome."""
        if local_end.path is None:
            self.session.notices.show(notices.PORT_OPENED, port=local_end.port)
        else:
            self.session.notices.show(notices.SOCKET_OPENED, path=local_end.path)

    def accepted(self, number: int) -> None:
        """The ``number``-th local connection was accepted."""

    def start(self) -> None:
        local_end = self.session.environment.listener
        if local_end is None:
            local_end = self._own = self._bind()
        inbox: Inbox[Optional[Connection]] = Inbox()
        tell = self.session.events.put
        self._writer = LocalWriter(self.holdings, inbox, tell)
        self._reader = self.make_reader(inbox, local_end)
        self._writer.start()
        self._reader.start()
        self.announce(local_end)

    def make_reader(
        self, inbox: "Inbox[Optional[Connection]]", local_end: LocalEnd
    ) -> LocalReader:
        return LocalReader(
            self.uplink(),
            inbox,
            self.writer,
            self.session.events.put,
            local_end,
            self.limit,
            blind_grace=self.blind_grace,
        )

    def _bind(self) -> LocalEnd:
        """Where *we* were told to listen. The node's word counts only where nobody here knows what
        the document opens, and names no place; and of it the number alone: no path, no address."""
        session = self.session
        parameters = session.config.parameters
        if session.environment.may_listen and not _PLACES.intersection(parameters):
            parameters = {"localPortNumber": self.started.properties.get("localPortNumber")}
        local_end = bind_local_end(parameters, session.environment.network.local_host)
        for line in exposure_warnings(local_end):
            session.notices.warn(line)
        return local_end

    @property
    def writer(self) -> LocalWriter:
        assert self._writer is not None, "the runner has been started"
        return self._writer

    @property
    def reader(self) -> LocalReader:
        assert self._reader is not None, "the runner has been started"
        return self._reader

    @property
    def open_connections(self) -> int:
        return self._reader.count if self._reader else 0

    def event(self, event: RunnerEvent) -> None:
        if isinstance(event, Accepted):
            self.accepted(event.number)
        elif isinstance(event, Shortage):
            self.session.notices.warn(
                "cannot accept more connections at the local port for now: %s; raise the limit of "
                "open files (ulimit -n)" % event.reason
            )

    def stop(self) -> None:
        """End at once if the user leaves; else local clients first get what has arrived."""
        if self._writer:
            self._writer.stop(0.0 if self._leaving else FLUSH_LIMIT)
        if self._reader:
            self._reader.stop(_READER_LIMIT)
        if self._own:
            self._own.close()
