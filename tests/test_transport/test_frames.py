import random
import socket

import pytest

from ssm_plugin.errors import RemoteError
from ssm_plugin.transport.frames import (
    MAXIMUM_MESSAGE,
    cut_messages,
    extent_of,
    is_unfinished,
    join_messages,
)
from tests.support.websocket_peer import BINARY, PING, TEXT, Peer, frame

SIZES = [0, 1, 2, 3, 4, 5, 125, 126, 127, 128, 1143, 1144, 65535, 65536, 100001]


def some_bytes(size):
    return bytes(bytearray(range(256))) * (size // 256) + bytes(bytearray(range(size % 256)))


def cut(buffer, start=0, masked=False):
    messages, stop = cut_messages(buffer, start, masked)
    return [bytes(payload) for payload in messages], stop


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_cut_out(size, masked):
    whole = join_messages([some_bytes(size)], masked)
    assert cut(whole, masked=masked) == ([some_bytes(size)], len(whole))
    if not masked:
        assert whole == frame(BINARY, some_bytes(size))


@pytest.mark.parametrize("masked", [False, True])
def test_all_frames_of_a_buffer_are_cut_at_once(masked):
    buffer = join_messages([some_bytes(size) for size in SIZES], masked)
    assert cut(buffer, 0, masked) == ([some_bytes(size) for size in SIZES], len(buffer))
    first = len(join_messages([b"", b"x"], masked))
    assert cut(buffer, first, masked)[0] == [some_bytes(size) for size in SIZES[2:]]


def test_the_payloads_are_slices_of_the_buffer():
    buffer = frame(BINARY, b"payload")
    assert cut_messages(buffer, 0, False)[0][0].obj is buffer


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [5, 200, 65000])
def test_a_frame_that_is_not_complete_stays_until_it_is(size, masked):
    before, whole = join_messages([b"before"], masked), join_messages([some_bytes(size)], masked)
    for length in list(range(min(len(whole), 300))) + [len(whole) - 1]:
        buffer = before + whole[:length]
        assert cut(buffer, 0, masked) == ([b"before"], len(before))
        assert is_unfinished(buffer, len(before), masked)


@pytest.mark.parametrize(
    "other", [frame(TEXT, b"x"), frame(PING, b""), frame(BINARY, b"x", final=False), b"\xc2\x00"]
)
def test_anything_else_is_left_where_it_stands(other):
    before = frame(BINARY, b"before")
    buffer = before + other + frame(BINARY, b"after")
    assert cut(buffer) == ([b"before"], len(before))
    assert not is_unfinished(buffer, len(before), False)


def test_a_long_frame_is_left_to_be_collected_in_pieces():
    half = frame(BINARY, some_bytes(100001))[:70000]
    assert cut(half) == ([], 0)
    assert not is_unfinished(half, 0, False)


@pytest.mark.parametrize("header", [b"\x82\x80", b"\x82\x85", b"\x82\xfe", b"\x82\xff"])
def test_a_masked_frame_from_a_server_is_an_error(header):
    with pytest.raises(RemoteError, match="masked"):
        cut_messages(header + b"\0" * 20, 0, False)


def test_an_unmasked_frame_from_a_client_is_an_error():
    with pytest.raises(RemoteError, match="not masked"):
        cut_messages(frame(BINARY, b"x"), 0, True)


@pytest.mark.parametrize("first", [0x82, 0x02, 0x81, 0x01, 0x80, 0x00])
def test_a_data_frame_that_claims_too_much_is_refused_by_its_header(first):
    header = bytes([first, 127]) + (MAXIMUM_MESSAGE + 1).to_bytes(8, "big")
    with pytest.raises(RemoteError, match=str(MAXIMUM_MESSAGE + 1)):
        extent_of(header, 0, False)
    allowed = bytes([first, 127]) + MAXIMUM_MESSAGE.to_bytes(8, "big")
    assert extent_of(allowed, 0, False) == (10, 10 + MAXIMUM_MESSAGE)


@pytest.mark.parametrize("first", [0x88, 0x89, 0x8A, 0x09])
def test_a_control_frame_is_short_or_refused_by_its_header(first):
    assert extent_of(bytes([first, 125]), 0, False) == (2, 127)
    with pytest.raises(RemoteError, match="126"):
        extent_of(bytes([first, 126, 0, 126]), 0, False)


def test_any_bytes_at_all_raise_nothing_but_remote_errors():
    source = random.Random(1)
    errors = 0
    for number in range(5000):
        length = source.randrange(40)
        buffer = bytes(source.choice((0x82, 0, 1, 126, 127, 0x89, 0xFF)) for _ in range(length))
        masked = number % 2 == 0
        try:
            _, stop = cut_messages(buffer, 0, masked)
            assert 0 <= stop <= len(buffer)
            is_unfinished(buffer, stop, masked)
        except RemoteError:
            errors += 1
    assert errors > 100


def test_what_we_send_is_masked_and_reads_as_it_was():
    near, far = socket.socketpair()
    with near, Peer(far) as peer:
        for size in SIZES[:-3]:
            near.sendall(join_messages([some_bytes(size), b"", some_bytes(7)], masked=True))
            assert [peer.read() for _ in range(3)] == [
                (BINARY, some_bytes(size)),
                (BINARY, b""),
                (BINARY, some_bytes(7)),
            ]


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_covers_every_byte(size):
    data = some_bytes(size)
    whole = join_messages([data], masked=True)
    mask, masked = whole[-size - 4:len(whole) - size], whole[len(whole) - size:]
    assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked)) == data


def test_each_frame_has_a_mask_of_its_own():
    whole = join_messages([b"\0" * 8] * 50, masked=True)
    masks = {whole[start + 2:start + 6] for start in range(0, len(whole), 14)}
    assert len(masks) > 45
