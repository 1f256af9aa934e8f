"""An agent that says whatever it is told to: in its handshake, as output, as the reason of its end.

    script = Script(message="\\x1b[2J", reason="bad\\rnews")
    with LocalService(script.start) as service:
        ...

It is the core turned round, as the local service's own agent is, without a program behind it.
"""

import queue
from typing import Any, NamedTuple, Optional, Tuple

from ssm_plugin.channel.events import Output
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.loopback.agent_link import AgentLink
from ssm_plugin.loopback.gateway_session import RunningAgent
from ssm_plugin.transport.data_channel import DataChannel
from ssm_plugin.transport.worker import Worker
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role

TIME_LIMIT = 5.0  # seconds, for the client's answer and for its acknowledgements


class Script(NamedTuple):
    """``output``: pairs of payload type and payload, sent once the session is open. ``reason`` is
    the service's for the end, which follows at once. Without ``completes`` it waits, after our part
    of the handshake, until the client leaves."""

    session_type: str = "Standard_Stream"
    properties: Optional[dict] = None
    agent_version: str = "3.3.0.0"
    message: str = ""
    output: Tuple[Tuple[int, bytes], ...] = ()
    reason: str = ""
    completes: bool = True

    def start(self, session: Any, link: Any) -> "HostileAgent":
        agent = HostileAgent(session, link, self)
        agent.worker.start()
        return agent


class HostileAgent(RunningAgent):
    def __init__(self, session: Any, link: Any, script: Script) -> None:
        self._script = script
        self._events = queue.Queue()
        self._link = AgentLink(link, session.session_id, self._events.empty)
        protocol = ChannelProtocol(Role.AGENT)
        self._channel = DataChannel(protocol, self._events.put, self._events.qsize)
        self.worker = Worker("agent " + session.session_id, self._run, queue.Queue().put)

    def close(self, seconds: float) -> None:
        self.worker.join(seconds)

    def _run(self) -> None:
        self._channel.attach(self._link)
        self._channel.send_control(payloads.HANDSHAKE_REQUEST, self._request())
        if isinstance(self._events.get(timeout=TIME_LIMIT), Output):
            if self._script.completes:
                self._speak()
            else:
                self._events.get()  # the client is gone
        self._link.reason = self._script.reason
        self._link.release()
        self._channel.drain(TIME_LIMIT)
        self._channel.close(TIME_LIMIT)
        self._link.abort()

    def _request(self) -> bytes:
        script = self._script
        parameters = {"SessionType": script.session_type, "Properties": script.properties}
        action = payloads.RequestedAction(payloads.SESSION_TYPE_ACTION, parameters)
        request = payloads.HandshakeRequest(script.agent_version, (action,))
        return payloads.build_handshake_request(request)

    def _speak(self) -> None:
        complete = payloads.HandshakeComplete(1, self._script.message)
        steps = ((payloads.HANDSHAKE_COMPLETE, payloads.build_handshake_complete(complete)),)
        for payload_type, payload in steps + self._script.output:
            self._channel.send_control(payload_type, payload)
