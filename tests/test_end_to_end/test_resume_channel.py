"""What a data channel does when its connection, its peer, its consumer or its clock fails it."""

import queue
import threading
import time

import pytest

from ssm_plugin.channel.events import Failed, Output, Started
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.errors import SessionLost
from ssm_plugin.loopback.pipe import link_pair
from ssm_plugin.transport.backpressure import EVENTS_HIGH
from ssm_plugin.transport.data_channel import DataChannel, Disconnected
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.threads import wait_until

PING = 0.1  # s
TIME_LIMIT = 40


class Clock:
    """The real one, and what it is told to jump ahead."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead


class Watched:
    """A link whose pings are counted, and not answered if ``mute``, and whose end is noticed."""

    def __init__(self, link, mute=False):
        self._link = link
        self._mute = mute
        self.pinged = threading.Semaphore(0)
        self.closed = threading.Event()

    def ping(self):
        self.pinged.release()
        if not self._mute:
            self._link.ping()

    def close(self):
        self._link.close()
        self.closed.set()

    def __getattr__(self, name):
        return getattr(self._link, name)


class Ends:
    """Both ends of a channel over a link, the session open."""

    def __init__(self, high_water=1024 * 1024, ping_interval=PING):
        self.clock = Clock()
        self.events = queue.Queue()
        self.node_events = queue.Queue()
        protocol = ChannelProtocol(Role.CLIENT, ("Port",))
        self.client = DataChannel(
            protocol,
            self.events.put,
            self.events.qsize,
            ping_interval=ping_interval,
            clock=self.clock,
            high_water=high_water,
        )
        protocol, events = ChannelProtocol(Role.AGENT), self.node_events
        self.node = DataChannel(protocol, events.put, events.qsize, ping_interval=60)
        self.link = self.connect()
        self.node.send_input_data(b"$")
        self.next(Started)
        self.next(Output)
        self.client.delivered(1)
        assert self.node.drain(TIME_LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client.close()
        self.node.close()

    def connect(self):
        one, other = link_pair()
        link = Watched(one)
        self.node.attach(other)
        self.client.attach(link)
        return link

    def lose(self, unsent=b""):
        """The connection breaks, and the client knows; what it has told before is kept. Who does
        not read notices only when something is ``unsent``."""
        self.link.abort()
        self.client.send_input_data(unsent)
        before = []
        while not before or not isinstance(before[-1], Disconnected):
            before.append(self.events.get(timeout=TIME_LIMIT))
        for event in before[:-1]:
            self.events.put(event)

    def next(self, kind):
        event = self.events.get(timeout=TIME_LIMIT)
        assert isinstance(event, kind), event
        return event

    def next_at_node(self):
        """The next input there; that connections go is nothing to it."""
        while True:
            event = self.node_events.get(timeout=TIME_LIMIT)
            if not isinstance(event, Disconnected):
                return event.data

    def wait_for_pings(self, count):
        for _ in range(count):
            assert self.link.pinged.acquire(timeout=TIME_LIMIT)


def silenced(ends):
    """The node hears and says nothing more, on a connection that stays."""
    one, _ = link_pair()
    link = Watched(one, mute=True)
    ends.client.attach(link)
    ends.link = link
    return ends


def test_a_machine_that_slept_an_hour_resumes_whatever_was_unacknowledged():
    with silenced(Ends(ping_interval=1)) as ends:
        ends.client.send_input_data(b"typed just before the lid was closed")
        ends.clock.ahead = 3600
        assert "nothing was heard" in str(ends.next(Disconnected).error)
        ends.connect()
        assert ends.next_at_node().startswith(b"typed")
        assert ends.client.drain(TIME_LIMIT)


def test_a_peer_that_answers_nothing_is_given_up_after_three_intervals():
    with silenced(Ends()) as ends:
        began = time.monotonic()
        ends.next(Disconnected)
        assert 2.5 * PING < time.monotonic() - began < TIME_LIMIT
        assert ends.link.closed.wait(TIME_LIMIT)


def test_a_connection_that_comes_late_is_watched_like_the_first():
    with Ends() as ends:
        ends.lose()
        # The heartbeat has nothing to wait for.
        wait_until(lambda: ends.client._wakes_at == float("inf"))
        ends.link = ends.connect()
        ends.wait_for_pings(2)


def filled(ends):
    """The reader waits for its consumer, and an acknowledgement lies unread behind it."""
    ends.node.send_input_data(b"x" * 5000)
    wait_until(lambda: ends.client.backpressure.waits_for_consumer)
    ends.client.send_input_data(b"key")
    assert ends.next_at_node() == b"key"
    return ends


def catch_up(ends):
    """The consumer takes everything, and then the acknowledgement is read as well."""
    left = 5000
    while left:
        size = len(ends.next(Output).data)
        ends.client.delivered(size)
        left -= size
    assert ends.client.drain(TIME_LIMIT)


def test_a_slow_consumer_is_not_taken_for_a_dead_node():
    with filled(Ends(high_water=4000)) as ends:
        ends.clock.ahead = 400  # more than a node may leave anything unacknowledged
        ends.wait_for_pings(5)
        assert not ends.client.drain(0)
        catch_up(ends)


def test_a_connection_can_be_lost_and_replaced_while_the_consumer_is_slow():
    with filled(Ends(high_water=4000)) as ends:
        ends.lose(b"more")
        assert ends.link.closed.wait(TIME_LIMIT)
        ends.connect()
        catch_up(ends)


def test_many_small_outputs_are_bounded_by_their_number():
    with Ends(ping_interval=60) as ends:
        count = 2 * EVENTS_HIGH

        def flood():
            try:
                for number in range(count):
                    kind = payloads.STDERR if number % 2 else payloads.OUTPUT
                    ends.node.send_input_data(b"%d" % (number % 10), kind)
            except SessionLost:
                pass  # the test is over

        thread = threading.Thread(target=flood)
        thread.start()
        while not ends.client.backpressure.waits_for_consumer:
            thread.join(0.01)
            assert thread.is_alive(), "everything was taken"
        assert EVENTS_HIGH <= ends.events.qsize() < EVENTS_HIGH + 5000
        received = bytearray()
        while len(received) < count:
            event = ends.next(Output)
            received += event.data
            ends.client.delivered(len(event.data))
        thread.join(TIME_LIMIT)
        assert received == b"0123456789" * (count // 10)


def test_a_producer_waits_for_the_next_connection_and_then_goes_on():
    with Ends() as ends:
        ends.lose()
        thread = threading.Thread(target=ends.client.send_input_data, args=(b"y" * 2000000,))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        ends.connect()
        thread.join(TIME_LIMIT)
        assert not thread.is_alive()
        assert ends.client.drain(TIME_LIMIT)


def test_a_producer_is_told_when_the_channel_ends():
    with Ends() as ends:
        ends.lose()
        raised = []

        def produce():
            with pytest.raises(SessionLost) as caught:
                ends.client.send_input_data(b"y" * 2000000)
            raised.append(caught.value)

        thread = threading.Thread(target=produce)
        thread.start()
        ends.client.close()
        thread.join(TIME_LIMIT)
        assert raised


def test_a_connection_that_comes_after_the_end_is_closed():
    ends = Ends()
    ends.client.close()
    one, _ = link_pair()
    late = Watched(one)
    with pytest.raises(SessionLost):
        ends.client.attach(late)
    assert late.closed.is_set()
    ends.node.close()


def test_a_node_that_acknowledges_nothing_for_five_minutes_is_given_up():
    with silenced(Ends(ping_interval=200)) as ends:
        ends.client.send_input_data(b"anybody there?")
        ends.clock.ahead = 301
        error = ends.next(Failed).error
        assert isinstance(error, SessionLost)
        assert "acknowledged nothing for 5 minutes" in str(error)
