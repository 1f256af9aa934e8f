import random
import socket

import pytest

from ssm_plugin.errors import RemoteError
from ssm_plugin.transport.framing import (
    MAXIMUM_FRAME,
    binary_frames,
    cut_binary_frames,
    missing_bytes,
)
from tests.support.websocket_peer import BINARY, PING, TEXT, Peer, frame

SIZES = [0, 1, 2, 3, 4, 5, 125, 126, 127, 128, 1143, 1144, 65535, 65536, 100001]


def some_bytes(size):
    return bytes(bytearray(range(256))) * (size // 256) + bytes(bytearray(range(size % 256)))


def cut(buffer, start=0):
    frames, stop = cut_binary_frames(buffer, start)
    return [bytes(payload) for payload in frames], stop


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_cut_out(size):
    whole = frame(BINARY, some_bytes(size))
    assert cut(whole) == ([some_bytes(size)], len(whole))


def test_all_frames_of_a_buffer_are_cut_at_once():
    buffer = b"".join(frame(BINARY, some_bytes(size)) for size in SIZES)
    assert cut(buffer) == ([some_bytes(size) for size in SIZES], len(buffer))
    first = len(frame(BINARY, b"")) + len(frame(BINARY, b"x"))
    assert cut(buffer, first)[0] == [some_bytes(size) for size in SIZES[2:]]


def test_the_payloads_are_slices_of_the_buffer():
    buffer = frame(BINARY, b"payload")
    assert cut_binary_frames(buffer, 0)[0][0].obj is buffer


@pytest.mark.parametrize("size", [5, 200, 66000])
def test_a_frame_that_is_not_complete_stays_and_says_how_much_it_lacks(size):
    before, whole = frame(BINARY, b"before"), frame(BINARY, some_bytes(size))
    for length in list(range(min(len(whole), 300))) + [len(whole) - 1]:
        buffer = before + whole[:length]
        assert cut(buffer) == ([b"before"], len(before))
        missing = missing_bytes(buffer, len(before))
        assert 0 < missing <= len(whole) - length
    assert missing == 1


@pytest.mark.parametrize(
    "other", [frame(TEXT, b"x"), frame(PING, b""), frame(BINARY, b"x", final=False), b"\xc2\x00"]
)
def test_anything_else_is_left_where_it_stands(other):
    before = frame(BINARY, b"before")
    buffer = before + other + frame(BINARY, b"after")
    assert cut(buffer) == ([b"before"], len(before))
    assert missing_bytes(buffer, len(before)) is None


@pytest.mark.parametrize("header", [b"\x82\x80", b"\x82\x85", b"\x82\xfe", b"\x82\xff"])
def test_a_masked_frame_from_a_server_is_an_error(header):
    with pytest.raises(RemoteError, match="masked"):
        cut_binary_frames(header + b"\0" * 20, 0)


def test_a_frame_that_claims_too_much_is_an_error():
    header = b"\x82\x7f" + (MAXIMUM_FRAME + 1).to_bytes(8, "big")
    with pytest.raises(RemoteError, match=str(MAXIMUM_FRAME + 1)):
        cut_binary_frames(header, 0)
    allowed = b"\x82\x7f" + MAXIMUM_FRAME.to_bytes(8, "big")
    assert cut(allowed) == ([], 0)
    assert missing_bytes(allowed, 0) == MAXIMUM_FRAME


def test_any_bytes_at_all_raise_nothing_but_remote_errors():
    source = random.Random(1)
    errors = 0
    for _ in range(20000):
        length = source.randrange(40)
        buffer = bytes(source.choice((0x82, 0, 1, 126, 127, 0x89, 0xFF)) for _ in range(length))
        try:
            _, stop = cut_binary_frames(buffer, 0)
            assert 0 <= stop <= len(buffer)
            missing = missing_bytes(buffer, stop)
            assert stop < len(buffer) if missing is None else missing > 0
        except RemoteError:
            errors += 1
    assert errors > 100


def test_what_we_send_is_masked_and_reads_as_it_was():
    near, far = socket.socketpair()
    with near, Peer(far) as peer:
        for size in SIZES[:-3]:
            near.sendall(binary_frames([some_bytes(size), b"", some_bytes(7)]))
            assert [peer.read() for _ in range(3)] == [
                (BINARY, some_bytes(size)),
                (BINARY, b""),
                (BINARY, some_bytes(7)),
            ]


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_covers_every_byte(size):
    data = some_bytes(size)
    whole = binary_frames([data])
    mask, masked = whole[-size - 4:len(whole) - size], whole[len(whole) - size:]
    assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked)) == data


def test_each_frame_has_a_mask_of_its_own():
    whole = binary_frames([b"\0" * 8] * 50)
    masks = {whole[start + 2:start + 6] for start in range(0, len(whole), 14)}
    assert len(masks) > 45
