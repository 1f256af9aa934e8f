import queue
import random
import socket
import threading
import time
from contextlib import suppress

import pytest

from ssm_plugin.channel.events import ChannelClosed, KeyRequested, Output, Started
from ssm_plugin.channel.protocol import ChannelProtocol
from ssm_plugin.errors import ConnectError, ConnectionLost, SessionLost, StateError
from ssm_plugin.transport.data_channel import DataChannel, Disconnected
from ssm_plugin.transport.link import Link, Marker
from ssm_plugin.transport.websocket import open_websocket
from ssm_plugin.wire import message as wire
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.clock import Clock
from tests.support.link import handshake_request
from tests.support.threads import threads_left, wait_until
from tests.support.websocket_peer import BINARY, CLOSE, PING, AgentConnection, Peer

LIMIT = 60
OUTPUT = payloads.OUTPUT


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert threads_left(before, seconds=LIMIT) == []


def connect():
    """An open client's connection, and the peer that it leads to."""
    near, far = socket.socketpair()
    peer = Peer(far)
    thread = in_thread(peer.accept)
    connection = open_websocket("ws://gateway.example/", {}, near, LIMIT)
    thread.join(LIMIT)
    return connection, peer


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


class Client:
    """A data channel in the client's role, with its events; leaving closes it."""

    def __init__(self, window=4096, pace=None, kind=DataChannel, **options):
        self.events = queue.Queue()
        self.protocol = ChannelProtocol(Role.CLIENT, {"Port"}, window, pace)
        self.channel = kind(self.protocol, self.events.put, self.events.qsize, **options)
        self.peers = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.channel.close(0.2)
        for peer in self.peers:
            peer.close()

    def attach(self):
        """Connect; returns the peer."""
        connection, peer = connect()
        self.peers.append(peer)
        self.channel.attach(connection)
        return peer

    def start(self):
        """Connect, and let the first output open the session; returns the peer."""
        peer = self.attach()
        peer.send(BINARY, data(0, b"$ "))
        assert isinstance(self.next(Started), Started)
        assert self.next(Output).data == b"$ "
        self.channel.delivered(2)
        return peer

    def next(self, kind):
        event = self.events.get(timeout=LIMIT)
        assert isinstance(event, kind), event
        return event


def data(sequence, payload, payload_type=OUTPUT):
    return wire.build(wire.OUTPUT_STREAM_DATA, sequence, 0, 1, sequence, payload_type, payload, 1)


def acknowledgement(sequence):
    payload = payloads.build_acknowledgement(wire.INPUT_STREAM_DATA, 1, 2, sequence)
    return wire.build(wire.ACKNOWLEDGE, 0, 3, 1, 2, 0, payload, 1)


def closed(reason=""):
    payload = payloads.build_channel_closed("s", "i", 1, "d", reason)
    return wire.build(wire.CHANNEL_CLOSED, 0, 0, 1, 2, 0, payload, 1)


def messages(peer):
    """What the client sends, acknowledgements and pings left out, for ever."""
    while True:
        opcode, payload = peer.read()
        if opcode == BINARY:
            message = wire.parse(payload)
            if message.message_type == wire.INPUT_STREAM_DATA:
                yield message


def acknowledge_all(peer):
    """Acknowledge what comes, until the client is gone."""
    try:
        for message in messages(peer):
            peer.send(BINARY, acknowledgement(message.sequence))
    except (OSError, ConnectionLost):
        pass


