"""What a hostile or broken peer may send: garbage, and messages that are nearly right."""

import json
import os
import struct

from hypothesis import settings
from hypothesis import strategies as st

from ssm_plugin.wire import message

# More for a night: SSM_FUZZ_EXAMPLES=20000 scripts/test tests/test_fuzz
EXAMPLES = int(os.environ.get("SSM_FUZZ_EXAMPLES", "50"))
QUICK = settings(max_examples=EXAMPLES, deadline=None, database=None)

KINDS = sorted(message.PADDED) + ["unknown"]
TYPES = st.one_of(st.integers(0, 13), st.integers(0, 0xFFFFFFFF))
SEQUENCES = st.one_of(st.integers(-1, 5), st.integers(-(2**63), 2**63 - 1))

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["Port", "Standard_Stream", "SessionType", "KMSEncryption", "3.3.0.0"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "AgentVersion",
    "RequestedClientActions",
    "ActionType",
    "ActionParameters",
    "SessionType",
    "Properties",
    "KMSKeyId",
    "Challenge",
    "HandshakeTimeToComplete",
    "CustomerMessage",
    "AcknowledgedMessageType",
    "AcknowledgedMessageId",
    "AcknowledgedMessageSequenceNumber",
    "IsSequentialMessage",
    "Output",
    "SessionId",
    "cols",
    "rows",
    "ClientVersion",
    "ProcessedClientActions",
    "Errors",
)
ACTIONS = st.fixed_dictionaries(
    {
        "ActionType": st.sampled_from(["SessionType", "KMSEncryption", "Other"]) | JSON,
        "ActionParameters": st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4) | JSON,
    }
)
OBJECTS = st.dictionaries(
    st.sampled_from(FIELDS), JSON | st.lists(ACTIONS, max_size=3), max_size=6
)
BODIES = (
    OBJECTS.map(lambda value: json.dumps(value).encode("ascii"))
    | JSON.map(lambda value: json.dumps(value).encode("ascii"))
    | st.binary(max_size=60)
    | st.sampled_from([b"EXIT_CODE: 3", b"EXIT_CODE: -1", b"\0\0\0\2", b"[" * 5000, b"9" * 5000])
)


def built(kind, sequence, payload_type, body):
    """A message with everything right but what was given."""
    padded = kind if kind in message.PADDED else message.OUTPUT_STREAM_DATA
    frame = message.build(padded, sequence, 0, 1, 2, payload_type, body, 1)
    if padded != kind:
        frame = frame[:4] + kind.encode().ljust(32) + frame[36:]
    return frame


MESSAGES = st.builds(built, st.sampled_from(KINDS), SEQUENCES, TYPES, BODIES)


def bent(frame, place, value):
    """One byte of it is another."""
    place %= len(frame)
    return frame[:place] + bytes((value,)) + frame[place + 1:]


BENT = st.builds(bent, MESSAGES, st.integers(0, 10**6), st.integers(0, 255))
CUT = st.builds(lambda frame, end: frame[: end % (len(frame) + 1)], MESSAGES, st.integers(0, 10**6))
FRAMES = MESSAGES | BENT | CUT | st.binary(max_size=200)


def framed(opcode, final, body, masked, lie):
    """A WebSocket frame from a server; ``lie`` is added to its length."""
    length = max(0, len(body) + lie)
    first = (0x80 if final else 0) | opcode
    mask = 0x80 if masked else 0
    if length < 126:
        return struct.pack(">BB", first, mask | length) + body
    if length < 65536:
        return struct.pack(">BBH", first, mask | 126, length) + body
    return struct.pack(">BBQ", first, mask | 127, length) + body


WEBSOCKET = st.lists(
    st.builds(
        framed,
        st.sampled_from([2, 2, 2, 0, 1, 8, 9, 10, 3, 15]),
        st.booleans(),
        st.binary(max_size=300),
        st.booleans(),
        st.sampled_from([0, 0, 0, 0, 1, -1, 70000, 2**62]),
    ),
    max_size=8,
).map(b"".join)
