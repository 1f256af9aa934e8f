import random
import struct
import uuid
from hashlib import sha256

import pytest

from ssm_plugin.errors import MessageError
from ssm_plugin.wire import message as wire
from tests.support.vectors import binary_frames

FRAME = wire.build(wire.OUTPUT_STREAM_DATA, 7, 0, 0x11, 0x22, 1, b"payload", 1700000000000)


def changed(offset, form, value, frame=FRAME):
    """The frame with one field replaced."""
    altered = bytearray(frame)
    struct.pack_into(form, altered, offset, value)
    return bytes(altered)


def halves(message_id):
    return divmod(uuid.UUID(message_id).int, 1 << 64)


@pytest.mark.parametrize("frame, decoded", binary_frames())
def test_what_the_aws_client_sent_is_read_as_it_was_meant(frame, decoded):
    message = wire.parse(frame)
    assert message.message_type == decoded["MessageType"]
    assert message.sequence == decoded["SequenceNumber"]
    assert message.flags == decoded["Flags"]
    assert message.message_id == decoded["MessageId"]
    assert message.payload_type == decoded["PayloadType"]
    assert message.created == decoded["CreatedDate"]
    assert bytes(message.payload) == decoded["Payload"].encode("utf-8")
    assert len(message.payload) == decoded["PayloadLength"]


@pytest.mark.parametrize("frame, decoded", binary_frames())
def test_what_we_build_is_byte_for_byte_what_the_aws_client_sent(frame, decoded):
    high, low = halves(decoded["MessageId"])
    built = wire.build(
        decoded["MessageType"],
        decoded["SequenceNumber"],
        decoded["Flags"],
        high,
        low,
        decoded["PayloadType"],
        decoded["Payload"].encode("utf-8"),
        decoded["CreatedDate"],
    )
    assert built == frame


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frames_and_payloads_may_be_any_kind_of_buffer(kind):
    built = wire.build(
        wire.INPUT_STREAM_DATA, 7, 0, 0x11, 0x22, 1, kind(b"payload"), 1700000000000
    )
    message = wire.parse(kind(built))
    assert (message.message_type, message.sequence) == (wire.INPUT_STREAM_DATA, 7)
    assert message.payload == b"payload"


def test_the_payload_is_a_slice_of_the_frame_and_not_a_copy():
    assert wire.parse(FRAME).payload.obj is FRAME


def test_a_message_without_payload_is_complete():
    frame = wire.build(wire.OUTPUT_STREAM_DATA, 0, 1, 1, 2, 1, b"", 1)
    assert len(frame) == 120
    assert bytes(wire.parse(frame).payload) == b""


def test_a_message_without_payload_has_no_digest_to_check():
    frame = wire.build(wire.OUTPUT_STREAM_DATA, 0, 0, 1, 2, 1, b"", 1)
    assert wire.parse(changed(80, "32s", b"x" * 32, frame)).sequence == 0


@pytest.mark.parametrize(
    "padded",
    [b"acknowledge".ljust(32), b"acknowledge".ljust(32, b"\0"), b"\0 acknowledge \0"],
)
def test_a_type_is_padded_with_spaces_or_nuls(padded):
    assert wire.parse(changed(4, "32s", padded)).message_type == wire.ACKNOWLEDGE


def test_an_unknown_type_keeps_its_name():
    assert wire.parse(changed(4, "32s", b"brand_new\xff")).message_type == "brand_new\ufffd"


def test_a_header_may_be_longer_than_ours():
    payload = b"data"
    longer = struct.pack(
        ">I32sIQqQQQ32sII4s",
        120,
        b"output_stream_data".ljust(32),
        1,
        5,
        3,
        0,
        2,
        1,
        sha256(payload).digest(),
        1,
        len(payload),
        b"more",
    )
    message = wire.parse(longer + payload)
    assert (message.sequence, bytes(message.payload)) == (3, payload)


@pytest.mark.parametrize(
    "frame, complaint",
    [
        (b"", "too short"),
        (FRAME[:119], "too short"),
        (FRAME[:-1], "claims a header"),
        (FRAME + b"x", "claims a header"),
        (changed(0, ">I", 0), "claims a header"),
        (changed(0, ">I", 115), "claims a header"),
        (changed(0, ">I", 117), "claims a header"),
        (changed(0, ">I", 0xFFFFFFFF), "claims a header"),
        (changed(116, ">I", 6), "claims a header"),
        (changed(116, ">I", 0xFFFFFFFF), "claims a header"),
        (changed(4, "32s", b" " * 32), "no type"),
        (changed(4, "32s", b""), "no type"),
        (changed(40, ">Q", 0), "creation date"),
        (changed(80, "32s", b""), "digest of output_stream_data 7"),
        (FRAME[:-1] + b"X", "digest of output_stream_data 7"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(frame, complaint):
    with pytest.raises(MessageError, match=complaint):
        wire.parse(frame)


def test_a_header_and_payload_length_that_only_add_up_are_refused():
    # 116 - 7 and 7 + 7: the sum is right, but the payload would begin inside the header.
    with pytest.raises(MessageError, match="claims a header"):
        wire.parse(changed(116, ">I", 14, changed(0, ">I", 109)))


@pytest.mark.parametrize("message_type", [wire.START_PUBLICATION, wire.PAUSE_PUBLICATION])
def test_the_flow_hints_are_taken_unchecked(message_type):
    frame = wire.build(message_type, 0, 0, 1, 2, 0, b"", 1)
    for altered in (
        changed(0, ">I", 0, frame),
        changed(40, ">Q", 0, frame),
        changed(116, ">I", 99, frame),
        frame + b"whatever",
    ):
        message = wire.parse(altered)
        assert (message.message_type, message.payload) == (message_type, b"")


def test_the_text_for_logs_leaves_the_payload_out():
    assert str(wire.parse(FRAME)) == "output_stream_data seq=7 type=1 7 bytes"


def test_the_halves_of_an_id_travel_low_half_first():
    text = "00112233-4455-6677-8899-aabbccddeeff"
    high, low = halves(text)
    assert wire.uuid_text(high, low) == text
    frame = wire.build(wire.ACKNOWLEDGE, 0, 3, high, low, 0, b"", 1)
    assert frame[64:80].hex() == "8899aabbccddeeff0011223344556677"
    assert wire.parse(frame).message_id == text


@pytest.mark.volume
def test_random_and_mutated_frames_raise_nothing_but_message_errors():
    source = random.Random(1)
    frames = [bytearray(frame) for frame, _ in binary_frames()]
    errors = 0
    for _ in range(50000):
        frame = bytearray(source.choice(frames))
        for _ in range(source.randrange(1, 4)):
            frame[source.randrange(len(frame))] = source.getrandbits(8)
        if source.random() < 0.2:
            del frame[source.randrange(len(frame)):]
        try:
            wire.parse(frame)
        except MessageError:
            errors += 1
    for _ in range(50000):
        length = source.randrange(1, 300)
        with pytest.raises(MessageError):
            wire.parse(source.getrandbits(8 * length).to_bytes(length, "big"))
    assert 25000 < errors < 50000
