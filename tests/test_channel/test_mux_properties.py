import pytest

from ssm_plugin.channel.mux import MuxSession, StreamClosed, StreamData, StreamOpened
from ssm_plugin.errors import SsmPluginError
from ssm_plugin.wire.message import Role
from ssm_plugin.wire.smux import FIN, NOP, PSH, SYN, encode_frame

pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

FEW_IDS = st.integers(0, 9)
HOSTILE = st.one_of(
    st.binary(max_size=30),
    st.builds(encode_frame, st.sampled_from([SYN, FIN, NOP]), FEW_IDS),
    st.builds(encode_frame, st.just(PSH), FEW_IDS, st.binary(max_size=30)),
)
# An operation, the stream that it is for (modulo those there are), and what it takes.
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "up", "down", "down", "carry up", "carry down", "close", "end"]),
        st.integers(0, 7),
        st.binary(min_size=1, max_size=100),
    ),
    max_size=60,
)


class End:
    """One side, what it sent and what it received: per stream, data in order."""

    def __init__(self, role):
        self.session = MuxSession(role, False, now=0.0)
        self.wire = bytearray()  # under way to the other end
        self.sent = {}
        self.received = {}
        self.closed = set()

    def send(self, stream, data):
        if self.session.send(stream, data):
            self.sent[stream] = self.sent.get(stream, b"") + data

    def close(self, stream):
        self.session.close(stream)
        self.closed.add(stream)

    def flush(self):
        self.wire += b"".join(self.session.data_to_send())

    def receive(self, data):
        for event in self.session.receive(data, 0.0):
            assert event.stream_id not in self.closed
            if isinstance(event, StreamOpened):
                assert event.stream_id not in self.received
                self.received[event.stream_id] = b""
            elif isinstance(event, StreamData):
                before = self.received.get(event.stream_id, b"")
                self.received[event.stream_id] = before + event.data
            else:
                assert isinstance(event, StreamClosed)
                self.closed.add(event.stream_id)


def carry(sender, receiver, size):
    sender.flush()
    receiver.receive(bytes(sender.wire[:size]))
    del sender.wire[:size]


def settle(near, far):
    while near.wire or far.wire:
        carry(near, far, 1 << 20)
        carry(far, near, 1 << 20)
        near.flush()
        far.flush()


def check(sender, receiver, ended_by_receiver):
    for stream, data in sender.sent.items():
        received = receiver.received.get(stream, b"")
        assert data.startswith(received)
        if stream not in ended_by_receiver:
            assert received == data


@settings(deadline=None)
@given(OPERATIONS)
def test_all_bytes_arrive_in_order_unless_the_receiver_hung_up(operations):
    near, far = End(Role.CLIENT), End(Role.AGENT)
    streams = []
    ended_by = {"close": set(), "end": set()}
    for name, number, data in operations:
        stream = streams[number % len(streams)] if streams else 3
        if name == "open":
            streams.append(near.session.open())
        elif name == "up":
            near.send(stream, data)
        elif name == "down" and stream in far.received:
            far.send(stream, data)
        elif name == "carry up":
            carry(near, far, len(data))
        elif name == "carry down":
            carry(far, near, len(data))
        elif name == "close" and stream in streams:
            near.close(stream)
            ended_by["close"].add(stream)
        elif name == "end" and stream in far.received:
            far.close(stream)
            ended_by["end"].add(stream)
    near.flush()
    far.flush()
    settle(near, far)
    check(near, far, ended_by["end"])
    check(far, near, ended_by["close"])
    assert set(far.received) == set(streams)
    assert len(near.session._streams) == len(far.session._streams)


@given(st.sampled_from(list(Role)), st.lists(HOSTILE, max_size=20))
def test_a_hostile_peer_gets_nothing_but_our_errors(role, pieces):
    session = MuxSession(role, True, now=0.0)
    if role is Role.CLIENT:
        session.open()
    for piece in pieces:
        try:
            events = session.receive(piece, 1.0)
        except SsmPluginError as error:
            assert "\n" not in str(error)
            return
        assert sum(len(event.data) for event in events if isinstance(event, StreamData)) <= len(
            piece
        )
        assert len(session._streams) <= 10
