import pytest

from ssm_plugin.errors import RemoteError, StateError
from ssm_plugin.wire.smux import FIN, MAXIMUM_SENT, NOP, PSH, SYN, FrameSplitter, encode_frame

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:18181\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
)

# Payloads that AWS's client and agent sent each other, from a capture.
CLIENT_MESSAGES = [
    b"\x01\x00\x00\x00\x03\x00\x00\x00",
    b"\x01\x02O\x00\x03\x00\x00\x00" + REQUEST,
    b"\x01\x01\x00\x00\x03\x00\x00\x00",
    b"\x01\x00\x00\x00\x05\x00\x00\x00",
    b"\x01\x02O\x00\x05\x00\x00\x00" + REQUEST,
    b"\x01\x01\x00\x00\x05\x00\x00\x00",
    b"\x01\x00\x00\x00\t\x00\x00\x00\x01\x02O\x00\t\x00\x00\x00" + REQUEST,
]
AGENT_MESSAGE = (
    b"\x01\x02\x13\x00\x03\x00\x00\x00hello-from-backend\n\x01\x01\x00\x00\x03\x00\x00\x00"
)
# A download: the first 1024-byte message begins a PSH of 32 KiB, the 33rd holds its last 8 bytes
# and the next header. The capture shows no more than the beginning of each, the rest is filled up.
DOWNLOAD_BEGINS = bytes.fromhex("010200800d000000a93a24953a719652")
DOWNLOAD_GOES_ON = bytes.fromhex("3386f0bfae68df8a010200800d00000019bda5c06baf74c4")


def split(splitter, data):
    """(command, stream id, payload) of each frame, the parts of one PSH still apart."""
    return [(command, stream, bytes(payload)) for command, stream, payload in splitter.feed(data)]


def test_what_the_aws_client_sent_is_read():
    splitter = FrameSplitter()
    frames = [frame for message in CLIENT_MESSAGES for frame in split(splitter, message)]
    assert frames == [
        (SYN, 3, b""),
        (PSH, 3, REQUEST),
        (FIN, 3, b""),
        (SYN, 5, b""),
        (PSH, 5, REQUEST),
        (FIN, 5, b""),
        (SYN, 9, b""),
        (PSH, 9, REQUEST),
    ]


def test_what_the_aws_client_sent_is_what_we_send():
    ours = [
        encode_frame(SYN, 3),
        encode_frame(PSH, 3, REQUEST),
        encode_frame(FIN, 3),
        encode_frame(SYN, 5),
        encode_frame(PSH, 5, REQUEST),
        encode_frame(FIN, 5),
        encode_frame(SYN, 9) + encode_frame(PSH, 9, REQUEST),
    ]
    assert ours == CLIENT_MESSAGES


def test_two_frames_of_the_agent_in_one_message_are_two_frames():
    frames = split(FrameSplitter(), AGENT_MESSAGE)
    assert frames == [(PSH, 3, b"hello-from-backend\n"), (FIN, 3, b"")]


def test_a_frame_of_the_agent_over_thirty_three_messages_comes_in_parts():
    splitter = FrameSplitter()
    messages = [DOWNLOAD_BEGINS.ljust(1024, b".")] + [b"." * 1024] * 31
    parts = [frame for message in messages for frame in split(splitter, message)]
    assert [len(payload) for _, _, payload in parts] == [1016] + [1024] * 31
    last = split(splitter, DOWNLOAD_GOES_ON.ljust(1024, b"."))
    assert last[0] == (PSH, 13, DOWNLOAD_GOES_ON[:8])
    assert last[1] == (PSH, 13, DOWNLOAD_GOES_ON[16:].ljust(1008, b"."))
    assert sum(len(payload) for _, _, payload in parts + last[:1]) == 32768


def test_a_stream_fed_byte_by_byte_gives_the_same_frames():
    splitter = FrameSplitter()
    data = b"".join(CLIENT_MESSAGES)
    frames = [frame for i in range(len(data)) for frame in split(splitter, data[i : i + 1])]
    received = b"".join(payload for command, stream, payload in frames if stream == 5)
    assert received == REQUEST
    assert [stream for command, stream, _ in frames if command == SYN] == [3, 5, 9]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_can_be_fed(kind):
    splitter = FrameSplitter()
    frame = encode_frame(PSH, 3, kind(b"data"))
    assert split(splitter, kind(frame[:5])) == []
    assert split(splitter, kind(frame[5:] + frame)) == [(PSH, 3, b"data")] * 2


def test_payloads_are_slices_of_what_was_fed():
    data = bytearray(encode_frame(PSH, 3, b"abc"))
    (frame,) = FrameSplitter().feed(data)
    data[-1:] = b"d"
    assert bytes(frame.payload) == b"abd"


def test_feeding_nothing_gives_nothing():
    splitter = FrameSplitter()
    assert split(splitter, b"") == []
    assert split(splitter, encode_frame(PSH, 3, b"abc")[:-1]) == [(PSH, 3, b"ab")]
    assert split(splitter, b"") == []
    assert split(splitter, b"c") == [(PSH, 3, b"c")]


def test_a_data_frame_without_data_is_nothing():
    assert split(FrameSplitter(), encode_frame(PSH, 3) + encode_frame(NOP, 0)) == [(NOP, 0, b"")]


def test_a_peer_may_send_more_in_a_frame_than_we_do():
    header = b"\x01\x02\xff\xff\x03\x00\x00\x00"
    assert split(FrameSplitter(), header + bytes(65535)) == [(PSH, 3, bytes(65535))]


@pytest.mark.parametrize(
    "header",
    [
        b"\x02\x00\x00\x00\x03\x00\x00\x00",  # version
        b"\x00\x02\x04\x00\x03\x00\x00\x00",
        b"\x01\x04\x00\x00\x03\x00\x00\x00",  # command
        b"\x01\x00\x01\x00\x03\x00\x00\x00",  # a SYN with data
        b"\x01\x03\x08\x00\x00\x00\x00\x00",
    ],
)
def test_what_is_not_smux_is_an_error_from_then_on(header):
    splitter = FrameSplitter()
    with pytest.raises(RemoteError, match="stream is broken"):
        splitter.feed(encode_frame(SYN, 3) + header)
    with pytest.raises(RemoteError, match="start the session again"):
        splitter.feed(encode_frame(SYN, 5))


def test_a_frame_takes_no_more_than_32_kib():
    assert len(encode_frame(PSH, 3, bytes(MAXIMUM_SENT))) == 8 + 32768
    with pytest.raises(StateError, match="32769 bytes"):
        encode_frame(PSH, 3, bytes(MAXIMUM_SENT + 1))


@pytest.mark.parametrize("command, stream_id", [(4, 3), (-1, 3), (PSH, -1), (PSH, 1 << 32)])
def test_a_frame_that_no_peer_would_read_is_not_made(command, stream_id):
    with pytest.raises(StateError, match="no smux frame"):
        encode_frame(command, stream_id)


def test_only_data_frames_carry_data():
    with pytest.raises(StateError, match="do not fit"):
        encode_frame(FIN, 3, b"x")
