import pytest

from ssm_plugin.channel.mux import MuxSession, StreamClosed, StreamData, StreamOpened
from ssm_plugin.errors import LocalError, RemoteError, SessionLost, StateError
from ssm_plugin.wire.message import Role
from ssm_plugin.wire.smux import FIN, NOP, PSH, SYN, encode_frame


def client(keep_alive=False):
    return MuxSession(Role.CLIENT, keep_alive, now=0.0)


def agent():
    return MuxSession(Role.AGENT, False, now=0.0)


def carry(sender, receiver):
    """What the receiver makes of all that the sender has queued."""
    return receiver.receive(b"".join(sender.data_to_send()), 0.0)


def sent(session):
    return b"".join(session.data_to_send())


def test_the_first_stream_is_3_and_every_second_number_follows():
    session = client()
    assert [session.open() for _ in range(4)] == [3, 5, 7, 9]
    assert session.data_to_send() == [encode_frame(SYN, i) for i in (3, 5, 7, 9)]
    assert session.data_to_send() == []


def test_what_the_aws_client_sends_for_one_connection_is_what_we_send():
    session = client()
    stream = session.open()
    session.send(stream, b"GET")
    session.close(stream)
    assert sent(session) == (
        b"\x01\x00\x00\x00\x03\x00\x00\x00"
        b"\x01\x02\x03\x00\x03\x00\x00\x00GET"
        b"\x01\x01\x00\x00\x03\x00\x00\x00"
    )


def test_the_aws_agents_answer_is_data_and_then_the_end():
    session = client()
    stream = session.open()
    session.data_to_send()
    answer = b"\x01\x02\x13\x00\x03\x00\x00\x00hello-from-backend\n\x01\x01\x00\x00\x03\x00\x00\x00"
    assert session.receive(answer, 0.0) == [
        StreamData(stream, b"hello-from-backend\n"),
        StreamClosed(stream),
    ]
    assert sent(session) == b"\x01\x01\x00\x00\x03\x00\x00\x00"


def test_both_ends_see_the_same_stream():
    near, far = client(), agent()
    stream = near.open()
    assert near.send(stream, b"ping")
    assert carry(near, far) == [StreamOpened(stream), StreamData(stream, b"ping")]
    assert far.send(stream, b"pong")
    far.close(stream)
    assert carry(far, near) == [StreamData(stream, b"pong"), StreamClosed(stream)]
    assert carry(near, far) == []
    assert len(near._streams) == len(far._streams) == 0


def test_long_data_goes_in_frames_of_32_kib_and_arrives_as_one():
    near, far = client(), agent()
    stream = near.open()
    data = bytes(range(256)) * 300
    near.send(stream, memoryview(data))
    frames = near.data_to_send()
    assert [len(frame) for frame in frames] == [8, 32776, 32776, 76800 - 65536 + 8]
    assert far.receive(b"".join(frames), 0.0) == [StreamOpened(stream), StreamData(stream, data)]


def test_a_frame_that_comes_in_parts_is_handed_on_in_parts():
    near, far = client(), agent()
    stream = near.open()
    near.send(stream, b"abcdef")
    data = sent(near)
    assert far.receive(data[:-3], 0.0) == [StreamOpened(stream), StreamData(stream, b"abc")]
    assert far.receive(data[-3:], 0.0) == [StreamData(stream, b"def")]


def test_data_of_two_streams_keeps_its_order():
    near, far = client(), agent()
    one, two = near.open(), near.open()
    carry(near, far)
    for stream, data in ((one, b"a"), (one, b"b"), (two, b"c"), (one, b"d")):
        near.send(stream, data)
    assert carry(near, far) == [
        StreamData(one, b"ab"),
        StreamData(two, b"c"),
        StreamData(one, b"d"),
    ]


def test_data_for_a_stream_that_we_closed_is_dropped():
    near, far = client(), agent()
    stream, other = near.open(), near.open()
    carry(near, far)
    far.send(stream, b"late")
    far.send(other, b"kept")
    near.close(stream)
    assert carry(far, near) == [StreamData(other, b"kept")]
    assert carry(near, far) == [StreamClosed(stream)]
    assert carry(far, near) == []  # the answering FIN


