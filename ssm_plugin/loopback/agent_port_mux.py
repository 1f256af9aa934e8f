"""Port sessions with many connections: the node's side of smux."""

import queue
import threading
from typing import Optional

from .. import logs
from ..errors import LocalError, SessionLost
from ..plugins.local_connection import Connection, Holdings
from ..plugins.local_reader import LocalReader
from ..plugins.local_writer import LocalWriter
from ..plugins.mux_streams import MuxStreams
from ..terminal.wake import Inbox
from ..transport.worker import Worker
from ..version import KEEP_ALIVE_OFF_AFTER, newer_than
from ..wire import payloads
from ..wire.message import Role
from .agent_port_target import Target, open_target
from .agent_work import Work, WorkDone, WorkingAgent

log = logs.logger(__name__)

# Bytes of all streams that may pile up here before acknowledgements are held back.
SHARED_BUFFER = 4 * 1024 * 1024


class MuxWork(Work):
    """A connection to the target for each stream. Connecting may block, so it is done aside, one
    after the other: all lead to the same target."""

    def __init__(self, agent: WorkingAgent, target: Target) -> None:
        super().__init__(agent)
        self._target = target
        self._holdings = Holdings(agent.taken, SHARED_BUFFER)
        self._keeps_alive = not newer_than(agent.options.agent_version, KEEP_ALIVE_OFF_AFTER)
        self._streams = MuxStreams(agent.channel, Role.AGENT, self._keeps_alive)
        inbox: Inbox[Optional[Connection]] = Inbox()
        self._writer = LocalWriter(self._holdings, inbox, agent.events.put)
        self._reader = LocalReader(
            self._streams, inbox, self._writer, agent.events.put, grace=0, blind_grace=0, linger=0
        )
        self._to_connect: "queue.Queue[Optional[Connection]]" = queue.Queue()
        self._connector = Worker("connector", self._connect_all, agent.events.put)
        self._keeper = Worker("keep-alive", self._keep_alive, agent.events.put)
        self._stopped = threading.Event()

    def start(self) -> None:
        self._writer.start()
        self._reader.start()
        self._connector.start()
        if self._keeps_alive:
            self._keeper.start()

    def output(self, payload_type: int, data: bytes) -> None:
        kept = 0
        if payload_type == payloads.OUTPUT:
            received = self._streams.receive(data)
            for connection in received.opened:
                self._to_connect.put(connection)
            for connection, piece in received.data:
                kept += self._writer.put(connection, piece)
            for connection in received.ended:
                self._writer.end(connection)
        self._holdings.came(len(data), kept)

    def stop(self) -> None:
        self._stopped.set()
        self._to_connect.put(None)
        self._writer.stop(0.0)
        self._reader.stop(0.0)

    def join(self, seconds: float) -> None:
        self._connector.join(seconds)
        self._reader.stop(seconds)
        self._keeper.join(seconds)

    def _keep_alive(self) -> None:
        """Older agents send NOPs, and end the session of a client that sends nothing."""
        seconds = self._streams.next_timer()
        try:
            while seconds is not None and not self._stopped.wait(seconds):
                self._streams.on_timer()
                seconds = self._streams.next_timer()
        except SessionLost:
            self.agent.events.put(WorkDone())

    def _connect_all(self) -> None:
        for connection in iter(self._to_connect.get, None):
            self._connect(connection)

    def _connect(self, connection: Connection) -> None:
        try:
            sock = open_target(self._target)
        except LocalError as error:
            log.info("stream %d: %s", connection.stream_id, error)
            flag = payloads.build_flag(payloads.CONNECT_TO_PORT_ERROR)
            self.agent.channel.send_control(payloads.FLAG, flag)
            self._streams.closed(connection)
            self._writer.drop(connection)
            return
        self._writer.connected(connection, sock)
        self._reader.add(connection)
