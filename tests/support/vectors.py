"""The frames that AWS's own client sent, from ``tests/vectors``."""

import json
from pathlib import Path

_PATH = Path(__file__).resolve().parent.parent / "vectors" / "client_frames.json"
_FRAMES = json.loads(_PATH.read_text(encoding="utf-8"))["frames"]


def text_frames():
    return [frame["text"] for frame in _FRAMES if frame["frame"] == "text"]


def binary_frames():
    """Pairs: the frame's bytes, and what they mean."""
    return [
        (bytes.fromhex(frame["hex"]), frame["decoded"])
        for frame in _FRAMES
        if frame["frame"] == "binary"
    ]


def payloads_of(payload_type, message_type="input_stream_data"):
    """The payloads of all binary frames of these types, as bytes."""
    return [
        frame[decoded["HeaderLength"] + 4:]
        for frame, decoded in binary_frames()
        if decoded["PayloadType"] == payload_type and decoded["MessageType"] == message_type
    ]
