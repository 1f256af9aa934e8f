import base64
import json
import random
import uuid

import pytest

from ssm_plugin import logs
from ssm_plugin.channel.cipher import Cipher, unavailable_reason
from ssm_plugin.channel.events import ChannelClosed, Failed, KeyRequested, Output, Started
from ssm_plugin.channel.protocol import MAXIMUM_PAYLOAD, ChannelProtocol
from ssm_plugin.errors import EncryptionError, HandshakeError, SessionLost
from ssm_plugin.wire import message as wire
from ssm_plugin.wire import payloads
from ssm_plugin.wire.message import Role
from tests.support.link import (
    LATENCY,
    NO_FAULTS,
    Faults,
    Pair,
    Transfer,
    handshake_complete,
    handshake_request,
)
from tests.support.vectors import binary_frames

WALL_CLOCK = 1700000000.5
OUTPUT = payloads.OUTPUT

FIVE_PERCENT = {
    "lost": Faults(lose=0.05),
    "doubled": Faults(double=0.05),
    "reordered": Faults(reorder=0.05),
    "delayed": Faults(delay=0.05),
}
ALL_FAULTS = Faults(0.05, 0.05, 0.05, 0.05)


@pytest.fixture
def log(tmp_path):
    """The file that everything is logged to."""
    path = tmp_path / "log"
    logs.configure(("debug", str(path), 1 << 20, 0))
    yield path
    logs.configure(("off", None, 1, 0))


def client(**options):
    """A connected client that has no session yet."""
    protocol = ChannelProtocol(
        Role.CLIENT, {"Port", "Standard_Stream"}, wall_clock=lambda: WALL_CLOCK, **options
    )
    protocol.connection_made(0.0)
    return protocol


def open_client(**options):
    """A client in a session without handshake, that expects message 1."""
    protocol = client(**options)
    protocol.receive([data(0, b"$ ")], 0.0)
    protocol.events()
    protocol.data_to_send()
    return protocol


def data(sequence, payload, payload_type=OUTPUT, message_type=wire.OUTPUT_STREAM_DATA):
    return wire.build(message_type, sequence, 0, 1, sequence & 0xFFFF, payload_type, payload, 1)


def notice(message_type, payload=b""):
    return wire.build(message_type, 0, 0, 1, 2, 0, payload, 1)


def acknowledgement(sequence):
    payload = payloads.build_acknowledgement(wire.INPUT_STREAM_DATA, 1, 2, sequence)
    return notice(wire.ACKNOWLEDGE, payload)


def sent(protocol):
    return [wire.parse(frame) for frame in protocol.data_to_send()]


def acknowledged(protocol):
    """The sequence numbers that the protocol acknowledges now."""
    return [
        payloads.acknowledged_sequence(message.payload)
        for message in sent(protocol)
        if message.message_type == wire.ACKNOWLEDGE
    ]


