"""What AWS's own client and agent sent, from ``tests/vectors``."""

import json
from pathlib import Path

from ssm_plugin.wire import message as wire

_FOLDER = Path(__file__).resolve().parent.parent / "vectors"


def _read(name):
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))


_FRAMES = _read("client_frames.json")["frames"]


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


def agent_session(name):
    """A session of AWS's agent: what is known of it, and its messages as frames, in order."""
    fields = _read("agent_messages.json")[name]
    frames = []
    for number, sent in enumerate(fields["messages"]):
        payload = bytes.fromhex(sent["hex"]) if "hex" in sent else sent["text"].encode("ascii")
        head = (sent["type"], sent["sequence"], sent["flags"], 1, number, sent["payload_type"])
        frames.append(wire.build(*head, payload, 1))
    return fields, frames
