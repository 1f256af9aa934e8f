"""One session at the gateway: who may open it, its client's connection, its agent, its end.

The client may come, go and come again; a newer connection displaces an older one, and what the
agent sends while there is none is lost, as at the real service, which tells the agent to pause
then: here with the fault ``pause-away``. The agent starts when the first
client has opened the session, and its end, or ``terminate``, is the end of the session.
"""

import hmac
import queue
import secrets
import threading
import time
from typing import Callable, List, Mapping, Optional, Sequence

from ..errors import ConnectionLost, LocalError, SsmPluginError
from ..named_tuple import NamedTuple
from ..transport.worker import Worker, WorkerFailed
from ..wire import message
from . import control, faults
from .conduit import Conduit
from .fault_plan import FaultPlan, parse_faults
from .pipe import PipeEnd, link_pair
from .throttle import AnyFaults, Throttle, ThrottledFaults
from .websocket_server import NORMAL, ServerWebSocket

_OUTPUT = message.PADDED[message.OUTPUT_STREAM_DATA]
_TYPE = slice(4, 36)

CONNECTING = "Connecting"
CONNECTED = "Connected"
DISCONNECTED = "Disconnected"
TERMINATED = "Terminated"


class StartRequest(NamedTuple):
    """What StartSession was called with; ``document_name`` may be empty."""

    target: str
    document_name: str
    parameters: Mapping[str, Sequence[str]]
    reason: str


class RunningAgent:
    """What an agent factory returns: the agent of one session, at work on its link.

    The link's end is its end: it stops, and cleans up, without being told.
    """

    def close(self, seconds: float) -> None:
        """Wait for that end, and join its threads, within ``seconds``."""
        raise NotImplementedError