def some_bytes(size, seed=0):
    piece = bytearray(random.Random(seed).getrandbits(8) for _ in range(65521))
    return bytes(piece * (size // len(piece) + 1))[:size]


# --- What we send


def test_our_messages_are_numbered_from_0_and_carry_no_flags():
    protocol = open_client()
    protocol.send(OUTPUT, b"a", 0.0)
    protocol.send_control(payloads.SIZE, b"{}", 0.0)
    messages = sent(protocol)
    assert [(message.sequence, message.payload_type) for message in messages] == [(0, 1), (1, 3)]
    assert {message.message_type for message in messages} == {wire.INPUT_STREAM_DATA}
    assert {message.flags for message in messages} == {0}
    assert {message.created for message in messages} == {1700000000500}


def test_the_agents_first_message_carries_syn():
    protocol = ChannelProtocol(Role.AGENT)
    protocol.connection_made(0.0)
    protocol.send(OUTPUT, b"x" * 1025, 0.0)
    messages = sent(protocol)
    assert [message.flags for message in messages] == [wire.FLAG_SYN, 0]
    assert {message.message_type for message in messages} == {wire.OUTPUT_STREAM_DATA}


def test_data_goes_in_pieces_of_1024_bytes():
    protocol = open_client()
    content = some_bytes(2500)
    assert protocol.send(OUTPUT, content, 0.0) == 2500
    messages = sent(protocol)
    assert [len(message.payload) for message in messages] == [1024, 1024, 452]
    assert b"".join(message.payload for message in messages) == content


def test_message_ids_are_version_4_uuids_and_never_the_same():
    protocol = open_client()
    protocol.send(OUTPUT, b"x" * 16384, 0.0)
    ids = [uuid.UUID(message.message_id) for message in sent(protocol)]
    assert len(set(ids)) == len(ids) == 16
    assert {(number.version, number.variant) for number in ids} == {(4, uuid.RFC_4122)}


def test_a_session_that_is_not_open_yet_takes_no_input():
    protocol = client()
    assert protocol.room(0.0) == 0
    assert protocol.send(OUTPUT, b"early", 0.0) == 0
    protocol.receive([data(0, handshake_request(), payloads.HANDSHAKE_REQUEST)], 0.0)
    assert protocol.send(OUTPUT, b"early", 0.0) == 0
    protocol.receive([data(1, handshake_complete(), payloads.HANDSHAKE_COMPLETE)], 0.0)
    assert protocol.send(OUTPUT, b"now", 0.0) == 3


def test_a_full_window_takes_no_more_until_something_is_acknowledged():
    protocol = open_client(window=2)
    content = b"x" * 5 * MAXIMUM_PAYLOAD
    assert protocol.send(OUTPUT, content, 0.0) == 2 * MAXIMUM_PAYLOAD
    assert protocol.send(OUTPUT, content, 0.0) == 0
    assert protocol.unacknowledged == 2
    protocol.receive([acknowledgement(0)], 0.1)
    assert protocol.room(0.1) == 1
    assert protocol.send(OUTPUT, content, 0.1) == MAXIMUM_PAYLOAD
    assert protocol.unacknowledged == 2


def test_control_messages_pass_a_full_window():
    protocol = open_client(window=1)
    protocol.send(OUTPUT, b"x", 0.0)
    protocol.send_control(payloads.FLAG, payloads.build_flag(2), 0.0)
    assert [message.payload_type for message in sent(protocol)] == [OUTPUT, payloads.FLAG]
    assert not protocol.ended


def test_a_pace_is_kept():
    protocol = open_client(pace=10.0)
    assert protocol.send(OUTPUT, b"x" * 5000, 0.0) == MAXIMUM_PAYLOAD
    assert protocol.send(OUTPUT, b"x" * 5000, 0.05) == 0
    assert protocol.paced_until(0.05) == pytest.approx(0.1)
    assert protocol.send(OUTPUT, b"x" * 5000, 0.11) == MAXIMUM_PAYLOAD


# --- What we receive


def test_each_message_is_acknowledged_as_the_aws_client_does_it():
    golden = next(
        wire.parse(frame)
        for frame, decoded in binary_frames()
        if decoded["MessageType"] == "acknowledge"
    )
    wanted = json.loads(bytes(golden.payload))
    halves = divmod(uuid.UUID(wanted["AcknowledgedMessageId"]).int, 1 << 64)
    protocol = client()
    protocol.receive(
        [wire.build(wanted["AcknowledgedMessageType"], 0, 1, *halves, 1, b"x", 1)], 0.0
    )
    (message,) = sent(protocol)
    assert bytes(message.payload) == bytes(golden.payload)
    ours = (message.message_type, message.sequence, message.flags, message.payload_type)
    assert ours == (golden.message_type, golden.sequence, golden.flags, golden.payload_type)


def test_acknowledgements_go_before_data():
    protocol = open_client()
    protocol.send(OUTPUT, b"a", 0.0)
    protocol.receive([data(1, b"b")], 0.0)
    assert [message.message_type for message in sent(protocol)] == [
        wire.ACKNOWLEDGE,
        wire.INPUT_STREAM_DATA,
    ]
    assert protocol.data_to_send() == []


def test_the_output_of_a_batch_is_handed_over_as_one():
    protocol = open_client()
    protocol.receive([data(1, b"a"), data(2, b"b"), data(3, b"c", payloads.STDERR)], 0.0)
    protocol.receive([data(4, b"d")], 0.0)
    assert protocol.events() == [
        Output(OUTPUT, b"ab"),
        Output(payloads.STDERR, b"c"),
        Output(OUTPUT, b"d"),
    ]
    assert protocol.events() == []


def test_what_comes_too_early_is_acknowledged_at_once_and_delivered_in_turn():
    protocol = open_client()
    protocol.receive([data(3, b"c"), data(2, b"b")], 0.0)
    assert acknowledged(protocol) == [3, 2]
    assert protocol.events() == []
    protocol.receive([data(1, b"a")], 0.0)
    assert acknowledged(protocol) == [1]
    assert protocol.events() == [Output(OUTPUT, b"abc")]


def test_a_duplicate_is_acknowledged_each_time_and_delivered_once():
    protocol = open_client()
    for _ in range(3):
        protocol.receive([data(1, b"a")], 0.0)
        assert acknowledged(protocol) == [1]
    assert protocol.events() == [Output(OUTPUT, b"a")]


def test_without_room_ahead_of_its_turn_nothing_is_acknowledged(log):
    protocol = open_client()
    protocol.receive([data(1 << 40, b"far away")], 0.0)
    assert acknowledged(protocol) == []
    assert "no room" in log.read_text()
    assert "far away" not in log.read_text()


def damaged(frame):
    return frame[:-1] + bytes([frame[-1] ^ 1])


@pytest.mark.parametrize(
    "frame, complaint",
    [
        (damaged(data(1, b"bad")), "digest"),
        (data(1, b"bad") + b"x", "claims"),
        (data(1, b"bad")[:100], "too short"),
        (b"", "too short"),
        (notice(wire.ACKNOWLEDGE, b"{broken"), "not JSON"),
        (notice(wire.ACKNOWLEDGE, b"{}"), "AcknowledgedMessageSequenceNumber"),
    ],
    ids=["digest", "length", "cut", "empty", "broken JSON", "no number"],
)
def test_a_message_that_cannot_be_read_is_logged_and_survived(frame, complaint, log):
    protocol = open_client()
    protocol.receive([frame, data(1, b"good")], 0.0)
    assert complaint in log.read_text()
    assert "dropped a message" in log.read_text()
    assert acknowledged(protocol) == [1]
    assert protocol.events() == [Output(OUTPUT, b"good")]


@pytest.mark.parametrize(
    "frame",
    [
        data(1, b"x")[:4] + b"brand_new".ljust(32) + data(1, b"x")[36:],
        notice(wire.AGENT_SESSION_STATE, payloads.build_session_state("s", "Connected")),
        data(1, b"ours", message_type=wire.INPUT_STREAM_DATA),
    ],
    ids=["unknown", "agent's state", "our own direction"],
)
def test_an_unknown_or_foreign_message_is_ignored(frame):
    protocol = open_client()
    protocol.receive([frame, data(1, b"good")], 0.0)
    assert acknowledged(protocol) == [1]
    assert protocol.events() == [Output(OUTPUT, b"good")]


def test_content_that_cannot_be_read_is_logged_and_what_follows_it_is_not_lost(log):
    protocol = client()
    protocol.receive(
        [
            data(0, b"{broken", payloads.HANDSHAKE_REQUEST),
            data(1, handshake_request(), payloads.HANDSHAKE_REQUEST),
        ],
        0.0,
    )
    assert "dropped the content" in log.read_text()
    assert [message.message_type for message in sent(protocol)] == [
        wire.ACKNOWLEDGE,
        wire.ACKNOWLEDGE,
        wire.INPUT_STREAM_DATA,
    ]
    assert protocol.events() == []


# --- The service's notices


def test_a_pause_stops_new_input_and_nothing_else():
    protocol = open_client()
    protocol.send(OUTPUT, b"kept", 0.0)
    protocol.data_to_send()
    protocol.receive([notice(wire.PAUSE_PUBLICATION)], 0.1)
    assert protocol.send(OUTPUT, b"more", 0.1) == 0
    protocol.on_timer(protocol.next_timer())
    assert [bytes(message.payload) for message in sent(protocol)] == [b"kept"]
    protocol.receive([notice(wire.START_PUBLICATION)], 0.3)
    assert protocol.send(OUTPUT, b"more", 0.3) == 4


def test_any_acknowledgement_ends_a_pause():
    protocol = open_client()
    protocol.send(OUTPUT, b"kept", 0.0)
    protocol.receive([notice(wire.PAUSE_PUBLICATION)], 0.1)
    protocol.receive([acknowledgement(0)], 0.2)
    assert protocol.send(OUTPUT, b"more", 0.2) == 4


def test_an_acknowledgement_that_came_before_a_pause_does_not_end_it():
    protocol = open_client()
    protocol.send(OUTPUT, b"kept", 0.0)
    protocol.receive([acknowledgement(0), notice(wire.PAUSE_PUBLICATION)], 0.2)
    assert protocol.send(OUTPUT, b"more", 0.2) == 0


@pytest.mark.parametrize(
    "payload, reason",
    [
        (payloads.build_channel_closed("s", "i", 1, "d", "Timed out"), "Timed out"),
        (payloads.build_channel_closed("s", "i", 1, "d", ""), ""),
        (b"{broken", ""),
    ],
    ids=["reason", "none", "unreadable"],
)
def test_a_closed_channel_is_the_end(payload, reason):
    protocol = open_client()
    protocol.send(OUTPUT, b"x", 0.0)
    protocol.data_to_send()
    protocol.receive([data(1, b"last words"), notice(wire.CHANNEL_CLOSED, payload)], 0.0)
    assert protocol.events() == [Output(OUTPUT, b"last words"), ChannelClosed(reason)]
    assert protocol.ended
    assert protocol.send(OUTPUT, b"more", 0.0) == 0
    protocol.send_control(payloads.SIZE, b"{}", 0.0)
    assert [message.message_type for message in sent(protocol)] == [wire.ACKNOWLEDGE]
    assert protocol.next_timer() is None
    protocol.on_timer(1000.0)
    assert protocol.data_to_send() == []


def test_after_the_end_nothing_is_told():
    protocol = open_client()
    closed = notice(wire.CHANNEL_CLOSED, b"{}")
    protocol.receive([closed, data(1, b"late"), closed], 0.0)
    protocol.receive([data(2, b"later"), closed], 0.0)
    assert protocol.events() == [ChannelClosed("")]


# --- The handshake


def test_the_first_output_opens_a_session_that_has_no_handshake():
    protocol = client()
    protocol.receive([data(0, b"$ ")], 0.0)
    assert protocol.events() == [Started("", {}, "", "", False), Output(OUTPUT, b"$ ")]


def test_a_session_without_handshake_may_be_taken_for_open_before_any_output():
    protocol = client()
    assert protocol.assume_started(0.0)
    assert protocol.assume_started(0.0)
    assert protocol.events() == [Started("", {}, "", "", False)]
    assert protocol.send(OUTPUT, b"keys", 0.0) == 4
    protocol.receive([data(0, b"out")], 0.0)
    assert protocol.events() == [Output(OUTPUT, b"out")]


def test_a_handshake_that_has_begun_is_not_cut_short():
    protocol = client()
    protocol.receive([data(0, handshake_request(), payloads.HANDSHAKE_REQUEST)], 0.0)
    assert not protocol.assume_started(0.0)
    assert protocol.events() == []
    assert protocol.room(0.0) == 0


def test_progress_grows_with_each_message_that_gets_through():
    protocol = open_client()
    begun = protocol.progress
    protocol.send(OUTPUT, b"x", 0.0)
    assert protocol.progress == begun
    protocol.receive([acknowledgement(0), acknowledgement(0)], 0.1)
    assert protocol.progress == begun + 1
    protocol.receive([data(1, b"a"), data(1, b"a")], 0.1)
    assert protocol.progress == begun + 2


def test_what_comes_once_more_is_an_arrival_and_no_progress():
    protocol = open_client()
    protocol.receive([data(1, b"a"), data(3, b"c")], 0.1)
    arrivals, progress = protocol.arrivals, protocol.progress
    protocol.receive([data(1, b"a"), data(3, b"c")], 0.2)
    assert (protocol.arrivals, protocol.progress) == (arrivals + 2, progress)


def test_a_handshake_opens_the_session_with_what_the_agent_chose():
    protocol = client()
    request = handshake_request("Port", {"portNumber": "80"})
    protocol.receive([data(0, request, payloads.HANDSHAKE_REQUEST)], 0.0)
    answer, response = sent(protocol)
    assert answer.message_type == wire.ACKNOWLEDGE
    assert (response.sequence, response.payload_type) == (0, payloads.HANDSHAKE_RESPONSE)
    protocol.receive([data(1, handshake_complete("Hi"), payloads.HANDSHAKE_COMPLETE)], 0.0)
    assert protocol.events() == [Started("Port", {"portNumber": "80"}, "3.3.0.0", "Hi", False)]


def test_an_unknown_session_type_is_answered_failed():
    protocol = client()
    protocol.receive([data(0, handshake_request("Dance"), payloads.HANDSHAKE_REQUEST)], 0.0)
    response = payloads.parse_handshake_response(sent(protocol)[-1].payload)
    assert response.actions[0].status == payloads.FAILED
    assert protocol.events() == []


def test_a_step_out_of_turn_ends_the_session():
    protocol = client()
    protocol.receive(
        [
            data(0, handshake_complete(), payloads.HANDSHAKE_COMPLETE),
            data(1, b"never told"),
        ],
        0.0,
    )
    (event,) = protocol.events()
    assert isinstance(event, Failed) and isinstance(event.error, HandshakeError)
    assert protocol.ended


def test_a_late_step_of_the_handshake_changes_nothing():
    protocol = open_client()
    protocol.receive([data(1, handshake_request(), payloads.HANDSHAKE_REQUEST)], 0.0)
    assert acknowledged(protocol) == [1]
    assert protocol.events() == []
    assert protocol.room(0.0) > 0


def test_both_roles_agree_without_faults():
    pair = Pair()
    pair.start()
    transfer = Transfer(pair, b"up" * 5000, b"down" * 5000)
    pair.run(transfer.is_done)
    assert (transfer.uploaded, transfer.downloaded) == (b"up" * 5000, b"down" * 5000)


# --- Encryption


@pytest.mark.skipif(unavailable_reason() is not None, reason="no AES-GCM here")
class TestEncrypted:
    KEY = bytes(range(64))

    def pair(self, faults=NO_FAULTS):
        """Both ends, their handshake done, the challenge included."""
        pair = Pair(faults)
        action = payloads.RequestedAction(
            "KMSEncryption", {"KMSKeyId": "arn:key", "Challenge": "word"}
        )
        request = handshake_request("Port", None, action)
        pair.agent.send_control(payloads.HANDSHAKE_REQUEST, request, pair.now)
        pair.run(lambda: pair.client_events)
        assert pair.client_events.pop() == KeyRequested("arn:key", "word")
        pair.client.provide_key(self.KEY, "c2VhbGVk", pair.now)
        pair.run(lambda: pair.agent_events)
        assert pair.agent_events.pop().payload_type == payloads.HANDSHAKE_RESPONSE
        cipher = pair.agent.cipher = Cipher(self.KEY, Role.AGENT)
        self.prove(pair, cipher)
        pair.agent.send_control(payloads.HANDSHAKE_COMPLETE, handshake_complete(), pair.now)
        pair.run(lambda: pair.client_events)
        assert pair.client_events.pop() == Started("Port", {}, "3.3.0.0", "", True)
        return pair

    def prove(self, pair, cipher):
        sealed = base64.b64encode(cipher.seal(b"secret")).decode("ascii")
        question = payloads.build_challenge(sealed)
        pair.agent.send_control(payloads.ENCRYPTION_CHALLENGE_REQUEST, question, pair.now)
        pair.run(lambda: pair.agent_events)
        answer = pair.agent_events.pop()
        assert answer.payload_type == payloads.ENCRYPTION_CHALLENGE_RESPONSE
        again = base64.b64decode(payloads.parse_challenge(answer.data))
        assert cipher.open(again) == b"secret"

    def test_data_goes_sealed_both_ways_whatever_the_link_does(self):
        pair = self.pair(ALL_FAULTS)
        upload, download = some_bytes(100000, 1), some_bytes(100000, 2)
        transfer = Transfer(pair, upload, download)
        pair.run(transfer.is_done)
        assert (transfer.uploaded, transfer.downloaded) == (upload, download)

    def test_only_output_standard_error_and_the_exit_code_are_sealed(self):
        pair = self.pair()
        for payload_type in (OUTPUT, payloads.STDERR, payloads.EXIT_CODE, payloads.FLAG):
            pair.agent.send_control(payload_type, b"1234", pair.now)
        frames = pair.agent.data_to_send()
        assert [len(wire.parse(frame).payload) for frame in frames] == [32, 32, 32, 4]
        pair.client.receive(frames, pair.now)
        assert [event.data for event in pair.client.events()] == [b"1234"] * 4

    def test_a_message_that_does_not_open_ends_the_session(self):
        pair = self.pair()
        plain = data(3, b"injected: " + b"x" * 40)
        pair.client.receive([plain], pair.now)
        (event,) = pair.client.events()
        assert isinstance(event, Failed) and isinstance(event.error, EncryptionError)
        assert pair.client.send(OUTPUT, b"x", pair.now) == 0

    def test_a_key_that_is_refused_is_told_to_the_agent(self):
        pair = Pair()
        action = payloads.RequestedAction("KMSEncryption", {"KMSKeyId": "arn:key"})
        request = handshake_request("Port", None, action)
        pair.agent.send_control(payloads.HANDSHAKE_REQUEST, request, pair.now)
        pair.run(lambda: pair.client_events)
        pair.client.refuse_key("AccessDenied", pair.now)
        pair.run(lambda: pair.agent_events)
        response = payloads.parse_handshake_response(pair.agent_events[0].data)
        assert response.errors == ("AccessDenied",)


# --- Time


def test_a_lost_message_is_sent_again_until_it_is_acknowledged():
    protocol = open_client()
    assert protocol.next_timer() is None
    protocol.send(OUTPUT, b"x", 0.0)
    (first,) = protocol.data_to_send()
    assert protocol.next_timer() == pytest.approx(0.2)
    protocol.on_timer(0.1)
    assert protocol.data_to_send() == []
    protocol.on_timer(0.2)
    assert protocol.data_to_send() == [first]
    protocol.receive([acknowledgement(0)], 0.3)
    assert protocol.next_timer() is None


def test_a_lost_acknowledgement_is_repeated():
    pair = Pair()
    pair.start()
    pair.client.send(OUTPUT, b"x", pair.now)
    pair.settle()
    pair.run(lambda: pair.agent_events)
    pair.settle()
    pair.lose_what_is_under_way()  # the acknowledgement
    pair.run(lambda: not pair.client.unacknowledged, limit=1.0)
    assert pair.agent_events == [Output(OUTPUT, b"x")]


def test_after_five_minutes_without_an_acknowledgement_the_session_is_given_up():
    protocol = open_client()
    protocol.send(OUTPUT, b"x", 0.0)
    while protocol.next_timer() is not None and protocol.next_timer() < 300.0:
        protocol.on_timer(protocol.next_timer())
        assert protocol.events() == []
    protocol.on_timer(300.0)
    (event,) = protocol.events()
    assert isinstance(event, Failed) and isinstance(event.error, SessionLost)
    assert "5 minutes" in str(event.error)
    assert protocol.ended
    assert protocol.next_timer() is None
    assert protocol.send(OUTPUT, b"y", 300.0) == 0


# --- Connections


def test_without_a_connection_nothing_leaves_and_nothing_is_lost():
    protocol = open_client()
    protocol.send(OUTPUT, b"a", 0.0)
    protocol.connection_lost()
    protocol.send(OUTPUT, b"b", 1.0)
    assert protocol.data_to_send() == []
    assert protocol.next_timer() is None
    protocol.on_timer(1000.0)
    assert protocol.events() == []
    protocol.connection_made(1000.0)
    assert [bytes(message.payload) for message in sent(protocol)] == [b"a", b"b"]
    assert protocol.data_to_send() == []


def test_an_acknowledgement_that_a_lost_connection_took_along_is_made_again():
    protocol = open_client()
    protocol.receive([data(1, b"a")], 0.0)
    protocol.connection_lost()
    protocol.connection_made(1.0)
    assert acknowledged(protocol) == []
    protocol.receive([data(1, b"a")], 1.0)
    assert acknowledged(protocol) == [1]
    assert protocol.events() == [Output(OUTPUT, b"a")]


def test_what_waits_for_its_turn_survives_a_reconnection():
    protocol = open_client()
    protocol.receive([data(2, b"b")], 0.0)
    protocol.connection_lost()
    protocol.connection_made(1.0)
    protocol.receive([data(1, b"a")], 1.0)
    assert protocol.events() == [Output(OUTPUT, b"ab")]


# --- Faults of the link


@pytest.mark.volume
@pytest.mark.parametrize("seed, fault", list(enumerate(sorted(FIVE_PERCENT))))
def test_a_megabyte_arrives_complete_in_order_and_once(fault, seed):
    pair = Pair(FIVE_PERCENT[fault], seed)
    pair.start()
    upload, download = some_bytes(1 << 20, seed), some_bytes(1 << 18, seed + 1)
    transfer = Transfer(pair, upload, download)
    pair.run(transfer.is_done, limit=60.0)
    assert transfer.uploaded == upload
    assert transfer.downloaded == download


@pytest.mark.volume
def test_ten_megabytes_arrive_with_all_faults_together():
    pair = Pair(ALL_FAULTS, seed=4)
    pair.start()
    upload = some_bytes(10 * 1000 * 1000)
    transfer = Transfer(pair, upload)
    pair.run(transfer.is_done)
    assert transfer.uploaded == upload


@pytest.mark.volume
def test_ten_megabytes_come_back_with_all_faults_together():
    pair = Pair(ALL_FAULTS, seed=5)
    pair.start()
    download = some_bytes(10 * 1000 * 1000)
    transfer = Transfer(pair, download=download)
    pair.run(transfer.is_done, limit=3600.0)
    assert transfer.downloaded == download


@pytest.mark.volume
@pytest.mark.parametrize("seed", range(2))
def test_reconnections_at_random_moments_lose_nothing(seed):
    source = random.Random(seed)
    pair = Pair(ALL_FAULTS, seed)
    pair.start()
    upload, download = some_bytes(1000000, seed), some_bytes(1000000, seed + 1)
    transfer = Transfer(pair, upload, download)
    cuts = 0
    while not transfer.is_done():
        pair.step()
        if source.random() < 0.1:
            cuts += 1
            pair.cut()
            transfer.is_done()  # input goes on meanwhile, as far as the window allows
            pair.clock.advance(source.choice((0.0, 0.3, 5.0)))
            pair.connect()
            pair.settle()
    assert cuts >= 3
    assert (transfer.uploaded, transfer.downloaded) == (upload, download)


def test_little_is_sent_twice_for_what_was_lost():
    pair = Pair(Faults(lose=0.05), seed=1)
    pair.start()
    transfer = Transfer(pair, some_bytes(1 << 20))
    pair.run(transfer.is_done)
    # A message or its acknowledgement is lost one time in ten; each loss costs about one resend,
    # and each resend its acknowledgement.
    assert pair.sent < 2 * 1024 * 1.2


@pytest.mark.volume
def test_a_clean_link_has_nothing_sent_twice():
    pair = Pair()
    pair.start()
    transfer = Transfer(pair, some_bytes(1 << 20), some_bytes(1 << 20))
    begun = pair.now
    pair.run(transfer.is_done)
    assert pair.sent == 2 * 2 * 1024 + 6, "each message and its acknowledgement, each once"
    assert pair.now - begun < 10 * 2 * LATENCY, "the window grew to the path"


# --- Anything at all


def resealed(frame):
    """The frame with its digest and length put right, so that its content is looked at."""
    name = bytes(frame[4:36]).strip(b" \0").decode("ascii", "replace")
    message_type = name if name in wire.PADDED else wire.OUTPUT_STREAM_DATA
    return wire.build(message_type, frame[55], 0, 1, 2, frame[115], bytes(frame[120:]), 1)


@pytest.mark.volume
def test_25000_random_and_mutated_frames_are_survived():
    source = random.Random(0)
    samples = [bytearray(frame) for frame, _ in binary_frames()]
    samples += [
        bytearray(data(number, content, payload_type))
        for number, (payload_type, content) in enumerate(
            [
                (payloads.HANDSHAKE_REQUEST, handshake_request()),
                (payloads.HANDSHAKE_COMPLETE, handshake_complete("x")),
                (payloads.ENCRYPTION_CHALLENGE_REQUEST, payloads.build_challenge("AAAA")),
                (OUTPUT, b"text"),
                (payloads.EXIT_CODE, payloads.build_exit_code(1)),
            ]
        )
    ]
    samples += [bytearray(acknowledgement(3)), bytearray(notice(wire.CHANNEL_CLOSED, b"{}"))]
    total = 0
    while total < 25000:
        protocol = client() if source.random() < 0.7 else ChannelProtocol(Role.AGENT)
        for _ in range(100):
            batch = [mutant(source, samples) for _ in range(10)]
            protocol.receive(batch, total * 0.001)
            protocol.on_timer(total * 0.001)
            protocol.data_to_send()
            for event in protocol.events():
                assert not isinstance(event, Failed) or str(event.error)
            total += len(batch)


def mutant(source, samples):
    if source.random() < 0.1:
        length = source.randrange(1, 200)
        return source.getrandbits(8 * length).to_bytes(length, "big")
    frame = bytearray(source.choice(samples))
    for _ in range(source.randrange(4)):
        frame[source.randrange(len(frame))] = source.getrandbits(8)
    return resealed(frame) if source.random() < 0.7 else frame