def some_bytes(size, seed=0):
    piece = bytearray(random.Random(seed).getrandbits(8) for _ in range(1009))
    return bytes(piece) * (size // 1009)


def drained(events, size, channel, expected=()):
    """So many bytes of output, each counted as delivered. Nothing but ``expected`` in between."""
    received = bytearray()
    while len(received) < size:
        event = events.get(timeout=LIMIT)
        if isinstance(event, Output):
            received += event.data
            channel.delivered(len(event.data))
        else:
            assert isinstance(event, expected), event
    return bytes(received)


# --- Data


def test_input_arrives_in_messages_and_output_as_events():
    with Client() as client:
        peer = client.start()
        client.channel.send_input_data(b"ls\n")
        message = next(messages(peer))
        assert (message.sequence, message.payload_type, message.payload) == (0, OUTPUT, b"ls\n")
        peer.send(BINARY, data(1, b"file"))
        assert client.next(Output) == Output(OUTPUT, b"file")


def test_each_message_is_acknowledged_on_receipt_before_anybody_has_consumed_it():
    with Client() as client:
        peer = client.attach()
        peer.send(BINARY, data(0, b"$ "))
        opcode, payload = peer.read()
        message = wire.parse(payload)
        assert (opcode, message.message_type) == (BINARY, wire.ACKNOWLEDGE)
        assert payloads.acknowledged_sequence(message.payload) == 0


def test_a_message_that_is_not_acknowledged_comes_again():
    with Client() as client:
        peer = client.start()
        client.channel.send_input_data(b"x")
        found = messages(peer)
        first, second, third = next(found), next(found), next(found)
        assert first == second == third
        peer.send(BINARY, acknowledgement(0))
        assert client.channel.drain(LIMIT)


def test_sizes_and_flags_are_sent_before_the_session_is_open():
    with Client() as client:
        peer = client.attach()
        client.channel.send_control(payloads.SIZE, payloads.build_size(80, 24))
        assert next(messages(peer)).payload_type == payloads.SIZE


def test_input_is_held_until_the_session_is_open():
    with Client() as client:
        peer = client.attach()
        sender = in_thread(client.channel.send_input_data, b"early")
        sender.join(0.1)
        assert sender.is_alive()
        peer.send(BINARY, data(0, b"$ "))
        assert next(messages(peer)).payload == b"early"
        sender.join(LIMIT)


def test_input_goes_once_the_silence_is_taken_for_a_session_without_handshake():
    with Client() as client:
        peer = client.attach()
        sender = in_thread(client.channel.send_input_data, b"keys")
        client.channel.assume_started()
        assert next(messages(peer)).payload == b"keys"
        client.next(Started)
        sender.join(LIMIT)


def test_a_full_window_makes_the_producer_wait_until_there_is_room():
    with Client(window=4) as client:
        peer = client.start()
        sender = in_thread(client.channel.send_input_data, b"x" * 5 * 1024)
        found = messages(peer)
        assert [next(found).sequence for _ in range(4)] == [0, 1, 2, 3]
        sender.join(0.1)
        assert sender.is_alive()
        peer.send(BINARY, acknowledgement(2))
        sender.join(LIMIT)
        assert not sender.is_alive()
        sequences = (message.sequence for message in found)
        assert next(number for number in sequences if number > 3) == 4


def test_while_the_writer_has_enough_to_do_a_producer_waits_though_the_window_has_room():
    with Agent() as agent:  # its window begins with 512 messages
        connection, peer = connect()
        agent.channel.attach(connection)
        agent.channel.send_control(payloads.PARAMETER, b"x" * 4000000)  # more than the sockets hold
        sender = in_thread(agent.channel.send_input_data, bytes(400 * 1024))
        wait_until(lambda: agent.protocol.unacknowledged > 32)
        sender.join(0.1)
        assert sender.is_alive()
        assert agent.protocol.unacknowledged < 200
        found = []
        while len(found) < 401:
            sequence = wire.parse(peer.read()[1]).sequence
            if sequence not in found:  # as nothing is acknowledged, some come again
                found.append(sequence)
        assert found == list(range(401))
        sender.join(LIMIT)
        assert not sender.is_alive()
        peer.close()


def test_a_key_goes_out_behind_what_the_writer_has_and_before_the_bulk_that_waits_for_it():
    with Agent() as agent:
        connection, peer = connect()
        agent.channel.attach(connection)
        agent.channel.send_control(payloads.PARAMETER, b"x" * 4000000)
        bulk = in_thread(agent.channel.send_input_data, bytes(400 * 1024))
        channel, link = agent.channel, agent.channel._link
        # The writer is stuck in the first message by then, and takes no more.
        wait_until(lambda: link._taken_count and link.has_enough and channel._waits_for_writer)
        before = agent.protocol.unacknowledged
        key = in_thread(agent.channel.send_input_data, b"k")
        key.join(LIMIT)
        assert not key.is_alive()
        assert bulk.is_alive()
        assert agent.protocol.unacknowledged == before + 1
        found = {}
        while len(found) < 402:
            message = wire.parse(peer.read()[1])
            found[message.sequence] = bytes(message.payload)
        assert found[before] == b"k"
        bulk.join(LIMIT)
        peer.close()


class TakenMeanwhile(Link):
    """At each first look of a producer the writer has enough to do; at the second, nothing."""

    looks = 0

    @property
    def has_enough(self):
        self.looks += 1
        return self.looks % 2 == 1


class TakenMeanwhileChannel(DataChannel):
    def _new_link(self, connection):
        return TakenMeanwhile(connection, self, self.clock(), self.clock() + LIMIT)


def test_a_producer_for_whom_the_writer_was_just_too_quick_is_woken_by_acknowledgements():
    with Client(window=4, kind=TakenMeanwhileChannel) as client:
        peer = client.start()
        sender = in_thread(client.channel.send_input_data, b"x" * 5 * 1024)
        found = messages(peer)
        assert [next(found).sequence for _ in range(4)] == [0, 1, 2, 3]
        sender.join(0.1)  # by then it waits for room
        for sequence in range(4):  # all: else the writer would soon be given one of them again
            peer.send(BINARY, acknowledgement(sequence))
        sender.join(LIMIT)
        assert not sender.is_alive()


@pytest.mark.parametrize("lose", ["abort", "close"])
def test_a_producer_that_waits_for_the_writer_is_woken_by_the_end_of_its_connection(lose):
    with Agent() as agent:
        connection, peer = connect()
        agent.channel.attach(connection)
        agent.channel.send_control(payloads.PARAMETER, b"x" * 4000000)
        sender = in_thread(send_until_lost, agent.channel)
        wait_until(lambda: agent.protocol.unacknowledged > 32)
        if lose == "abort":
            connection.abort()
            wait_until(lambda: agent.protocol.unacknowledged == 512)
        agent.channel.close(0.2)
        sender.join(LIMIT)
        assert not sender.is_alive()
        peer.close()


def test_a_pace_spreads_input_over_time():
    with Client(pace=200.0) as client:
        peer = client.start()
        reader = in_thread(acknowledge_all, peer)
        begun = time.monotonic()
        client.channel.send_input_data(b"x" * 60 * 1024)
        assert time.monotonic() - begun > 0.15
        client.channel.close()
        reader.join(LIMIT)


def test_time_that_passes_while_a_producer_looks_for_room_does_not_make_it_wait_for_ever():
    class Ticking(Clock):
        def __call__(self):  # between the question for room and that for the time: some time
            return self.advance(0.07)

    with Client(pace=10.0, clock=Ticking()) as client:
        peer = client.start()
        sender = in_thread(client.channel.send_input_data, b"x" * 5 * 1024)
        found = messages(peer)
        acknowledger = in_thread(lambda: [next(found) for _ in range(5)])
        sender.join(LIMIT)
        assert not sender.is_alive()
        acknowledger.join(LIMIT)


def test_a_key_is_provided_or_refused():
    for refuse in (True, False):
        with Client() as client:
            peer = client.attach()
            action = payloads.RequestedAction("KMSEncryption", {"KMSKeyId": "arn:key"})
            request = handshake_request("Port", None, action)
            peer.send(BINARY, data(0, request, payloads.HANDSHAKE_REQUEST))
            assert client.next(KeyRequested).key_id == "arn:key"
            if refuse:
                client.channel.refuse_key("no")
            else:
                client.channel.provide_key(bytes(64), "c2VhbGVk")
            response = payloads.parse_handshake_response(next(messages(peer)).payload)
            assert response.actions[-1].status == (
                payloads.FAILED if refuse else payloads.SUCCESS
            )


# --- The agent's end, over a real connection


class Agent:
    """A data channel in the agent's role, at the other end of a client's connection."""

    def __init__(self):
        self.events = queue.Queue()
        self.protocol = ChannelProtocol(Role.AGENT)
        self.channel = DataChannel(self.protocol, self.events.put, self.events.qsize)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.channel.close(0.2)


def connect_both(client, agent):
    connection, peer = connect()
    agent.channel.attach(AgentConnection(peer))
    client.channel.attach(connection)
    return connection


@pytest.mark.volume
def test_megabytes_go_both_ways_at_once():
    upload, download = some_bytes(4000000, 1), some_bytes(4000000, 2)
    with Agent() as agent, Client() as client:
        connect_both(client, agent)
        agent.channel.send_input_data(b"$ ")
        assert isinstance(client.next(Started), Started)
        assert drained(client.events, 2, client.channel) == b"$ "
        received = []
        threads = [
            in_thread(client.channel.send_input_data, upload),
            in_thread(agent.channel.send_input_data, download),
            in_thread(
                lambda: received.append(drained(agent.events, len(upload), agent.channel))
            ),
        ]
        assert drained(client.events, len(download), client.channel) == download
        for thread in threads:
            thread.join(LIMIT)
        assert received == [upload]
        assert client.channel.drain(LIMIT) and agent.channel.drain(LIMIT)


@pytest.mark.volume
def test_connections_that_break_at_random_moments_lose_nothing():
    source = random.Random(0)
    upload, download = some_bytes(3000000, 1), some_bytes(3000000, 2)
    with Agent() as agent, Client() as client:
        current = [connect_both(client, agent)]
        agent.channel.send_input_data(b"$ ")
        assert isinstance(client.next(Started), Started)
        assert drained(client.events, 2, client.channel) == b"$ "
        received = {}
        done = threading.Event()

        def collect(name, end, size):
            received[name] = drained(end.events, size, end.channel, (Disconnected,))

        threads = [
            in_thread(client.channel.send_input_data, upload),
            in_thread(agent.channel.send_input_data, download),
            in_thread(collect, "up", agent, len(upload)),
            in_thread(collect, "down", client, len(download)),
        ]
        for _ in range(8):
            done.wait(source.random() * 0.05)
            current[0].abort()
            wait_until(lambda: not client.channel.is_open and not agent.channel.is_open)
            current[0] = connect_both(client, agent)
        for thread in threads:
            thread.join(LIMIT)
        assert received == {"up": upload, "down": download}


# --- Connections that are lost


def test_a_connection_that_the_service_closes_is_told_once():
    with Client() as client:
        peer = client.start()
        assert client.channel.is_open
        peer.send(CLOSE, b"\x03\xe8Bye")
        assert "1000 Bye" in str(client.next(Disconnected).error)
        assert not client.channel.is_open
        assert client.events.empty()


def test_what_was_not_acknowledged_goes_again_over_the_next_connection():
    with Client() as client:
        peer = client.start()
        client.channel.send_input_data(b"kept")
        assert next(messages(peer)).payload == b"kept"
        peer.close()
        client.next(Disconnected)
        client.channel.send_input_data(b"meanwhile")
        found = messages(client.attach())
        assert [bytes(next(found).payload) for _ in range(2)] == [b"kept", b"meanwhile"]
        assert client.channel.is_open


class LookedAtTogether(DataChannel):
    """Two threads look at one moment whether the heart beats, if they can."""

    def __init__(self, *arguments, **options):
        self._both = threading.Barrier(2)
        super().__init__(*arguments, **options)

    @property
    def _beating(self):
        beats = self._beats
        with suppress(threading.BrokenBarrierError):
            self._both.wait(0.1)
        return beats

    @_beating.setter
    def _beating(self, beats):
        self._beats = beats


def test_of_two_connections_at_one_moment_one_starts_the_heartbeat():
    with Client(kind=LookedAtTogether) as client:
        errors = []

        def attach():
            try:
                client.attach()
            except Exception as error:
                errors.append(error)

        for thread in [in_thread(attach), in_thread(attach)]:
            thread.join(LIMIT)
        assert errors == []


def test_a_connection_that_was_replaced_is_not_told():
    with Client() as client:
        client.start()
        client.attach()
        assert client.channel.is_open
        assert client.events.empty()


@pytest.mark.parametrize("how", ["lost", "replaced", "closed"])
def test_the_descriptor_of_a_finished_connection_is_freed(how):
    near, far = socket.socketpair()
    with Client() as client, Peer(far) as peer:
        thread = in_thread(peer.accept)
        connection = open_websocket("ws://gateway.example/", {}, near, LIMIT)
        thread.join(LIMIT)
        client.channel.attach(connection)
        if how == "lost":
            peer.socket.shutdown(socket.SHUT_RDWR)
            client.next(Disconnected)
        elif how == "replaced":
            client.attach()
        else:
            client.channel.close(LIMIT)
        deadline = time.monotonic() + LIMIT
        while near.fileno() != -1 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert near.fileno() == -1


INTERVAL = 0.125  # exact in binary


def next_ping(peer, clock):
    """The payload of the ping that is due an interval later."""
    clock.advance(INTERVAL)
    return next(payload for opcode, payload in iter(peer.read, None) if opcode == PING)


def test_a_silent_peer_is_pinged_and_then_given_up():
    clock = Clock()
    with Client(ping_interval=INTERVAL, clock=clock) as client:
        peer = client.start()
        next_ping(peer, clock)
        next_ping(peer, clock)
        assert client.events.empty()
        with pytest.raises(ConnectionLost):
            next_ping(peer, clock)
        assert "nothing was heard" in str(client.next(Disconnected).error)


def test_a_peer_that_is_silent_after_the_end_is_given_up_and_nobody_is_told():
    """Our output may still be on its way to a slow reader then."""
    with Client(ping_interval=0.1) as client:
        peer = client.start()
        peer.send(BINARY, closed())
        client.next(ChannelClosed)
        with pytest.raises(ConnectionLost):
            while peer.read():
                pass
        assert client.events.empty()


def test_answers_that_never_left_do_not_count_for_the_next_connection():
    with Client() as client:
        peer = client.start()
        wait_until(lambda: client.channel.backpressure._answers == 0)  # the first one has left
        link = client.channel._link
        link._outgoing.put(Marker.END)
        link.put([b"never sent"], is_answer=True)
        assert client.channel.backpressure._answers >= 10
        peer.close()
        wait_until(lambda: client.channel.backpressure._answers == 0)


def test_whoever_uses_the_channel_may_want_pings_more_often():
    clock = Clock()
    with Client(ping_interval=3600, clock=clock) as client:
        peer = client.start()
        client.channel.ping_within(INTERVAL)
        next_ping(peer, clock)
        client.channel.ping_within(7200)  # fewer is for nobody to want
        next_ping(peer, clock)


def test_a_peer_that_answers_pings_lives():
    clock = Clock()
    with Client(ping_interval=INTERVAL, clock=clock) as client:
        peer = client.start()
        for _ in range(5):
            peer.send(10, next_ping(peer, clock))
            wait_until(lambda: client.channel._link.heard_at == clock.now)
        assert client.events.empty()
        assert client.channel.is_open


def test_a_dial_that_succeeds_opens_the_channel():
    events = queue.Queue()
    connection, peer = connect()
    protocol = ChannelProtocol(Role.CLIENT)
    channel = DataChannel(protocol, events.put, events.qsize, dial=lambda: connection)
    assert channel.open() is True
    assert channel.is_open
    channel.close()
    peer.close()


def test_a_dial_that_fails_says_why():
    def dial():
        raise ConnectError("refused")

    events = queue.Queue()
    channel = DataChannel(ChannelProtocol(Role.CLIENT), events.put, events.qsize, dial=dial)
    with pytest.raises(ConnectError, match="refused"):
        channel.open()
    assert not channel.is_open
    channel.close()


def test_without_a_dial_there_is_nothing_to_open():
    with pytest.raises(StateError):
        DataChannel(ChannelProtocol(Role.CLIENT), queue.Queue().put, queue.Queue().qsize).open()


# --- The end


def test_closing_wakes_a_reader_that_waits_for_the_peer_and_says_goodbye():
    with Client() as client:
        peer = client.start()
        begun = time.monotonic()
        client.channel.close(LIMIT)
        assert time.monotonic() - begun < LIMIT / 2
        assert not client.channel.is_open
        while True:
            opcode, payload = peer.read()
            if opcode == CLOSE:
                break
        assert payload == b"\x03\xe8"
        assert client.events.empty(), "an end of our own is no loss"


def test_closing_sends_what_is_queued_first():
    with Client() as client:
        peer = client.start()
        client.channel.send_control(payloads.FLAG, payloads.build_flag(2))
        client.channel.close()
        assert payloads.parse_flag(next(messages(peer)).payload) == payloads.TERMINATE_SESSION


def test_closing_ends_within_its_deadline_even_if_the_peer_never_reads():
    with Client() as client:
        client.start()
        client.channel.send_control(payloads.PARAMETER, b"x" * 4000000)
        begun = time.monotonic()
        client.channel.close(0.5)
        assert 0.3 < time.monotonic() - begun < LIMIT / 2


def test_closing_frees_a_producer_that_is_stuck_in_sending():
    with Client() as client:
        client.start()
        client.channel.send_control(payloads.PARAMETER, b"x" * 4000000)
        sender = in_thread(send_until_lost, client.channel)
        client.channel.close(0.5)
        sender.join(LIMIT)
        assert not sender.is_alive()


def send_until_lost(channel):
    try:
        while True:
            channel.send_input_data(b"x" * 65536)
    except SessionLost:
        pass


def test_closing_wakes_a_producer_that_waits_for_room():
    with Client(window=1) as client:
        client.start()
        failures = []

        def send():
            try:
                client.channel.send_input_data(b"x" * 5000)
            except SessionLost as error:
                failures.append(error)

        sender = in_thread(send)
        sender.join(0.1)
        assert sender.is_alive()
        client.channel.close()
        sender.join(LIMIT)
        assert len(failures) == 1


def test_closing_twice_or_before_anything_is_no_mistake():
    channel = DataChannel(ChannelProtocol(Role.CLIENT), queue.Queue().put, queue.Queue().qsize)
    channel.close()
    channel.close()
    assert not channel.is_open


def test_a_closed_channel_takes_no_input():
    with Client() as client:
        client.start()
        client.channel.close()
        with pytest.raises(SessionLost):
            client.channel.send_input_data(b"x")


def test_a_closed_channel_takes_no_connection_and_closes_it():
    near, far = socket.socketpair()
    with Client() as client, Peer(far) as peer:
        thread = in_thread(peer.accept)
        connection = open_websocket("ws://gateway.example/", {}, near, LIMIT)
        thread.join(LIMIT)
        client.channel.close()
        with pytest.raises(SessionLost):
            client.channel.attach(connection)
        assert near.fileno() == -1


def test_a_session_that_the_service_ends_is_told_and_its_lost_connection_is_not():
    with Client(window=1) as client:
        peer = client.start()
        send = client.channel.send_input_data
        sender = in_thread(lambda: pytest.raises(SessionLost, send, b"x" * 5000))
        next(messages(peer))
        peer.send(BINARY, closed("Timed out"))
        assert client.next(ChannelClosed).reason == "Timed out"
        sender.join(LIMIT)
        assert not sender.is_alive()
        assert not client.channel.is_open
        peer.close()
        client.channel.close()
        assert client.events.empty()


# --- A slow consumer, and a slow peer


@pytest.mark.volume
def test_a_slow_consumer_holds_up_the_agent_and_loses_nothing():
    high_water = 65536
    download = some_bytes(8000000)
    with Agent() as agent, Client(high_water=high_water) as client:
        connect_both(client, agent)
        sender = in_thread(agent.channel.send_input_data, download)
        sender.join(0.5)
        assert sender.is_alive(), "nobody takes the output"
        client.next(Started)
        held = list(client.events.queue)
        waiting = sum(len(event.data) for event in held)
        # One receive buffer may come on top, and one that was ahead of its turn.
        assert high_water <= waiting < high_water + 4 * 65536
        assert drained(client.events, len(download), client.channel) == download
        sender.join(LIMIT)


def test_while_the_consumer_is_slow_the_peer_is_not_taken_for_dead():
    with Agent() as agent, Client(high_water=65536, ping_interval=0.5) as client:
        connect_both(client, agent)
        sender = in_thread(agent.channel.send_input_data, some_bytes(2000000))
        sender.join(2.0)  # longer than three intervals, after which a silent peer counts as dead
        assert sender.is_alive()
        client.next(Started)
        assert drained(client.events, len(some_bytes(2000000)), client.channel)
        sender.join(LIMIT)
        assert client.channel.is_open


def test_while_the_consumer_is_slow_unread_acknowledgements_are_not_taken_for_missing():
    clock = Clock()
    with Client(high_water=1000, clock=clock) as client:
        peer = client.start()
        client.channel.send_input_data(b"x")
        next(messages(peer))
        for sequence in range(1, 5):
            peer.send(BINARY, data(sequence, b"o" * 1000))
        output = client.next(Output)
        wait_until(lambda: client.channel.backpressure.waits_for_consumer)
        for _ in range(3):
            clock.advance(200.0)
            client.channel.send_control(payloads.SIZE, b"{}")
            while peer.read()[0] != PING:
                pass  # the heartbeat has looked at its clock once it pings
        assert not client.protocol.ended
        peer.send(BINARY, acknowledgement(0))
        client.channel.delivered(len(output.data))
        drained(client.events, 4000 - len(output.data), client.channel)
        assert client.channel.is_open


def test_a_reader_that_waits_for_the_consumer_is_woken_by_the_end():
    with Client(high_water=1000) as client:
        peer = client.start()
        for sequence in range(1, 5):
            peer.send(BINARY, data(sequence, b"o" * 1000))
        client.next(Output)
        begun = time.monotonic()
        client.channel.close(LIMIT)
        assert time.monotonic() - begun < LIMIT / 2


def test_draining_waits_until_all_is_acknowledged_or_the_time_is_over():
    with Client() as client:
        peer = client.start()
        assert client.channel.drain(0.0)
        client.channel.send_input_data(b"x")
        assert not client.channel.drain(0.05)
        peer.send(BINARY, acknowledgement(0))
        assert client.channel.drain(LIMIT)


def test_draining_does_not_wait_for_a_connection_that_is_gone():
    with Client() as client:
        peer = client.start()
        client.channel.send_input_data(b"x")
        drainer = in_thread(client.channel.drain, LIMIT)
        peer.close()
        drainer.join(LIMIT / 2)
        assert not drainer.is_alive()
