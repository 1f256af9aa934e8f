"""The agent of the local service: the core turned round, with real programs behind it.

One for each session. Its thread takes events from one queue, as a session does at the other end:
the client's input, the end of the program, the end of the link. ::

    with LocalService(agent_factory(AgentOptions(shell=("/bin/sh",)))) as service:
        ...
"""

import os
import queue
import time
from typing import Callable, Optional

from .. import logs
from ..channel.events import ChannelClosed, Failed, Output
from ..channel.protocol import ChannelProtocol
from ..errors import HandshakeError, MessageError, SsmPluginError, UsageError
from ..shortage import explain
from ..transport.data_channel import Disconnected
from ..transport.worker import Worker, WorkerFailed
from ..wire import payloads
from ..wire.message import Role
from .agent_command import CommandWork
from .agent_documents import (
    DOCUMENTS,
    INTERACTIVE,
    NON_INTERACTIVE,
    PORT,
    STANDARD_STREAM,
    Assignment,
    assign,
)
from .agent_handshake import AgentHandshake, Encryption
from .agent_link import CONNECTED, TERMINATING, AgentLink
from .agent_pump import AgentChannel
from .agent_shell import PtyWork
from .agent_work import AgentEvent, AgentOptions, Work, WorkDone, WorkingAgent
from .gateway_session import GatewaySession
from .pipe import PipeEnd

log = logs.logger(__name__)

HANDSHAKE_FAILED = "\n----------ERROR-------\nEncountered error while initiating handshake. "

# Seconds. The first is what a real agent gives its client, twice, to acknowledge the last output.
DRAIN_LIMIT = 2.0
CLOSE_LIMIT = 2.0
JOIN_LIMIT = 3.0

# Input that may wait in all, in bytes. More than any client has unacknowledged at once, which is
# what bounds it: the channel itself must never stop reading, since acknowledgements come there too.
HIGH_WATER = 64 * 1024 * 1024


def agent_factory(
    options: Optional[AgentOptions] = None,
) -> Callable[[GatewaySession, PipeEnd], "Agent"]:
    """What a ``LocalService`` starts its agents with."""
    chosen = options or AgentOptions()

    def start_agent(session: GatewaySession, link: PipeEnd) -> Agent:
        agent = Agent(session, link, chosen)
        agent.start()
        return agent

    return start_agent