class GatewaySession:
    """``connections`` counts the clients that opened it. ``agent_pauses``: the agent was told to
    pause, since what it sent had nobody to go to. ``created`` is in seconds as of ``time.time``."""

    def __init__(
        self,
        session_id: str,
        request: StartRequest,
        plan: FaultPlan,
        agent_factory: "AgentFactory",
        failures: "queue.Queue[WorkerFailed]",
        changed: threading.Condition,
    ) -> None:
        self.session_id = session_id
        self.request = request
        self.plan = plan
        self.created = time.time()
        self.connections = 0
        self.token = ""
        self._agent_factory = agent_factory
        self.failures = failures
        self._changed = changed
        self._lock = threading.Lock()
        self._faults = faults.ConnectionFaults(plan)
        self.throttle = Throttle(plan.gateway) if plan.gateway else None
        self._down = self._conduit("down", plan, self._to_client)
        self._up = self._conduit("up", plan, self._to_agent)
        self._client: Optional[ServerWebSocket] = None
        self._link, self._agent_link = link_pair()
        self._agent: Optional[RunningAgent] = None
        self._relay: Optional[Worker] = None
        self._reason: Optional[str] = None
        self._over = False
        self._pausing = threading.Lock()
        self.agent_pauses = False
        self.renew_token()

    @property
    def state(self) -> str:
        """The state in the words of DescribeSessions."""
        if self.is_over:
            return TERMINATED
        if self._client is not None:
            return CONNECTED
        return DISCONNECTED if self.connections else CONNECTING

    @property
    def is_over(self) -> bool:
        """True as soon as the service has said so: TerminateSession is answered while the last
        message to the client is still on its way."""
        return self._over or self._reason is not None

    def renew_token(self) -> str:
        """A token that opens the session from now on, in place of the one before."""
        self.token = secrets.token_urlsafe(48)
        return self.token

    def accepts(self, token: str) -> bool:
        """Whether a client with that token may open it; a fault may say no."""
        with self._lock:
            refused = self._faults.refuses_token()
        return not refused and hmac.compare_digest(token.encode(), self.token.encode())

    def refuses_upgrade(self) -> bool:
        with self._lock:
            return self._faults.refuses_upgrade()

    def serve(self, client: ServerWebSocket) -> None:
        """Relay for a client that has opened the session, on its thread, until it is gone."""
        try:
            self._attach(client)
            while True:
                messages = client.receive()
                if client is self._client:
                    self._up.push(messages)
        except ConnectionLost:
            pass  # the session lives on
        finally:
            self._detach(client)

    def terminate(self, reason: str = "") -> None:
        """End it from the service's side: both ends are told."""
        with self._lock:
            if self._reason is not None or self._over:
                return
            self._reason = reason
            started = self._relay is not None
        self._link.abort(reason, last=[self._channel_closed()])
        if not started:
            self._finish()

    def drop_connection(self) -> None:
        """Cut the client's connection without a word, as a broken network does."""
        self._end_connection(self._client, faults.DROP)

    def say_bye(self) -> None:
        """Close the client's connection as the service does about once an hour."""
        self._end_connection(self._client, faults.BYE)

    def pause_publication(self) -> None:
        self._down.push([control.pause_publication()])

    def start_publication(self) -> None:
        self._down.push([control.start_publication()])

    def misbehave(self, text: str) -> None:
        """Follow other faults from now on; see :mod:`fault_plan` for the text."""
        plan = parse_faults(text)
        with self._lock:
            self.plan = plan
            self._faults = faults.ConnectionFaults(plan)
        self.throttle = Throttle(plan.gateway) if plan.gateway else None
        self._down.misbehave(self._altered("down", plan))
        self._up.misbehave(self._altered("up", plan))
        client = self._client
        if client is not None:
            self._pass(client, [])  # a silence may begin at once

    def close(self, seconds: float) -> None:
        """End everything, without ceremony, and join the threads within ``seconds``."""
        deadline = time.monotonic() + seconds
        self.terminate("the local service ends")
        self.drop_connection()
        with self._lock:
            agent, relay = self._agent, self._relay
        for part in (self._down, self._up):
            part.close()
        if relay is not None:
            relay.join(deadline - time.monotonic())
        if agent is not None:
            agent.close(max(0.0, deadline - time.monotonic()))
        for part in (self._down, self._up):
            part.join(deadline - time.monotonic())

    def _conduit(
        self, name: str, plan: FaultPlan, deliver: Callable[[List[bytes]], None]
    ) -> Conduit:
        altered = self._altered(name, plan)
        return Conduit("%s %s" % (self.session_id, name), altered, deliver, self.failures)

    def _altered(self, name: str, plan: FaultPlan) -> AnyFaults:
        direction = plan.down if name == "down" else plan.up
        altered = faults.DirectionFaults(direction, "%d/%s" % (plan.seed, name))
        if name == "down" or self.throttle is None:
            return altered
        return ThrottledFaults(altered, self.throttle, self._down.push, self.terminate)

    def _attach(self, client: ServerWebSocket) -> None:
        with self._lock:
            older, self._client = self._client, client
            self.connections += 1
            self._faults.connected()
            over = self._over
            first = self._relay is None and self._reason is None and not over
            if first:
                name = self.session_id + " down"
                self._relay = Worker(name, self._relay_down, self.failures.put)
        self._pass(client, [])  # a silence may begin at once
        if older is not None:
            older.abort()
        self._let_agent_go_on()
        if over:
            self._tell_client(client)
        elif first:
            self._start_agent()
        self._notify()

    def _start_agent(self) -> None:
        assert self._relay is not None
        try:
            self._relay.start()
        except LocalError as error:  # no thread for it: this one does its work
            self._agent_link.abort(str(error))
            return self._relay_down()
        agent, why = None, "the agent failed to start"
        try:
            agent = self._agent_factory(self, self._agent_link)
        except (SsmPluginError, OSError) as error:
            why = str(error)
        finally:
            if agent is None:
                self._agent_link.abort(why)
        with self._lock:
            self._agent = agent

    def _detach(self, client: ServerWebSocket) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
        self._notify()

    def _relay_down(self) -> None:
        try:
            while True:
                self._down.push(self._link.receive())
        except ConnectionLost:
            pass  # the agent has ended, or the session was terminated
        finally:
            self._finish()

    def _finish(self) -> None:
        """The last word to the client, after everything that the agent had sent."""
        self._down.flush()
        self._link.abort()
        with self._lock:
            if self._reason is None:
                self._reason = self._link.peer_reason
            self._over = True
            client = self._client
        if client is not None:
            self._tell_client(client)
        for part in (self._down, self._up):
            part.close()
        self._notify()

    def _tell_client(self, client: ServerWebSocket) -> None:
        try:
            if not self.plan.lose_channel_closed:
                client.send([self._channel_closed()])
                client.close(NORMAL)
        except ConnectionLost:
            pass  # it will hear of it from ResumeSession

    def _channel_closed(self) -> bytes:
        return control.channel_closed(
            self.session_id, self.request.target, self._reason or ""
        )

    def _pause_agent(self) -> None:
        with self._pausing:
            if self._client is None and not self.agent_pauses:
                self.agent_pauses = True
                self._tell_agent(control.pause_publication())
        self._notify()

    def _let_agent_go_on(self) -> None:
        with self._pausing:
            if self.agent_pauses:
                self.agent_pauses = False
                self._tell_agent(control.start_publication())

    def _tell_agent(self, one: bytes) -> None:
        try:
            self._link.send([one])
        except ConnectionLost:
            pass  # the agent is gone, and the client is being told

    def _to_client(self, messages: List[bytes]) -> None:
        client = self._client
        if client is None:
            if self.plan.pause_away and any(one[_TYPE] == _OUTPUT for one in messages):
                self._pause_agent()
            return
        passed, ending = self._pass(client, messages)
        try:
            if passed:
                client.send(passed)
        except ConnectionLost:
            return  # lost with the connection; the agent sends them again
        self._end_connection(client, ending)

    def _to_agent(self, messages: List[bytes]) -> None:
        client = self._client
        if client is None:
            return
        passed, ending = self._pass(client, messages)
        try:
            self._link.send(passed)
        except ConnectionLost:
            return  # the agent is gone, and the client is being told
        self._end_connection(client, ending)

    def _pass(self, client: ServerWebSocket, messages: List[bytes]) -> faults.Passed:
        with self._lock:
            passed = self._faults.relay(messages, time.monotonic())
            client.stay_quiet(self._faults.quiet_until)
            return passed

    def _end_connection(self, client: Optional[ServerWebSocket], ending: Optional[str]) -> None:
        if client is not None and ending == faults.DROP:
            client.abort()
        elif client is not None and ending == faults.BYE:
            client.close(NORMAL, "Bye")

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


AgentFactory = Callable[[GatewaySession, PipeEnd], RunningAgent]
