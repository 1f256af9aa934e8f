"""Two protocol cores and what lies between them: a link with faults, and no real time.

Everything random comes from one seed, so that a run that fails fails again.
"""

import heapq
import random
from typing import NamedTuple

from ssm_plugin.channel.events import Output, Started
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role

from .clock import Clock

LATENCY = 0.01  # s, one way


class Faults(NamedTuple):
    """How often each befalls a message, 0 to 1."""

    lose: float = 0.0
    double: float = 0.0
    reorder: float = 0.0  # later by up to two latencies: others overtake it
    delay: float = 0.0  # later by up to half a second: it is sent again before it arrives


NO_FAULTS = Faults()


def handshake_request(session_type="Port", properties=None, *more):
    """A request as the agent builds it, ``more`` being further actions."""
    parameters = {"SessionType": session_type, "Properties": properties}
    action = payloads.RequestedAction(payloads.SESSION_TYPE_ACTION, parameters)
    return payloads.build_handshake_request(
        payloads.HandshakeRequest("3.3.0.0", (action,) + more)
    )


def handshake_complete(message=""):
    return payloads.build_handshake_complete(payloads.HandshakeComplete(1, message))


class Pair:
    """A client, an agent, and the link. ``client_events`` and ``agent_events`` collect."""

    def __init__(self, faults=NO_FAULTS, seed=0, supported=("Port",), **client_options):
        self.clock = Clock()
        self.client = ChannelProtocol(Role.CLIENT, supported, **client_options)
        self.agent = ChannelProtocol(Role.AGENT)
        self.client_events = []
        self.agent_events = []
        self.sent = 0
        self._faults = faults
        self._random = random.Random(seed)
        self._flying = []
        self._count = 0
        self.connect()

    @property
    def now(self):
        return self.clock()

    def connect(self):
        self.client.connection_made(self.now)
        self.agent.connection_made(self.now)

    def cut(self):
        """Lose the connection, and all that is under way."""
        self.client.connection_lost()
        self.agent.connection_lost()
        self.lose_what_is_under_way()

    def lose_what_is_under_way(self):
        self._flying = []

    def start(self, session_type="Port"):
        """The handshake, to its end at both sides."""
        request = handshake_request(session_type)
        self.agent.send_control(payloads.HANDSHAKE_REQUEST, request, self.now)
        self.run(lambda: self.agent_events)
        assert self.agent_events.pop(0).payload_type == payloads.HANDSHAKE_RESPONSE
        self.agent.send_control(payloads.HANDSHAKE_COMPLETE, handshake_complete(), self.now)
        self.run(lambda: self.client_events)
        assert isinstance(self.client_events.pop(0), Started)

    def run(self, finished, limit=600.0):
        """Let time pass until ``finished()`` is true; at most ``limit`` s of it."""
        end = self.now + limit
        self.settle()
        while not finished():
            assert self.now < end, "not finished after %d s" % limit
            self.step()

    def step(self):
        """Go to the next moment at which something happens, and let it happen."""
        at = self._next_time()
        assert at is not None, "nothing will ever happen"
        self.clock.now = max(self.now, at)
        arrived = {self.client: [], self.agent: []}
        while self._flying and self._flying[0][0] <= self.now:
            _, _, to_agent, message = heapq.heappop(self._flying)
            arrived[self.agent if to_agent else self.client].append(message)
        for end, messages in arrived.items():
            if messages:
                end.receive(messages, self.now)
            timer = end.next_timer()
            if timer is not None and timer <= self.now:
                end.on_timer(self.now)
        self.settle()

    def _next_time(self):
        times = [self._flying[0][0]] if self._flying else []
        times += [self.client.next_timer(), self.agent.next_timer()]
        return min((at for at in times if at is not None), default=None)

    def settle(self):
        """Take what both ends have to send and to tell."""
        self.client_events += self.client.events()
        self.agent_events += self.agent.events()
        for end in (self.client, self.agent):
            for message in end.data_to_send():
                self._send(end is self.client, message)

    def _send(self, to_agent, message):
        chance, faults = self._random.random, self._faults
        self.sent += 1
        if chance() < faults.lose:
            return
        for _ in range(2 if chance() < faults.double else 1):
            at = self.now + LATENCY
            if chance() < faults.reorder:
                at += 2 * LATENCY * chance()
            if chance() < faults.delay:
                at += 0.5 * chance()
            self._count += 1
            heapq.heappush(self._flying, (at, self._count, to_agent, message))


class Transfer:
    """Data on its way through a :class:`Pair`, in both directions or one."""

    def __init__(self, pair, upload=b"", download=b""):
        self._pair = pair
        self._left = {pair.client: memoryview(upload), pair.agent: memoryview(download)}
        self._uploaded = bytearray()
        self._downloaded = bytearray()
        self._sizes = (len(upload), len(download))

    def is_done(self):
        """Feeds the windows and takes what has come; true once all has arrived."""
        pair = self._pair
        for end, rest in self._left.items():
            if rest:
                self._left[end] = rest[end.send(payloads.OUTPUT, rest, pair.now):]
        pair.settle()
        for events, received in (
            (pair.agent_events, self._uploaded),
            (pair.client_events, self._downloaded),
        ):
            for event in events:
                assert type(event) is Output and event.payload_type == payloads.OUTPUT, event
                received += event.data
            del events[:]
        expected_up, expected_down = self._sizes
        return len(self._uploaded) >= expected_up and len(self._downloaded) >= expected_down

    @property
    def uploaded(self):
        return bytes(self._uploaded)

    @property
    def downloaded(self):
        return bytes(self._downloaded)