def test_data_behind_the_end_of_its_stream_is_dropped():
    session = client()
    stream = session.open()
    data = encode_frame(PSH, stream, b"data")
    events = session.receive(data + encode_frame(FIN, stream) + data, 0.0)
    assert events == [StreamData(stream, b"data"), StreamClosed(stream)]


def test_both_ends_may_close_at_once():
    near, far = client(), agent()
    stream = near.open()
    carry(near, far)
    near.close(stream)
    far.close(stream)
    assert carry(near, far) == carry(far, near) == []
    assert len(near._streams) == len(far._streams) == 0


def test_a_stream_that_the_peer_ended_takes_no_more_data():
    session = client()
    stream = session.open()
    session.receive(encode_frame(FIN, stream), 0.0)
    session.data_to_send()
    assert session.send(stream, b"too late") is False
    session.close(stream)
    assert session.data_to_send() == []


def test_a_peer_that_never_answers_a_close_leaves_nothing_behind():
    session = client()
    for _ in range(100):
        session.close(session.open())
    assert len(session._streams) == 0


def test_a_stream_opened_twice_is_an_error():
    session = agent()
    session.receive(encode_frame(SYN, 3), 0.0)
    with pytest.raises(RemoteError, match="stream 3 of the port session twice"):
        session.receive(encode_frame(SYN, 3), 0.0)


def test_what_is_not_smux_is_an_error():
    with pytest.raises(RemoteError, match="version 72"):
        agent().receive(b"HTTP/1.1 400", 0.0)


def test_an_agent_that_opens_a_stream_is_refused():
    session = client()
    assert session.receive(encode_frame(SYN, 2) + encode_frame(PSH, 2, b"x"), 0.0) == []
    assert sent(session) == encode_frame(FIN, 2)
    assert len(session._streams) == 0


def test_the_agent_refuses_a_stream_beyond_ten_thousand():
    near, far = client(), agent()
    streams = [near.open() for _ in range(10001)]
    assert carry(near, far) == [StreamOpened(stream) for stream in streams[:-1]]
    assert carry(far, near) == [StreamClosed(streams[-1])]


def test_only_the_client_opens_streams():
    with pytest.raises(StateError, match="only the client"):
        agent().open()


def test_stream_numbers_are_not_used_again():
    session = client()
    session._next_id = 0xFFFFFFFF  # 2,147,483,646 streams later
    stream = session.open()
    assert stream == 0xFFFFFFFF
    session.close(stream)
    with pytest.raises(LocalError, match="used up its stream numbers"):
        session.open()


def test_there_is_no_timer_without_keep_alive():
    session = client()
    assert session.next_timer() is None
    session.on_timer(1e9)
    assert session.data_to_send() == []


def test_a_nop_goes_out_every_ten_seconds():
    session = client(keep_alive=True)
    assert session.next_timer() == 10.0
    session.on_timer(9.9)
    assert session.data_to_send() == []
    session.on_timer(10.0)
    assert session.data_to_send() == [encode_frame(NOP, 0)]
    assert session.next_timer() == 20.0


def test_thirty_seconds_of_silence_end_the_session():
    session = client(keep_alive=True)
    session.on_timer(10.0)
    session.on_timer(20.0)
    with pytest.raises(SessionLost, match="silent on the port session for 30 s"):
        session.on_timer(30.0)


def test_a_nop_of_the_peer_ends_the_silence_and_is_no_event():
    session = client(keep_alive=True)
    session.on_timer(10.0)
    session.on_timer(20.0)
    assert session.receive(encode_frame(NOP, 0), 29.0) == []
    for now in (30.0, 40.0, 50.0):
        session.on_timer(now)
    with pytest.raises(SessionLost):
        session.on_timer(60.0)


def test_a_machine_that_slept_has_missed_one_interval_only():
    session = client(keep_alive=True)
    session.on_timer(3600.0)
    assert session.next_timer() == 3610.0
    session.on_timer(3610.0)
    assert sent(session) == encode_frame(NOP, 0) * 2


def test_a_record_of_data_shows_its_length_only():
    assert repr(StreamData(3, b"secret")) == "StreamData(3, 6 bytes)"
