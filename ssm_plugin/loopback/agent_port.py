"""Port sessions at the node: the kinds, and the two that have one connection to their target.

The habits of a real agent: it looks its host up, and but for many connections connects, when the
session starts, writes into its target before it acknowledges, closes both directions at once, and
refuses its own addresses as a remote host.
"""

import time
from typing import Callable, Optional

from .. import logs
from ..errors import LocalError, MessageError
from ..plugins.local_connection import Connection, Holdings
from ..plugins.local_reader import LocalReader, Uplink
from ..plugins.local_writer import LocalWriter
from ..terminal.wake import Inbox
from ..version import MULTIPLEXED_PORTS_AFTER, newer_than
from ..wire import payloads
from .agent_port_mux import MuxWork
from .agent_port_target import Target, open_target
from .agent_work import Work, WorkDone, WorkingAgent

log = logs.logger(__name__)

# Clients from 1.1.70 on speak smux.
_MULTIPLEXED_CLIENTS_AFTER = "1.1.69.999999999"


def port_work(agent: WorkingAgent) -> Work:
    """The kind that type and versions ask for."""
    properties = agent.assignment.properties or {}
    target = Target.of(properties)
    if properties.get("type") != "LocalPortForwarding":
        return StdioWork(agent, target)
    agent_is_new = newer_than(agent.options.agent_version, MULTIPLEXED_PORTS_AFTER)
    if agent_is_new and newer_than(agent.client_version, _MULTIPLEXED_CLIENTS_AFTER):
        return MuxWork(agent, target)
    return BasicWork(agent, target)


class _Current(Uplink):
    """What the target of the connection that is the current one sends; ``ended`` is its end."""

    def __init__(self, agent: WorkingAgent, ended: Callable[[], None]) -> None:
        self.connection: Optional[Connection] = None
        self._agent = agent
        self._ended = ended

    def send(self, connection: Connection, data: bytes) -> None:
        if connection is self.connection:
            self._agent.channel.send_input_data(data)

    def closed(self, connection: Connection) -> None:
        if connection is self.connection:
            self._ended()


class StdioWork(Work):
    """One connection, which lasts as long as the session."""

    def __init__(self, agent: WorkingAgent, target: Target) -> None:
        super().__init__(agent)
        self._target = target
        self._holdings = Holdings(agent.taken, reserve=0)
        inbox: Inbox[Optional[Connection]] = Inbox()
        self._current = _Current(agent, self.target_ended)
        self._writer = LocalWriter(self._holdings, inbox, agent.events.put)
        self._reader = LocalReader(
            self._current, inbox, self._writer, agent.events.put, grace=0, blind_grace=0, linger=0
        )

    def target_ended(self) -> None:
        """Called in the reader's thread, after what the target had sent."""
        self.agent.events.put(WorkDone())

    def start(self) -> None:
        self._connect()
        self._writer.start()
        self._reader.start()

    def output(self, payload_type: int, data: bytes) -> None:
        kept = 0
        connection = self._current.connection
        if payload_type == payloads.OUTPUT and connection is not None:
            kept = self._writer.put(connection, data)
        elif payload_type == payloads.FLAG:
            self.flagged(data)
        self._holdings.came(len(data), kept)

    def flagged(self, data: bytes) -> None:
        """A flag came."""

    def stop(self) -> None:
        self._writer.stop(0.0)
        self._reader.stop(0.0)

    def join(self, seconds: float) -> None:
        self._reader.stop(seconds)

    def _connect(self) -> None:
        connection = Connection(open_target(self._target), 0, time.monotonic())
        self._current.connection = connection
        self._reader.add(connection)


class BasicWork(StdioWork):
    """A connection after the other: the next one only when the client sends data for it, be it
    none at all. A target that speaks first is not heard before."""

    def target_ended(self) -> None:
        """The client is not told: there is no message for it."""
        self._current.connection = None

    def output(self, payload_type: int, data: bytes) -> None:
        if payload_type == payloads.OUTPUT and self._current.connection is None:
            try:
                self._connect()
            except LocalError as error:
                log.info("the session ends: %s", error)  # a real agent does not say why
                self.agent.events.put(WorkDone())
        super().output(payload_type, data)

    def flagged(self, data: bytes) -> None:
        try:
            if payloads.parse_flag(data) == payloads.DISCONNECT_TO_PORT:
                self._disconnect()
        except MessageError:
            pass  # no flag at all

    def _disconnect(self) -> None:
        previous, self._current.connection = self._current.connection, None
        if previous is not None:
            self._writer.drop(previous)