class Agent(WorkingAgent):
    def __init__(self, session: GatewaySession, link: PipeEnd, options: AgentOptions) -> None:
        self.session = session
        self.options = options
        self.documents = dict(DOCUMENTS, **options.documents)
        self.assignment: Assignment = assign(session.request, self.documents)
        self.client_version = ""
        self.events: "queue.Queue[AgentEvent]" = queue.Queue()
        self.link = AgentLink(link, session.session_id, self.events.empty)
        self._protocol = ChannelProtocol(Role.AGENT)
        # A real agent paces all but the commands.
        paced = options.paces_commands or self.assignment.session_type != NON_INTERACTIVE
        self.channel = AgentChannel(
            self._protocol, self.events.put, self.events.qsize, high_water=HIGH_WATER
        )
        self.channel.pace = session.plan.pace if paced else 0.0
        self._work: Optional[Work] = None
        self._worker = Worker("agent " + session.session_id, self._run, session.failures.put)

    def start(self) -> None:
        self._worker.start()

    def close(self, seconds: float) -> None:
        """End the session."""
        self.events.put(WorkDone())
        self._worker.join(seconds)
        if self._work is not None:
            self._work.sweep()

    def taken(self, size: int) -> None:
        """``size`` bytes of input have arrived at their target. From any thread."""
        self.link.taken(size)
        self.channel.delivered(size)

    # The agent's thread

    def _run(self) -> None:
        try:
            self._session()
        except HandshakeError as error:
            self.link.reason = HANDSHAKE_FAILED + str(error)
        except (SsmPluginError, OSError) as error:
            self.link.reason = str(explain(error) or error)
        finally:
            self._leave()

    def _session(self) -> None:
        self.link.tell_state(CONNECTED)
        self.channel.attach(self.link)
        if self._handshakes and not self._shake_hands():
            return
        self._work = self._create_work()
        self._work.start()
        while self._handle(self.events.get()):
            self.link.settle()

    @property
    def _handshakes(self) -> bool:
        plan = self.session.plan
        wanted = self.assignment.wants_handshake or self._encryption is not None
        return (wanted or plan.force_handshake) and not plan.skip_handshake

    @property
    def _encryption(self) -> Optional[Encryption]:
        return None if self.assignment.session_type == PORT else self.options.encryption

    def _shake_hands(self) -> bool:
        """Do the handshake. False if the session ended meanwhile."""
        began = time.monotonic()
        request = self.session.request
        handshake = AgentHandshake(
            self.assignment,
            self.options.agent_version,
            self.session.session_id,
            request.target,
            self._encryption,
        )
        messages = handshake.request()
        while True:
            if handshake.done:
                # From here on the client seals what it sends.
                self._protocol.cipher = handshake.cipher
                self.client_version = handshake.client_version
            for payload_type, payload in messages:
                self.channel.send_control(payload_type, payload)
            if handshake.done:
                return True
            event = self._next_event(began + self.options.handshake_limit)
            if not isinstance(event, Output):
                return self._handle(event)
            self.channel.delivered(len(event.data))
            self.link.settle()
            messages = handshake.step(
                event.payload_type, event.data, time.monotonic() - began
            )

    def _next_event(self, deadline: float) -> AgentEvent:
        try:
            return self.events.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise HandshakeError(
                "the client did not answer within %.0f s" % self.options.handshake_limit
            ) from None

    def _create_work(self) -> Work:
        assignment = self.assignment
        if assignment.session_type == STANDARD_STREAM:
            shell = self.options.shell or (os.environ.get("SHELL") or "/bin/sh",)
            return PtyWork(self, shell)
        if assignment.session_type == INTERACTIVE:
            if assignment.mistake:
                raise UsageError(assignment.mistake)
            return PtyWork(self, assignment.argv)
        if assignment.session_type == NON_INTERACTIVE:
            return CommandWork(
                self, assignment.argv, assignment.separate_output, assignment.mistake
            )
        if assignment.session_type == PORT:
            from .agent_port import port_work  # only a port session pays for what it needs

            return port_work(self)
        raise UsageError("there is no session type %s" % assignment.session_type)

    def _handle(self, event: AgentEvent) -> bool:
        """Handle one event. False if it ends the session."""
        if isinstance(event, Output):
            return self._input(event.payload_type, event.data)
        if isinstance(event, WorkDone):
            self._finish(event.reason)
        elif isinstance(event, (WorkerFailed, Failed)):
            raise event.error
        elif self._work is not None and self._work.is_deaf:
            return True  # it does not know yet
        elif not isinstance(event, (ChannelClosed, Disconnected)):
            log.debug("ignored %s", event)
            return True
        return False

    def _input(self, payload_type: int, data: bytes) -> bool:
        assert self._work is not None
        self.link.hand_over(len(data))
        if payload_type == payloads.FLAG and self.assignment.session_type == PORT:
            if _flag(data) == payloads.TERMINATE_SESSION:
                return False
        self._work.output(payload_type, data)
        return True

    def _finish(self, reason: str) -> None:
        """The work is done: let the client acknowledge all output."""
        self.link.reason = reason
        self.link.release()
        # A real agent waits when its work is done, and once more when it closes the channel. In
        # between it says that it leaves, but not of ports.
        drained = self.channel.drain(DRAIN_LIMIT)
        if self.assignment.session_type != PORT:
            self.link.tell_state(TERMINATING)
        if not drained:
            self.channel.drain(DRAIN_LIMIT)

    def _leave(self) -> None:
        work = self._work
        if work is not None:
            work.stop()
        self.channel.close(CLOSE_LIMIT)
        self.link.abort()
        if work is not None:
            work.join(JOIN_LIMIT)


def _flag(data: bytes) -> int:
    try:
        return payloads.parse_flag(data)
    except MessageError as error:
        log.warning("a flag cannot be read: %s", error)
        return 0
